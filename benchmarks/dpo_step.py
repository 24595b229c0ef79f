"""Compare a DPO step of a LLaVA with stock TRL's: `python benchmarks/dpo_step.py`.

The lengths are those of LLaVA-1.5-13B on paper (336 pixels, 576 image tokens, prompts of 60 tokens, two answers of
200). The model is random, has 110 million parameters in about the proportions of the 7B (vision tower a twentieth,
output head a fiftieth), LoRA on its language model, and float32.

On a GPU (`python benchmarks/dpo_step.py cuda`) the language model has the widths of the 7B and 8 of its 32 layers, in
bfloat16, and peak memory is that of the GPU.

Four trainers take the same steps on the same pairs: stock TRL with its defaults, which recomputes activations and
computes reference log-probs in each step (it refuses precomputed ones for vision data); stock TRL without its
reference pass; stock TRL with neither; mmdpo, which has the reference log-probs already, and keeps activations. Each
is a process on one core. They take their steps in turns: one computes while the others wait. The first step is a
warm-up. Seconds are medians of the others, on a CPU of CPU-seconds; a ratio is the median of the ratios within each
turn. Freed memory is kept by all of them. A number sets how many steps are timed: `python benchmarks/dpo_step.py 8`.

The FLOPs of each are counted by running the same code on the meta device. Their ratio is the limit: the ratio of times
if each operation were as fast as in mmdpo. It depends on the share of image and prompt in a row, and on the model's
proportions: mmdpo computes the feed-forward block of the last layer for answers alone, which is an eighth of these
blocks here and a fortieth in the 13B.
"""

from __future__ import annotations

import json
import os
import random
import statistics
import sys
import tempfile
import time
from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from resource import RUSAGE_SELF, getrusage
from typing import Any

import flops
from random_llava import WORDS, Widths, random_llava, save_noise
from turns import take_turns, wait_for_turn

CONTENDERS = {
    "default": "stock TRL's defaults",
    "without": "without reference",
    "neither": "without reference and recomputation",
    "ours": "mmdpo",
}
WAYS = {"default": "b", "without": "b0", "neither": "b0'"}
"""The contenders' names in benchmarks/flops.py."""
DTYPES = {True: "bfloat16", False: "float32"}  # on a GPU, on a CPU
RECOMPUTE = ("default", "without")
IN_TURNS = "in-turns"
ENVIRONMENT = {
    "OMP_NUM_THREADS": "1",  # less noise on a shared machine
    "MALLOC_MMAP_THRESHOLD_": str(1 << 40),  # keep freed memory, as the allocator of a GPU does
    "MALLOC_TRIM_THRESHOLD_": str(1 << 40),
}
IMAGE, PROMPT, ANSWERS = flops.IMAGE, flops.PROMPT, (flops.ANSWER, flops.ANSWER)  # tokens


@dataclass(frozen=True)
class Shape:
    """Widths of the model, and the steps."""

    widths: Widths
    steps: int  # the first of them is a warm-up
    batch: int  # pairs per step


CPU = Shape(Widths(1024, 2752, 8, 8, 320, 5), 5, 1)
GPU = Shape(Widths(4096, 11008, 32, 8, 1024, 16), 8, 4)  # widths of LLaVA-1.5 7B


def prepare(folder: Path, shape: Shape) -> None:
    """Write model, processor, pairs and images."""
    import numpy as np

    random_llava(folder / "model", shape.widths).save_pretrained(folder / "model")
    rng, noise = random.Random(0), np.random.default_rng(0)

    def words(count: int) -> str:
        return " ".join(f"w{rng.randrange(WORDS)}" for _ in range(count))

    pairs = []
    for index in range(shape.steps * shape.batch):
        save_noise(folder / f"{index}.png", noise)
        answers = [words(length - 1) for length in ANSWERS]  # and the token at their end
        # USER:, <image> and ASSISTANT: are the other three tokens of a prompt
        pairs.append([f"pair-{index}", words(PROMPT - 2), *answers, f"{index}.png"])
    (folder / "pairs.json").write_text(json.dumps(pairs))


