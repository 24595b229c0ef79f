"""Measure the speeds of this machine: a few small points, run as all points are (stage=measure)."""

from __future__ import annotations

import contextlib
import dataclasses
import io
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from mmdpo.config.choices import CLIENTS, Stage, WandbMode
from mmdpo.config.schema import BenchConfig, Config
from mmdpo.console import print_line
from mmdpo.errors import UserError
from mmdpo.models.model_cache import use_model_cache
from mmdpo.models.model_files import model_shape
from mmdpo.pipeline.point_samples import sample_sets_of
from mmdpo.points.identity import Role
from mmdpo.points.point import Point, before_visual_tuning, point, unique_up_to_axes
from mmdpo.sweep.run_point import run_point
from mmdpo.timings import MEASUREMENT, Timing, read_timings, timed, timings_of

SECONDS = 6.0  # of training, and of answers, in the larger probe; the other has half of it
STEPS, ITEMS = 2, 8  # of the first probe
MOST_STEPS, MOST_ITEMS = 200, 480
MakePoint = Callable[[Config], Point | None]


def measure(configs: Sequence[Config]) -> None:
    """Run small points of each different model of these configs, and keep their times.

    Raises UserError if one of the points fails.
    """
    started, measured = time.monotonic(), set()
    makers: tuple[MakePoint, ...] = (point, before_visual_tuning)
    for config in unique_up_to_axes(sorted(configs, key=lambda one: one.is_base)):
        for make in makers:
            p = make(config)
            if p is None:
                continue
            key = model_shape(p.config.model), config.bench.name, config.method.train_on, config.train.name
            if key not in measured:
                measured.add(key)
                _measure(config, make, p)
    print_line(f"measured in {time.monotonic() - started:.0f} s; dry_run=true predicts hours from it")


def _measure(config: Config, make: MakePoint, p: Point) -> None:
    """Measure with three small points: a first one, a larger one, and one with other batches."""
    train, bench = config.train, config.bench
    shape = model_shape(p.config.model)
    with TemporaryDirectory() as folder, use_model_cache(), timings_of(shape, MEASUREMENT):
        tracking = dataclasses.replace(config.tracking, mode=WandbMode.none)
        base = dataclasses.replace(
            config, out=folder, study="probe", tracking=tracking, stage=Stage.experiment, dry_run=False
        )
        for number in range(3):
            steps, items = _size(read_timings(shape), SECONDS / max(number, 1)) if number else (STEPS, ITEMS)
            if number == 2:
                smaller = max(1, train.per_device_train_batch_size // 4)
                train = dataclasses.replace(train, per_device_train_batch_size=smaller, gradient_accumulation_steps=2)
                bench = dataclasses.replace(bench, batch_size=max(1, bench.batch_size // 4))
            probe = dataclasses.replace(
                base, bench=_with_items(dataclasses.replace(config, bench=bench), items), label_noise=0.0
            )
            if p.role is Role.trained:
                train = dataclasses.replace(train, num_train_epochs=1.0, warmup_ratio=0.0)
                rows = steps * train.per_device_train_batch_size * train.gradient_accumulation_steps
                probe = dataclasses.replace(probe, train=train, data_limit=rows, data_scale=1.0)
            _run(make(probe))
        if p.config.bench.judge.client not in CLIENTS.names():
            _report(Path(folder, "probe"))


def _run(p: Point | None) -> None:
    assert p is not None
    for stage in _stages(p):
        if error := run_point(p, stage):
            raise UserError(f"stage=measure: a small point failed: {error}")


def _stages(p: Point) -> list[Stage]:
    """Return the stages of a probe; a service is not asked."""
    if p.config.bench.judge.client not in CLIENTS.names():
        return [Stage.experiment]
    return [Stage.train, Stage.evaluate] if p.role is Role.trained else [Stage.evaluate]


def _report(study: Path) -> None:
    from mmdpo.analysis.report import write_report

    with timed("report", reports=1), contextlib.redirect_stdout(io.StringIO()):
        write_report(study)


def _size(timings: Sequence[Timing], seconds: float) -> tuple[int, int]:
    """Return optimizer steps and items per task that take some seconds, by the newest times."""
    train = [one for one in timings if one.kind == "train"]
    answers = {one.kind: one for one in timings if one.kind.startswith("answers/")}.values()
    steps = int(seconds * train[-1].amounts["steps"] / train[-1].seconds) if train else STEPS
    items = int(seconds / sum(one.seconds / one.amounts["answers"] for one in answers)) if answers else ITEMS
    return min(max(steps, STEPS), MOST_STEPS), min(max(items, ITEMS), MOST_ITEMS)


def _with_items(config: Config, items: int) -> BenchConfig:
    """Return the benchmarks with about `items` items per task."""
    sizes = [len(one.asked) for one in sample_sets_of(config) if one.task.bench_files]  # the others make their items
    share = min(1.0, config.bench.subset * items * len(sizes) / sum(sizes)) if sizes else config.bench.subset
    return dataclasses.replace(config.bench, items=items, subset=share)
