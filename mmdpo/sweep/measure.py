"""Measure the speeds of this machine: a few small points, run as all points are (stage=measure)."""

from __future__ import annotations

import contextlib
import io
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory

from mmdpo.config.choices import CLIENTS, Stage, WandbMode
from mmdpo.config.schema import BenchConfig, Config
from mmdpo.console import print_line
from mmdpo.errors import UserError
from mmdpo.models.model_cache import use_model_cache
from mmdpo.models.model_files import model_shape
from mmdpo.pipeline.evaluating import ANSWERING
from mmdpo.pipeline.point_samples import sample_sets_of
from mmdpo.points.identity import Role
from mmdpo.points.point import Point, before_visual_tuning, point, unique_up_to_axes
from mmdpo.sweep.run_point import run_point
from mmdpo.sweep.work import training_kind_of
from mmdpo.timings import MEASUREMENT, REPORT, Timing, read_timings, timed, timings_of

STEPS, ITEMS = 2, 8  # of the first probe
MOST_STEPS, MOST_ITEMS = 200, 480
MakePoint = Callable[[Config], Point | None]


@dataclass(frozen=True)
class Probe:
    """A small point to measure.

    Attributes:
        seconds: Seconds of training, and of answers, that it should take; 0 for a point of the least size.
        answers: Whether it also answers.
        is_smaller: Whether its batches are a quarter of the configured ones.
        accumulation: Batches per optimizer step.
    """

    seconds: float = 0.0
    answers: bool = True
    is_smaller: bool = False
    accumulation: int = 1


PROBES = (Probe(), Probe(5.0), Probe(2.5, is_smaller=True, accumulation=2), Probe(1.5, answers=False, is_smaller=True))
"""Enough different rows, batches and steps to tell their costs apart."""
MORE_TRAININGS = 0.5
"""The share of the seconds for further kinds of trainings of a model."""


def measure(configs: Sequence[Config]) -> None:
    """Run small points of each different model and each kind of training of these configs, and keep their times.

    Raises UserError if one of the points fails.
    """
    started, measured = time.monotonic(), set[tuple[str, ...]]()
    makers: tuple[MakePoint, ...] = (point, before_visual_tuning)
    for config in unique_up_to_axes(sorted(configs, key=lambda one: one.is_base)):
        for make in makers:
            p = make(config)
            if p is None:
                continue
            shape = model_shape(p.config.model)
            answers = {("answers", shape, config.bench.name)}
            trains = {(training_kind_of(config), shape, config.train.name)} if p.role is Role.trained else set()
            if answers - measured:
                _measure(config, make, p, PROBES)
            elif trains - measured:
                again = [replace(one, seconds=one.seconds * MORE_TRAININGS, answers=False) for one in PROBES]
                _measure(config, make, p, again)
            measured |= answers | trains
    print_line(f"measured in {time.monotonic() - started:.0f} s; dry_run=true predicts hours from it")


def _measure(config: Config, make: MakePoint, p: Point, probes: Sequence[Probe]) -> None:
    """Measure with small points, which are run as those of a sweep are: the base before the first trained one."""
    shape = model_shape(p.config.model)
    with TemporaryDirectory() as folder, use_model_cache(), timings_of(shape, MEASUREMENT):
        tracking = replace(config.tracking, mode=WandbMode.none)
        base = replace(
            config, out=folder, study="probe", tracking=tracking, stage=Stage.experiment, dry_run=False, label_noise=0.0
        )
        for number, probe in enumerate(probes):
            sizes = _size(read_timings(shape), probe.seconds) if probe.seconds else (STEPS, ITEMS)
            small = _with_sizes(base, probe, p.role is Role.trained, *sizes)
            if p.role is Role.trained and probe.answers and not number:
                _run(point(replace(small, data_scale=0.0)), probe)
            if p.role is Role.trained or probe.answers:
                _run(make(small), probe)
            if not number and probe.answers and p.config.bench.judge.client not in CLIENTS.names():
                _report(Path(folder, "probe"))


def _with_sizes(config: Config, probe: Probe, is_trained: bool, steps: int, items: int) -> Config:
    """Return the config of a probe."""
    train, bench = config.train, config.bench
    if probe.is_smaller:
        smaller = max(min(2, train.per_device_train_batch_size), train.per_device_train_batch_size // 4)
        train = replace(train, per_device_train_batch_size=smaller)
        bench = replace(bench, batch_size=max(1, bench.batch_size // 4))
    small = replace(config, bench=_with_items(replace(config, bench=bench), items))
    if is_trained:
        train = replace(train, gradient_accumulation_steps=probe.accumulation, num_train_epochs=1.0, warmup_ratio=0.0)
        rows = steps * train.per_device_train_batch_size * train.gradient_accumulation_steps
        small = replace(small, train=train, data_limit=rows, data_scale=1.0)
    return small


def _run(p: Point | None, probe: Probe) -> None:
    assert p is not None
    for stage in _stages(p, probe):
        if error := run_point(p, stage):
            raise UserError(f"stage=measure: a small point failed: {error}")


def _stages(p: Point, probe: Probe) -> list[Stage]:
    """Return the stages of a probe; a service is not asked."""
    if not probe.answers:
        return [Stage.train]
    if p.config.bench.judge.client not in CLIENTS.names():
        return [Stage.experiment]
    return [Stage.train, Stage.evaluate] if p.role is Role.trained else [Stage.evaluate]


def _report(study: Path) -> None:
    from mmdpo.analysis.report import write_report

    with timed(REPORT, reports=1), contextlib.redirect_stdout(io.StringIO()):
        write_report(study)


def _size(timings: Sequence[Timing], seconds: float) -> tuple[int, int]:
    """Return optimizer steps and items per task that take some seconds, by the newest times."""
    train = [one for one in timings if one.kind.startswith("train/")]
    answers = {one.kind: one for one in timings if one.kind.startswith(f"{ANSWERING}/")}.values()
    steps = int(seconds * train[-1].amounts["steps"] / _busy(train[-1])) if train else STEPS
    items = int(seconds / sum(_busy(one) / one.amounts["answers"] for one in answers)) if answers else ITEMS
    return min(max(steps, STEPS), MOST_STEPS), min(max(items, ITEMS), MOST_ITEMS)


def _busy(timing: Timing) -> float:
    """Return the seconds that a GPU took, or the processor, which other programs may share."""
    import torch

    seconds = timing.seconds if torch.cuda.is_available() else timing.cpu_seconds / torch.get_num_threads()
    return max(seconds, 1e-6)


def _with_items(config: Config, items: int) -> BenchConfig:
    """Return the benchmarks with about `items` items per task."""
    sizes = [len(one.asked) for one in sample_sets_of(config) if one.task.bench_files]  # the others make their items
    share = min(1.0, config.bench.subset * items * len(sizes) / sum(sizes)) if sizes else config.bench.subset
    return replace(config.bench, items=items, subset=share)
