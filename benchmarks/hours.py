"""Compare predicted with measured hours on random configurations: `python benchmarks/hours.py [COUNT] [SEED]`.

First stage=measure runs once for the miniature, on an empty record of times; it is the only source of the predictions.
Then each configuration (method, batch size, accumulation, rows, epochs, items, batch of answers, points) is predicted
and run as a command of its own, in a copy of the same cache. Compared are CPU seconds, because the machine may be
shared: those of the whole command, as the operating system counts them.
"""

from __future__ import annotations

import json
import os
import random
import resource
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
METHODS = ("dpo", "ipo", "sft", "rejection_sampling")
WITHIN = 0.15


def configurations(count: int, seed: int) -> Iterator[list[str]]:
    """Yield the overrides of random sweeps of one or two points."""
    rng = random.Random(seed)
    for number in range(count):
        seeds = ["seed=0", "seed=0,1"][rng.random() < 0.4]
        yield [
            f"method={METHODS[number % len(METHODS)]}",
            seeds,
            f"data_limit={rng.randrange(60, 560, 20)}",
            f"train.per_device_train_batch_size={rng.choice((4, 8, 16, 32))}",
            f"train.gradient_accumulation_steps={rng.choice((1, 1, 2))}",
            f"train.num_train_epochs={rng.choice((1, 2, 3))}",
            f"bench.items={rng.randrange(30, 300, 30)}",
            f"bench.batch_size={rng.choice((30, 60, 120))}",
            *(["model.before_visual_tuning=null"] if rng.random() < 0.5 else []),
        ]


def run(cache: Path, *words: str) -> float:
    """Run launch.py with a cache and return its CPU seconds."""

    def used() -> float:
        usage = resource.getrusage(resource.RUSAGE_CHILDREN)
        return usage.ru_utime + usage.ru_stime

    before = used()
    environment = {**os.environ, "OMP_WAIT_POLICY": "passive", "MMDPO_CACHE": str(cache)}
    command = [sys.executable, "launch.py", *words]
    subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=environment)
    return used() - before


def make_training_sets() -> None:
    """Make the training sets of all methods, before anything is measured."""
    from mmdpo.entry.compose import compose_config
    from mmdpo.pipeline.training_sets import training_set

    for method in METHODS:
        training_set(compose_config([f"method={method}"]))


def predicted(overrides: list[str], out: Path) -> tuple[float, float]:
    """Return the predicted CPU seconds of a sweep, and their stated relative error."""
    from mmdpo.config.choices import Stage
    from mmdpo.entry.compose import compose_config
    from mmdpo.points.point import baselines, points_of
    from mmdpo.sweep.hours import predict_points

    fixed = [one for one in overrides if not one.startswith("seed=")]
    seeds = next(one for one in overrides if one.startswith("seed=")).removeprefix("seed=").split(",")
    configs = [compose_config([*fixed, f"seed={seed}", f"out={out}"]) for seed in seeds]
    prediction, _ = predict_points([*baselines(configs[0]), *points_of(configs)], Stage.experiment)
    assert not prediction.unknown, prediction.unknown
    return sum(prediction.cpu.values()), prediction.error


def main() -> None:
    """Print a line per configuration, a summary and, last, one JSON object."""
    count, seed = map(int, [*sys.argv[1:3], *("20", "0")[len(sys.argv) - 1 :]])
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        cache = folder / "cache"
        os.environ["MMDPO_CACHE"] = str(cache)
        make_training_sets()
        measured_for = run(cache, "stage=measure", f"out={folder}/out")
        sweeps = [*configurations(count, seed)]
        guesses = [predicted(overrides, folder / "nowhere") for overrides in sweeps]
        rows = []
        for number, (overrides, (guess, error)) in enumerate(zip(sweeps, guesses, strict=True)):
            own = folder / f"cache{number}"
            shutil.copytree(cache, own)
            spent = run(own, "-m", *overrides, f"out={folder}/out{number}", "study=s", "tracking=none")
            shutil.rmtree(own)
            rows.append({"overrides": overrides, "predicted": guess, "measured": spent, "stated": error})
            print(
                f"{guess:6.1f} s predicted, {spent:6.1f} s measured, {guess / spent - 1:+5.0%}  {' '.join(overrides)}"
            )
    off = [abs(row["predicted"] / row["measured"] - 1) for row in rows]  # type: ignore[operator]
    within = sum(one <= WITHIN for one in off)
    print(f"measured for {measured_for:.0f} CPU seconds; {within} of {len(off)} within 15 %, worst {max(off):.0%}")
    print(json.dumps({"measured_for": measured_for, "within": within, "worst": max(off), "rows": rows}))


if __name__ == "__main__":
    main()