def contend(name: str, folder: Path, gpu: bool, in_turns: bool) -> dict[str, Any]:
    """Take the steps with one trainer.

    Args:
        name: A key of CONTENDERS.
        folder: Folder of model and pairs.
        gpu: Whether to compute on the GPU, in bfloat16.
        in_turns: Whether to wait for the other trainers before each step.

    Returns:
        Seconds of each step, positions per step, and peak memory (GiB).
    """
    import torch
    from transformers import TrainerCallback, set_seed

    from mmdpo.config.schema import LoraConfig, ModelConfig
    from mmdpo.models.library_output import suppress_library_output
    from mmdpo.models.loading import load_model, load_processor
    from mmdpo.training.lora import lora
    from mmdpo.training.recomputation import recomputation_argument
    from mmdpo.training.scoring import shared_attention

    seconds: list[float] = []
    positions: list[int] = []

    clock = time.perf_counter if gpu else time.process_time

    class Clock(TrainerCallback):
        def on_step_begin(self, *args: Any, **kwargs: Any) -> None:
            if in_turns:
                wait_for_turn()
            self.start = clock()

        def on_step_end(self, *args: Any, **kwargs: Any) -> None:
            if gpu:
                torch.cuda.synchronize()
            seconds.append(clock() - self.start)

    with suppress_library_output():
        from trl import DPOConfig

        set_seed(0)
        model_config = ModelConfig(path=str(folder / "model"), lora=LoraConfig(16, 32, 0.0))
        shape = GPU if gpu else CPU
        model = load_model(model_config.path, DTYPES[gpu])
        settings = DPOConfig(
            output_dir=str(folder / "out"),
            per_device_train_batch_size=shape.batch,
            max_steps=len(json.loads((folder / "pairs.json").read_text())) // shape.batch,
            learning_rate=1e-4,
            **recomputation_argument(name in RECOMPUTE),
            bf16=gpu,
            use_cpu=not gpu,
            max_length=None,
            report_to="none",
            save_strategy="no",
            disable_tqdm=True,
        )
        make = ours if name == "ours" else stock
        trainer = make(folder, model, settings, load_processor(model_config), lora(model, model_config))
        if name in ("without", "neither"):
            without_reference(trainer)
        backbone = trainer.model.get_base_model().model.language_model

        def count(module: Any, arguments: Any, keywords: Any) -> None:
            positions.append(keywords["inputs_embeds"].shape[0] * keywords["inputs_embeds"].shape[1])

        backbone.register_forward_pre_hook(count, with_kwargs=True)
        trainer.add_callback(Clock())
        with shared_attention(model) if name == "ours" else nullcontext():
            trainer.train()
    peak = torch.cuda.max_memory_allocated() / (1 << 30) if gpu else getrusage(RUSAGE_SELF).ru_maxrss / (1 << 20)
    return {"seconds": seconds[1:], "positions": sum(positions) / len(seconds), "memory": peak}


def stock(folder: Path, model: Any, settings: Any, processor: Any, adapter: Any) -> Any:
    """Build TRL's trainer on TRL's data."""
    from datasets import Dataset
    from PIL import Image
    from trl import DPOTrainer

    def turn(role: str, *parts: dict[str, str]) -> list[dict[str, Any]]:
        return [{"role": role, "content": list(parts)}]

    rows = [
        {
            "images": [Image.open(folder / image).convert("RGB")],
            "prompt": turn("user", {"type": "image"}, {"type": "text", "text": question}),
            "chosen": turn("assistant", {"type": "text", "text": chosen}),
            "rejected": turn("assistant", {"type": "text", "text": rejected}),
        }
        for _, question, chosen, rejected, image in json.loads((folder / "pairs.json").read_text())
    ]
    return DPOTrainer(
        model,
        args=settings,
        train_dataset=Dataset.from_list(rows),
        processing_class=processor,
        peft_config=adapter,
    )


def without_reference(trainer: Any) -> None:
    """Give TRL's trainer precomputed reference log-probs, which its constructor would refuse."""
    import torch

    collate = trainer.data_collator

    def with_reference(rows: Any) -> Any:
        zeros = torch.zeros(len(rows))
        return {**collate(rows), "ref_chosen_logps": zeros, "ref_rejected_logps": zeros}

    trainer.data_collator, trainer.precompute_ref_logps = with_reference, True


