"""Compare the fitter's predictions with measurements: `python benchmarks/fit.py`.

Eight random LLaVAs are trained with DPO on a CPU: widths, depth, number of image tokens, LoRA rank and dropout
and lengths of the answers are drawn; one of the eight is in bfloat16. Each has rows of nearly equal length, and mixed
rows: questions of 5 to 40 words, answers from a tenth of the longest one on, and every fourth row without an image. For
both, all plans that give the same steps are trained: micro-batches of 1, 2 and 4 rows, with and without recomputation.
Measured are

- the peak of the tensors' bytes in an epoch: the fitter's counter, on the real tensors of the real training;
- the growth of the process's resident memory, which the C library and the kernels' own buffers have a part in;
- CPU-seconds of the same optimizer steps. The plans take turns within each step, and each repeats it: the least of a
  step counts, so that the noise of a shared machine meets all plans alike.

For each model and kind of rows, several memory limits are drawn between the smallest and the largest measured peak. The
choice of the fitter is compared with the fastest of the plans whose measured peak is within the limit.

Numbers choose some of the models: `python benchmarks/fit.py 3 5`.
"""

from __future__ import annotations

import ctypes
import gc
import json
import os
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from random_llava import WORDS, Widths, random_llava, save_noise

MODELS, LIMITS = 8, 4
BATCH, STEPS = 4, 3  # rows of an optimizer step; steps of an epoch
REPEATS = 3  # of each timed step; the first step of a plan is a warm-up
SIZES = (1, 2, 4)
SLOWER = 1.05  # choices that are slower than this times the fastest are listed
SEED = 0  # of the order of the rows
BFLOAT16 = 3  # number of the model in bfloat16
KINDS = {False: "equal", True: "mixed"}


