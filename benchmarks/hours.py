"""Compare predicted with measured hours on random configurations: `python benchmarks/hours.py [COUNT] [SEED]`.

First stage=measure runs once for the miniature and its kinds of trainings, on an empty record of times; it is the only
source of the predictions. Then each configuration (method, batch size, accumulation, rows, epochs, items, batch of
answers, points) is predicted and run as a command of its own, in a copy of the same cache. Compared are CPU seconds of
the whole command, as the operating system counts them, because the machine may be shared. Other programs also change
how much a CPU second does. gauge.py measures that beside each command, and the prediction is scaled by its ratio to the
gauge of the measurement. The figures without that scale are printed, too.
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
from dataclasses import asdict, dataclass
from pathlib import Path

from gauge import Gauge

ROOT = Path(__file__).resolve().parent.parent
METHODS = ("dpo", "ipo", "sft", "rejection_sampling", "kto", "mpo")
MEASURED = ("dpo", "sft", "kto", "mpo")  # one of each kind of training
WITHIN = 0.15


@dataclass(frozen=True)
class Row:
    """CPU seconds of one configuration: predicted, scaled by the gauge, measured; and the error that is stated."""

    overrides: list[str]
    predicted: float
    scaled: float
    measured: float
    stated: float


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


def run(cache: Path, *words: str) -> tuple[float, float]:
    """Run launch.py with a cache and return its CPU seconds, and those of the gauge's piece of work."""

    def used() -> float:
        usage = resource.getrusage(resource.RUSAGE_CHILDREN)
        return usage.ru_utime + usage.ru_stime

    before = used()
    environment = {**os.environ, "OMP_WAIT_POLICY": "passive", "MMDPO_CACHE": str(cache)}
    command = [sys.executable, "launch.py", *words]
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    with Gauge() as gauge:
        subprocess.run(command, cwd=ROOT, check=True, env=environment, **quiet)  # type: ignore[call-overload]
    return used() - before, gauge.seconds


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
    assert not prediction.borrowed, prediction.borrowed
    return sum(prediction.cpu.values()), prediction.error


def compare(folder: Path, cache: Path, count: int, seed: int) -> None:
    """Measure, predict and run configurations, and print a line for each, a summary and, last, one JSON object.

    Args:
        folder: A folder for the results.
        cache: The cache with the training sets.
        count: The number of configurations.
        seed: Their seed.
    """
    words = ["-m", "stage=measure", f"method={','.join(MEASURED)}", f"out={folder}/out"]
    measured_for, gauge = run(cache, *words)
    print(f"measured for {measured_for:.0f} CPU seconds", flush=True)
    rows = []
    for number, overrides in enumerate(configurations(count, seed)):
        guess, error = predicted(overrides, folder / "nowhere")
        own = folder / f"cache{number}"
        shutil.copytree(cache, own)
        spent, beside = run(own, "-m", *overrides, f"out={folder}/out{number}", "study=s", "tracking=none")
        shutil.rmtree(own)
        scaled = guess * beside / gauge
        rows.append(Row(overrides, guess, scaled, spent, error))
        print(
            f"{scaled:6.1f} s predicted ({guess:.1f} unscaled), {spent:6.1f} s measured, {scaled / spent - 1:+5.0%}  "
            f"{' '.join(overrides)}",
            flush=True,
        )
    print(f"measured for {measured_for:.0f} CPU seconds; {_summary([row.scaled / row.measured - 1 for row in rows])}")
    print(f"without the gauge: {_summary([row.predicted / row.measured - 1 for row in rows])}")
    print(json.dumps({"measured_for": measured_for, "rows": [asdict(row) for row in rows]}))


def main() -> None:
    """Compare in a folder of its own."""
    count, seed = map(int, [*sys.argv[1:3], *("20", "0")[len(sys.argv) - 1 :]])
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        os.environ["MMDPO_CACHE"] = str(folder / "cache")
        make_training_sets()
        compare(folder, folder / "cache", count, seed)


def _summary(off: list[float]) -> str:
    within = sum(abs(one) <= WITHIN for one in off)
    return f"{within} of {len(off)} within 15 %, worst {max(off, key=abs):+.0%}, on average {sum(off) / len(off):+.0%}"


if __name__ == "__main__":
    main()
