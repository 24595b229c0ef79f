"""Compare the paper's search of 12 points with 12 runs of a plain TRL script: `python benchmarks/grid.py`.

Beta {0.1, 0.2, 0.3} x lr {5e-5, 5e-6} x sums or averages, DPO with LoRA on the miniature, one epoch over the same
pairs, training without evaluation. The other side is a loop over a script like those in TRL's documentation: one
process per point, a reference pass in each step, two rows per pair. Both start from existing pairs. mmdpo's time
includes its reference log-probs; it runs in one process, and in one per core. The losses of all steps are compared, to
show that the work is the same. With halving, the time includes the measurements at the rungs, and the losses of pruned
points are compared as far as they were trained.
"""

from __future__ import annotations

import itertools
import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
WAYS = {
    "one sweep, cluster=local": ("cluster=local",),
    "one sweep, cluster=local_parallel": ("cluster=local_parallel",),
    "search=halving, cluster=local": ("cluster=local", "search=halving"),
}
POINTS = list(itertools.product((0.1, 0.2, 0.3), (5e-5, 5e-6), (False, True)))


def pairs_for_trl(folder: Path) -> None:
    """Build the miniature's pairs, and write them with the settings that a script needs."""
    from mmdpo.entry.compose import compose_config
    from mmdpo.models.loading import load_model
    from mmdpo.models.paths import resolve_path
    from mmdpo.pipeline.training_sets import training_set
    from mmdpo.training.lora import target_pattern
    from mmdpo.training.recomputation import recomputation_argument
    from mmdpo.training_data.subset import limited

    config = compose_config(["sweep=beta_lr_grid"])
    data = training_set(config)
    examples: Any = data.examples
    pairs = [vars(pair) for pair in limited(examples, config.data_limit, config.data.seed)]
    for pair in pairs:
        pair["history"] = [vars(turn) for turn in pair["history"]]
        pair["images"] = [str(data.image_root / name) for name in pair["images"]]
        del pair["image_positions"]
    content = {
        "pairs": pairs,
        "model": resolve_path(config.model.path),
        "targets": target_pattern(load_model(config.model.path, "float32")),
        "lora": [config.model.lora.r, config.model.lora.lora_alpha, config.model.lora.lora_dropout],
        "batch_size": config.train.per_device_train_batch_size,
        "recomputation": recomputation_argument(False),
    }
    (folder / "pairs.json").write_text(json.dumps(content))


def plain_trl(folder: Path, beta: float, lr: float, average: bool) -> None:
    """Run the plain TRL script for one point, and print the losses of its steps.

    Args:
        folder: Folder of pairs and checkpoints.
        beta: DPO's beta.
        lr: Learning rate.
        average: Whether the loss averages log-probs over tokens.
    """
    from datasets import Dataset
    from peft import LoraConfig
    from PIL import Image
    from transformers import AutoModelForImageTextToText, AutoProcessor
    from trl import DPOConfig, DPOTrainer

    content = json.loads((folder / "pairs.json").read_text())

    def turn(role: str, text: str, images: int = 0) -> dict[str, Any]:
        parts = [{"type": "image"}] * images
        return {"role": role, "content": [*parts, {"type": "text", "text": text}]}

    def conversation(pair: dict[str, Any]) -> list[dict[str, Any]]:
        turns = []
        for earlier in pair["history"]:
            turns += [("user", earlier["question"]), ("assistant", earlier["answer"])]
        turns.append(("user", pair["question"]))
        return [turn(role, text, 0 if index else len(pair["images"])) for index, (role, text) in enumerate(turns)]

    rows = [
        {
            "images": [Image.open(name).convert("RGB") for name in pair["images"]],
            "prompt": conversation(pair),
            "chosen": [turn("assistant", pair["chosen"])],
            "rejected": [turn("assistant", pair["rejected"])],
        }
        for pair in content["pairs"]
    ]
    rank, alpha, dropout = content["lora"]
    trainer = DPOTrainer(
        AutoModelForImageTextToText.from_pretrained(content["model"], dtype="float32", trust_remote_code=False),
        args=DPOConfig(
            output_dir=str(folder / f"trl-{beta}-{lr}-{average}"),
            beta=beta,
            learning_rate=lr,
            loss_type="sigmoid_norm" if average else "sigmoid",
            num_train_epochs=1,
            per_device_train_batch_size=content["batch_size"],
            **content["recomputation"],
            lr_scheduler_type="cosine",
            warmup_steps=0.03,
            weight_decay=0.0,
            logging_steps=1,
            max_length=None,
            bf16=False,
            use_cpu=True,
            seed=0,
            report_to="none",
            disable_tqdm=True,
        ),
        train_dataset=Dataset.from_list(rows),
        processing_class=AutoProcessor.from_pretrained(content["model"], trust_remote_code=False),
        peft_config=LoraConfig(
            r=rank,
            lora_alpha=alpha,
            lora_dropout=dropout,
            target_modules=content["targets"],
            task_type="CAUSAL_LM",
        ),
    )
    trainer.train()
    trainer.save_model()
    print(json.dumps([entry["loss"] for entry in trainer.state.log_history if "loss" in entry]))