def draw(seed: int) -> dict[str, Any]:
    """Draw a model and its data."""
    rng = random.Random(seed)
    heads = rng.choice((4, 8))
    hidden = heads * rng.choice((32, 48))
    widths = Widths(
        hidden=hidden,
        intermediate=round(hidden * rng.uniform(2, 4)) // 8 * 8,
        heads=heads,
        layers=rng.randint(2, 5),
        tower=64 * rng.randint(1, 3),
        tower_heads=4,
        side=14 * rng.choice((6, 8, 10)),
        key_value_heads=rng.choice((heads, heads // 2)),
    )
    return {
        "widths": widths,
        "rank": rng.choice((4, 16, 64)),
        "dropout": rng.choice((0.0, 0.05)),
        "dtype": "bfloat16" if seed == BFLOAT16 else "float32",
        "answer": rng.randint(20, 80),
    }


def draw_pairs(drawn: dict[str, Any], seed: int, mixed: bool) -> list[Any]:
    """Draw the pairs of an epoch."""
    from mmdpo.records import PreferencePair

    rng, longest = random.Random(seed), drawn["answer"]

    def words(low: int, high: int) -> str:
        return " ".join(f"w{rng.randrange(WORDS)}" for _ in range(rng.randint(low, high)))

    question, shortest = ((5, 40), longest // 10) if mixed else ((20, 20), longest * 9 // 10)
    return [
        PreferencePair(
            f"pair-{number}", words(*question), words(shortest, longest), words(shortest, longest),
            () if mixed and number % 4 == 3 else ("image.png",),
        )
        for number in range(BATCH * STEPS)
    ]  # fmt: skip


@dataclass
class Case:
    """A model with its data."""

    folder: Path
    model: Any  # settings
    collator: Any
    rows: list[Any]
    batches: Any


def measure(seed: int) -> Iterator[dict[str, Any]]:
    """Train one model with all plans. Yields predictions, measurements and choices for each kind of rows."""
    import numpy as np
    import torch

    from mmdpo.config.schema import LoraConfig, ModelConfig, TrainConfig
    from mmdpo.models.library_output import suppress_library_output
    from mmdpo.models.loading import load_processor, torch_dtype
    from mmdpo.training.collate import Collator
    from mmdpo.training.fit.memory import Predictor
    from mmdpo.training.fit.meta import Device
    from mmdpo.training.fit.micro_batches import MicroBatches
    from mmdpo.training.fit.plan import Steps
    from mmdpo.training.rows import tokenize_examples

    torch.set_num_threads(1)
    drawn = draw(seed)
    with tempfile.TemporaryDirectory() as name, suppress_library_output():
        folder = Path(name)
        random_llava(folder / "model", drawn["widths"]).save_pretrained(folder / "model")
        save_noise(folder / "image.png", np.random.default_rng(seed))
        model = ModelConfig(
            path=str(folder / "model"), dtype=drawn["dtype"], lora=LoraConfig(drawn["rank"], 32, drawn["dropout"])
        )
        processor = load_processor(model)
        collator = Collator(processor, shared=True)
        for mixed in KINDS:
            rows = tokenize_examples(draw_pairs(drawn, seed, mixed), folder, processor, TrainConfig()).rows
            for row in rows:
                row |= {"ref_chosen_logps": 0.0, "ref_rejected_logps": 0.0}
            batches = MicroBatches(rows, collator, Steps(len(rows), BATCH, 1), SEED)
            predictor = Predictor(model, batches, Device(gpu=False, dtype=torch_dtype(model.dtype)))
            case = Case(folder, model, collator, rows, batches)
            yield {"drawn": drawn, "kind": KINDS[mixed], **compare(case, predictor, random.Random(seed))}


def compare(case: Case, predictor: Any, rng: random.Random) -> dict[str, Any]:
    """Predict and measure all plans, and let the fitter choose for several limits."""
    from mmdpo.training.fit.choose import choose
    from mmdpo.training.fit.plan import Plan

    plans = [Plan(size, BATCH // size, recompute, 0) for recompute in (False, True) for size in SIZES]
    start = time.process_time()
    peaks = {plan: predictor.peak(plan).total for plan in plans}
    to_predict = time.process_time() - start
    found = [{"predicted": peaks[plan], **peak(case, plan)} for plan in plans]
    for one, seconds in zip(found, time_plans(case, plans), strict=True):
        one["seconds"] = seconds
    measured = [one["tensors"] for one in found]
    choices = []
    for _ in range(LIMITS):
        limit = int(rng.uniform(min(measured), max(measured) * 1.1))
        chosen = choose(Plan(BATCH, 1, True, 0), case.batches.steps, (), predictor, limit, False)
        own = found[plans.index(chosen.plan)]
        best = min((one for one in found if one["tensors"] <= limit), key=lambda one: one["seconds"])
        used, least = (one["tensors"] / limit for one in (own, best))
        choices.append({"slower": own["seconds"] / best["seconds"], "beyond": used, "best": least})
    return {"plans": found, "choices": choices, "seconds_to_predict": to_predict}


def make_trainer(case: Case, plan: Any) -> Any:
    """Build the trainer of a plan."""
    from transformers import PrinterCallback, set_seed
    from trl import DPOConfig

    from mmdpo.models.loading import load_model
    from mmdpo.training.lora import lora
    from mmdpo.training.recomputation import recomputation_argument
    from mmdpo.training.trainer import LoraDPOTrainer

    set_seed(0)
    base = load_model(case.model.path, case.model.dtype)
    for module in base.modules():
        if type(module).__name__ == "Dropout":
            module.p = 0.0
    arguments = DPOConfig(
        output_dir=str(case.folder / "out"), per_device_train_batch_size=plan.per_device_train_batch_size,
        gradient_accumulation_steps=plan.gradient_accumulation_steps, num_train_epochs=1, learning_rate=1e-4,
        **recomputation_argument(plan.activation_checkpointing), bf16=case.model.dtype == "bfloat16", use_cpu=True,
        max_length=None, report_to="none", save_strategy="no", disable_tqdm=True, logging_steps=1000,
        disable_dropout=False, seed=SEED, data_seed=SEED,
    )  # fmt: skip
    trainer = LoraDPOTrainer(base, arguments, case.rows, case.collator, lora(base, case.model), 0.0)
    trainer.remove_callback(PrinterCallback)
    return trainer


def peak(case: Case, plan: Any) -> dict[str, int]:
    """Train an epoch with a plan. Returns the peak of tensors and of resident memory in bytes."""
    import torch
    from transformers import TrainerCallback

    from mmdpo.training.fit.meta import fixed_bytes
    from mmdpo.training.fit.trace import Trace
    from mmdpo.training.scoring import shared_attention

    trace: Any = Trace()

    class Count(TrainerCallback):
        def on_train_begin(self, *args: Any, **kwargs: Any) -> None:
            trace.__enter__()

        def on_train_end(self, *args: Any, **kwargs: Any) -> None:
            trace.__exit__(None, None, None)

    trainer = make_trainer(case, plan)
    trainer.add_callback(Count())
    optimizer = trainer.create_optimizer()
    for weight in trainer.model.parameters():
        weight.grad = torch.zeros_like(weight) if weight.requires_grad else None
    optimizer.step()  # makes Adam's states, which the first step of a training does not have yet
    optimizer.zero_grad()
    frozen, trained = fixed_bytes(trainer.model)
    weights = frozen + 3 * trained // 4  # without gradients
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)  # gives free memory back, so that it is not reused uncounted
    before = _resident("VmRSS")
    Path("/proc/self/clear_refs").write_text("5")  # the peak starts again
    with shared_attention(trainer.model.get_base_model()):
        trainer.train()
    return {"tensors": weights + trace.peak_bytes, "resident": weights + _resident("VmHWM") - before}


def time_plans(case: Case, plans: Sequence[Any]) -> list[float]:
    """Time the optimizer steps of an epoch with all plans, in turns. Returns CPU-seconds of a row for each."""
    steps = [_stepper(case, plan) for plan in plans]
    least: list[list[float]] = [[] for _ in plans]
    for number in range(-1, STEPS):
        taken: list[list[float]] = [[] for _ in plans]
        for _ in range(REPEATS if number >= 0 else 1):
            for index, step in enumerate(steps):
                start = time.process_time()
                step(max(0, number))
                taken[index].append(time.process_time() - start)
        if number >= 0:
            for index, seconds in enumerate(taken):
                least[index].append(min(seconds))
    return [sum(seconds) / len(case.rows) for seconds in least]


def _stepper(case: Case, plan: Any) -> Callable[[int], None]:
    """Return a function that takes the optimizer step with a number, as the trainer does."""
    from mmdpo.training.recomputation import recomputation
    from mmdpo.training.scoring import shared_attention

    trainer, count = make_trainer(case, plan), plan.gradient_accumulation_steps
    trainer.current_gradient_accumulation_steps = count
    optimizer, model = trainer.create_optimizer(), trainer.accelerator.prepare(trainer.model)
    batches = [
        case.collator([case.rows[index] for index in indices])
        for indices in case.batches.indices(plan.per_device_train_batch_size)
    ]

    def step(number: int) -> None:
        with (
            shared_attention(trainer.model.get_base_model()),
            recomputation(trainer.model, plan.activation_checkpointing),
        ):
            for batch in batches[number * count : (number + 1) * count]:
                trainer.training_step(model, batch)
        optimizer.step()
        optimizer.zero_grad()

    return step


def _resident(name: str) -> int:
    """Return a value of /proc/self/status in bytes."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(name):
            return int(line.split()[1]) * 1024
    raise LookupError(name)


def main(numbers: Sequence[int]) -> None:
    """Print a table and, last, one JSON object."""
    print(f"{'model and rows':<41}{'peak MiB':>16}{'worst error':>22}{'choice':>20}{'s to':>8}")
    print(f"{'':<41}{'least':>8}{'most':>8}{'tensors':>11}{'resident':>11}{'slower':>10}{'of limit':>10}{'predict':>8}")
    found: dict[str, dict[str, list[float]]] = {}
    missed: list[
        tuple[Any, ...]
    ] = []  # choices that are too slow, with the parts of the limit that they and the best use
    for seed in numbers:
        for one in measure(seed):
            plans, choices, widths = one["plans"], one["choices"], one["drawn"]["widths"]
            own = {
                "error": [plan["predicted"] / plan["tensors"] - 1 for plan in plans],
                "resident_error": [plan["predicted"] / plan["resident"] - 1 for plan in plans],
                "slower": [choice["slower"] - 1 for choice in choices],
                "of_limit": [choice["beyond"] for choice in choices],
            }
            missed += [(one["kind"], *choice.values()) for choice in choices if choice["slower"] > SLOWER]
            for name, values in own.items():
                found.setdefault(one["kind"], {}).setdefault(name, []).extend(values)
            dtype = "bf16" if one["drawn"]["dtype"] == "bfloat16" else "fp32"
            title = (
                f"{widths.layers} x {widths.hidden}, {(widths.side // 14) ** 2} image tokens, {dtype}, {one['kind']}"
            )
            sizes = [plan["tensors"] / (1 << 20) for plan in plans]
            errors = [max(own[name], key=abs) for name in ("error", "resident_error")]
            print(
                f"{title:<41}{min(sizes):>8.0f}{max(sizes):>8.0f}{errors[0]:>+11.1%}{errors[1]:>+11.1%}"
                f"{max(own['slower']):>+10.1%}{max(own['of_limit']):>10.2f}{one['seconds_to_predict']:>8.1f}",
                flush=True,
            )
            print(
                "    CPU ms a row, activations kept and recomputed: "
                + " ".join(f"{1000 * plan['seconds']:.1f}" for plan in plans),
                flush=True,
            )
    figures: dict[str, Any] = {"missed": missed} | {
        kind: {
            f"{which}_{name}": value([abs(one) for one in values] if "error" in name else values)
            for name, values in own.items()
            for which, value in (("worst", max), ("median", statistics.median))
        }
        for kind, own in found.items()
    }
    print(json.dumps(figures))


if __name__ == "__main__":
    os.environ["OMP_NUM_THREADS"] = "1"
    main([int(number) for number in sys.argv[1:]] or range(MODELS))