def ours(folder: Path, model: Any, settings: Any, processor: Any, adapter: Any) -> Any:
    """Build our trainer on the same pairs; in a real run, their reference log-probs are in the cache."""
    from mmdpo.config.schema import TrainConfig
    from mmdpo.records import PreferencePair
    from mmdpo.training.collate import Collator
    from mmdpo.training.rows import tokenize_examples
    from mmdpo.training.trainer import LoraDPOTrainer

    stored = json.loads((folder / "pairs.json").read_text())
    pairs = [
        PreferencePair(name, question, chosen, rejected, (image,)) for name, question, chosen, rejected, image in stored
    ]
    rows = tokenize_examples(pairs, folder, processor, TrainConfig()).rows
    for row in rows:
        row |= {"ref_chosen_logps": 0.0, "ref_rejected_logps": 0.0}
    return LoraDPOTrainer(model, settings, rows, Collator(processor, shared=True), adapter, 0.0)


def limits(folder: Path, gpu: bool) -> dict[str, float]:
    """Count the FLOPs of a pair for each contender, of its step alone."""
    from mmdpo.config.schema import LoraConfig, ModelConfig
    from mmdpo.training.fit.meta import meta_model

    model = meta_model(ModelConfig(path=str(folder / "model"), dtype=DTYPES[gpu], lora=LoraConfig(16, 32, 0.0)))
    counted = flops.count(model, image_token=4)
    ours = counted["e"]
    return {name: counted[way].total for name, way in WAYS.items()} | {"ours": ours.forward + ours.backward}


def main(options: list[str]) -> None:
    """Print a table and, last, one JSON object.

    Args:
        options: `cuda` for a GPU, and the number of steps that are timed.
    """
    unknown = [option for option in options if option != "cuda" and not option.isdigit()]
    if unknown:
        raise SystemExit(f"{' '.join(unknown)}: unknown; allowed are cuda and a number of steps")
    gpu = "cuda" in options
    shape = GPU if gpu else CPU
    for option in filter(str.isdigit, options):
        shape = replace(shape, steps=1 + max(1, int(option)))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        prepare(folder, shape)
        counted = limits(folder, gpu)
        device = ["cuda"] if gpu else []
        commands = {name: [sys.executable, __file__, name, str(folder), *device, IN_TURNS] for name in CONTENDERS}
        environment = {**ENVIRONMENT, **os.environ}
        lines = take_turns(commands, shape.steps, environment)
    results = {name: json.loads(line) for name, line in lines.items()}
    figures: dict[str, Any] = {
        "seconds": {name: statistics.median(result["seconds"]) for name, result in results.items()},
        "flops": counted,
        "positions": {name: result["positions"] for name, result in results.items()},
        "memory": {name: result["memory"] for name, result in results.items()},
        "times": {name: _ratio(results[name]["seconds"], results["ours"]["seconds"]) for name in CONTENDERS},
        "limits": {name: counted[name] / counted["ours"] for name in CONTENDERS},
    }
    print(f"{'':<38}{'s per step':>11}{'ratio':>8}{'limit':>8}{'TFLOP':>8}{'positions':>11}{'peak GiB':>10}")
    for name, title in CONTENDERS.items():
        columns = f"{figures['times'][name]:>7.2f}x{figures['limits'][name]:>7.2f}x"
        columns += f"{counted[name] * shape.batch / 1e12:>8.2f}{figures['positions'][name]:>11.0f}"
        print(f"{title:<38}{figures['seconds'][name]:>11.2f}{columns}{figures['memory'][name]:>10.2f}")
    print(json.dumps(figures))


def _ratio(seconds: list[float], own: list[float]) -> float:
    """Return the median ratio of two trainers' seconds within a turn."""
    return statistics.median(one / other for one, other in zip(seconds, own, strict=True))


if __name__ == "__main__":
    if sys.argv[1:2] and sys.argv[1] in CONTENDERS:
        print(json.dumps(contend(sys.argv[1], Path(sys.argv[2]), "cuda" in sys.argv, IN_TURNS in sys.argv)))
    else:
        main(sys.argv[1:])
