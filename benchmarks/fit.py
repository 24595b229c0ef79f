"""Compare the fitter's predictions with measurements: `python benchmarks/fit.py`.

Eight random LLaVAs are trained with DPO on a CPU: widths, depth, number of image tokens, LoRA rank and dropout
and lengths of the answers are drawn; one of the eight is in bfloat16. For each one, all plans that give the same steps
are trained: micro-batches of 1, 2 and 4 rows, with and without recomputation. Measured are

- the peak of the tensors' bytes: the fitter's counter, on the real tensors of the real training;
- the growth of the process's resident memory, which the C library and the kernels' own buffers have a part in;
- CPU-seconds of a row, as the least of two optimizer steps.

For each model, several memory limits are drawn between the smallest and the largest measured peak. The choice of the
fitter is compared with the fastest of the plans whose measured peak is within the limit.
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
from pathlib import Path
from typing import Any

from random_llava import WORDS, Widths, random_llava, save_noise

MODELS, LIMITS = 8, 4
BATCH, STEPS, COUNTED = 4, 4, 2  # rows of an optimizer step; steps of a training; of those, counted and not timed
SIZES = (1, 2, 4)


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
        "dtype": "bfloat16" if seed == 3 else "float32",  # slow on most CPUs
        "answer": rng.randint(20, 80),
    }


def prepare(folder: Path, drawn: dict[str, Any], seed: int) -> list[Any]:
    """Write model and images, and return the pairs."""
    import numpy as np

    from mmdpo.records import PreferencePair

    random_llava(folder / "model", drawn["widths"]).save_pretrained(folder / "model")
    rng, noise = random.Random(seed), np.random.default_rng(seed)
    save_noise(folder / "image.png", noise)

    def words(count: int) -> str:
        return " ".join(f"w{rng.randrange(WORDS)}" for _ in range(count))

    def length() -> int:
        return rng.randint(drawn["answer"] * 9 // 10, drawn["answer"])

    return [
        PreferencePair(f"pair-{number}", words(20), words(length()), words(length()), ("image.png",))
        for number in range(BATCH * STEPS)
    ]


def measure(seed: int) -> dict[str, Any]:
    """Train one model with all plans. Returns predictions and measurements of each, and the choices per limit."""
    import torch

    from mmdpo.config.schema import LoraConfig, ModelConfig, TrainConfig
    from mmdpo.models.library_output import suppress_library_output
    from mmdpo.models.loading import load_processor, torch_dtype
    from mmdpo.training.collate import Collator
    from mmdpo.training.fit.choose import choose
    from mmdpo.training.fit.memory import Predictor
    from mmdpo.training.fit.meta import Device
    from mmdpo.training.fit.plan import Plan, Steps
    from mmdpo.training.rows import tokenize_examples

    torch.set_num_threads(1)
    drawn = draw(seed)
    with tempfile.TemporaryDirectory() as name, suppress_library_output():
        folder = Path(name)
        pairs = prepare(folder, drawn, seed)
        model = ModelConfig(
            path=str(folder / "model"), dtype=drawn["dtype"], lora=LoraConfig(drawn["rank"], 32, drawn["dropout"])
        )
        processor = load_processor(model)
        rows = tokenize_examples(pairs, folder, processor, TrainConfig()).rows
        for row in rows:
            row |= {"ref_chosen_logps": 0.0, "ref_rejected_logps": 0.0}
        collator = Collator(processor, shared=True)
        predictor = Predictor(model, rows, collator, Device(gpu=False, dtype=torch_dtype(model.dtype)))
        plans = [Plan(size, BATCH // size, recompute, 0) for recompute in (False, True) for size in SIZES]
        start = time.monotonic()
        peaks = {plan: predictor.peak(plan).total for plan in plans}
        seconds_to_predict = time.monotonic() - start
        found = [{"predicted": peaks[plan], **_train(model, rows, collator, plan, folder)} for plan in plans]
        rng = random.Random(seed)
        measured = [one["tensors"] for one in found]
        choices = []
        for _ in range(LIMITS):
            limit = int(rng.uniform(min(measured), max(measured) * 1.1))
            chosen = choose(Plan(BATCH, 1, True, 0), Steps(len(rows), BATCH, 1), (), predictor, limit, False)
            own = found[plans.index(chosen.plan)]
            best = min((one for one in found if one["tensors"] <= limit), key=lambda one: one["seconds"])
            choices.append({"slower": own["seconds"] / best["seconds"], "beyond": own["tensors"] / limit})
    drawn["widths"] = vars(drawn["widths"])
    return {"drawn": drawn, "plans": found, "choices": choices, "seconds_to_predict": seconds_to_predict}


def _train(model: Any, rows: list[Any], collator: Any, plan: Any, folder: Path) -> dict[str, Any]:
    """Train with a plan. The bytes of tensors are counted in the first steps, which then take longer."""
    from transformers import PrinterCallback, TrainerCallback, set_seed
    from trl import DPOConfig

    from mmdpo.models.loading import load_model
    from mmdpo.training.fit.meta import fixed_bytes
    from mmdpo.training.fit.trace import Trace
    from mmdpo.training.lora import lora
    from mmdpo.training.scoring import shared_attention
    from mmdpo.training.trainer import LoraDPOTrainer

    seconds: list[float] = []

    trace: Any = Trace()

    class Clock(TrainerCallback):
        def on_train_begin(self, *args: Any, **kwargs: Any) -> None:
            trace.__enter__()

        def on_step_begin(self, *args: Any, **kwargs: Any) -> None:
            self.start = time.process_time()

        def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            if state.global_step == COUNTED:
                trace.__exit__(None, None, None)
            elif state.global_step > COUNTED:
                seconds.append((time.process_time() - self.start) / BATCH)

    set_seed(0)
    base = load_model(model.path, model.dtype)
    for module in base.modules():
        if type(module).__name__ == "Dropout":
            module.p = 0.0
    arguments = DPOConfig(
        output_dir=str(folder / "out"), per_device_train_batch_size=plan.per_device_train_batch_size,
        gradient_accumulation_steps=plan.gradient_accumulation_steps, max_steps=STEPS, learning_rate=1e-4,
        activation_checkpointing=plan.activation_checkpointing, bf16=model.dtype == "bfloat16", use_cpu=True,
        max_length=None, report_to="none", save_strategy="no", disable_tqdm=True, logging_steps=1000,
        disable_dropout=False,
    )  # fmt: skip
    trainer = LoraDPOTrainer(base, arguments, rows, collator, lora(base, model), 0.0)
    trainer.remove_callback(PrinterCallback)
    trainer.add_callback(Clock())
    frozen, trained = fixed_bytes(trainer.model)
    weights = frozen + trained // 4
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)  # gives free memory back, so that it is not reused uncounted
    before = _resident("VmRSS")
    Path("/proc/self/clear_refs").write_text("5")  # the peak starts again
    with shared_attention(base):
        trainer.train()
    return {
        "tensors": weights + trace.peak_bytes,
        "resident": weights + _resident("VmHWM") - before,
        "seconds": min(seconds),
    }


def _resident(name: str) -> int:
    """Return a value of /proc/self/status in bytes."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(name):
            return int(line.split()[1]) * 1024
    raise LookupError(name)