def timed(environment: dict[str, str], *words: str) -> tuple[str, float, float]:
    """Run a Python command; return its output, wall seconds and CPU seconds."""

    def used() -> float:
        usage = resource.getrusage(resource.RUSAGE_CHILDREN)
        return usage.ru_utime + usage.ru_stime

    command, before, start = [sys.executable, *words], used(), time.perf_counter()
    done = subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True, env=environment)
    return done.stdout, time.perf_counter() - start, used() - before


def losses_of_ours(study: Path) -> dict[tuple[float, float, bool], list[float]]:
    """Read the losses of each point's steps."""
    from omegaconf import OmegaConf

    found = {}
    for file in study.glob("*/metrics.jsonl"):
        config = OmegaConf.load(file.parent / "config.yaml")
        lines = map(json.loads, file.read_text().splitlines())
        point = config.beta, config.lr, config.logprob_avg
        found[point] = [line["loss"] for line in lines if "loss" in line]
    return found


def main() -> None:
    """Print a table and, last, one JSON object."""
    with tempfile.TemporaryDirectory() as name:
        environment = {"OMP_WAIT_POLICY": "passive", **os.environ, "MMDPO_CACHE": f"{name}/cache"}
        timed(environment, __file__, "prepare", name)
        losses: dict[tuple[float, float, bool], list[float]] = {}
        wall = cpu = 0.0
        for point in POINTS:
            printed, seconds, processor = timed(environment, __file__, "trl", name, json.dumps(point))
            losses[point] = json.loads(printed.splitlines()[-1])
            wall, cpu = wall + seconds, cpu + processor
        ours: dict[str, tuple[float, float]] = {}
        apart = 0.0
        for number, (way, overrides) in enumerate(WAYS.items()):
            cache, out = f"{name}/{number}/cache", f"{name}/{number}/out"
            shutil.copytree(f"{name}/cache", cache)
            line = ("launch.py", "-m", "sweep=beta_lr_grid", "stage=train", "tracking=none", *overrides)
            own = {**environment, "MMDPO_CACHE": cache}
            _, seconds, processor = timed(own, *line, f"out={out}")
            ours[way] = seconds, processor
            found = losses_of_ours(Path(out) / "nano-beta_lr_grid")
            assert found.keys() == losses.keys()
            for point in POINTS:
                steps = zip(found[point], losses[point], strict="search=halving" not in overrides)
                apart = max(apart, *(abs(one - other) for one, other in steps))
    print(f"{'':<34}{'wall s':>9}{'CPU s':>9}{'ratios':>14}")
    print(f"{'12 runs of a plain TRL script':<34}{wall:>9.0f}{cpu:>9.0f}")
    figures: dict[str, Any] = {"trl": {"wall": wall, "cpu": cpu}}
    for way, (our_wall, our_cpu) in ours.items():
        times = wall / our_wall, cpu / our_cpu
        print(f"{way:<34}{our_wall:>9.0f}{our_cpu:>9.0f}{times[0]:>8.1f}x{times[1]:>5.1f}x")
        figures[way] = {"wall": our_wall, "cpu": our_cpu, "times_wall": times[0], "times_cpu": times[1]}
    print(f"{len(losses[POINTS[0]])} steps per point; losses differ by {apart:.1e} at most")
    print(json.dumps({**figures, "largest_loss_difference": apart}))


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["prepare", folder]:
            pairs_for_trl(Path(folder))
        case ["trl", folder, point]:
            plain_trl(Path(folder), *json.loads(point))
        case _:
            main()