def main(models: int) -> None:
    """Print a table and, last, one JSON object."""
    print(f"{'model':<34}{'peak MiB':>16}{'worst error':>22}{'choice':>20}{'s to':>8}")
    print(f"{'':<34}{'least':>8}{'most':>8}{'tensors':>11}{'resident':>11}{'slower':>10}{'of limit':>10}{'predict':>8}")
    errors, resident_errors, slower, beyond = [], [], [], []
    for seed in range(models):
        one = measure(seed)
        plans, choices, widths = one["plans"], one["choices"], one["drawn"]["widths"]
        own = [plan["predicted"] / plan["tensors"] - 1 for plan in plans]
        resident = [plan["predicted"] / plan["resident"] - 1 for plan in plans]
        errors += own
        resident_errors += resident
        slower += [choice["slower"] for choice in choices]
        beyond += [choice["beyond"] for choice in choices]
        name = f"{widths['layers']} x {widths['hidden']}, {(widths['side'] // 14) ** 2} image tokens, " + (
            "bf16" if one["drawn"]["dtype"] == "bfloat16" else "fp32"
        )
        sizes = [plan["tensors"] / (1 << 20) for plan in plans]
        print(
            f"{name:<34}{min(sizes):>8.0f}{max(sizes):>8.0f}{max(own, key=abs):>+11.1%}{max(resident, key=abs):>+11.1%}"
            f"{max(choice['slower'] for choice in choices) - 1:>+10.1%}"
            f"{max(choice['beyond'] for choice in choices):>10.2f}{one['seconds_to_predict']:>8.1f}",
            flush=True,
        )
    figures = {
        "worst_error": max(map(abs, errors)),
        "median_error": statistics.median(map(abs, errors)),
        "worst_resident_error": max(map(abs, resident_errors)),
        "median_resident_error": statistics.median(map(abs, resident_errors)),
        "worst_slower": max(slower) - 1,
        "median_slower": statistics.median(slower) - 1,
        "most_of_limit": max(beyond),
    }
    print(json.dumps(figures))


if __name__ == "__main__":
    os.environ["OMP_NUM_THREADS"] = "1"
    main(int(sys.argv[1]) if sys.argv[1:] else MODELS)
