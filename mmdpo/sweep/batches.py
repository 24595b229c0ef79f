"""The work of points in the batches in which a command runs them: rounds, or the rungs of search=halving."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from mmdpo.config.choices import Stage
from mmdpo.pipeline.rungs import point_at
from mmdpo.points.point import Point
from mmdpo.points.rungs import is_rung_trained, read_rung
from mmdpo.points.search_record import read_search
from mmdpo.sweep.halving import fewest_kept, is_halved, not_pruned
from mmdpo.sweep.rung_decisions import results_of
from mmdpo.sweep.speeds import Work
from mmdpo.sweep.work import (
    answering_work,
    is_trained_now,
    judging_work,
    labelled_reference_work,
    point_work,
    samples_work,
    selected,
    shared_work,
    start_of,
    training_work,
)
from mmdpo.training.rungs import rung_step
from mmdpo.training.schedule import total_steps

Part = tuple[Point, Work]


@dataclass(frozen=True)
class Batch:
    """Points that a command runs before it begins with others.

    Attributes:
        shared: Work that is done before, once for all.
        points: The work of each point.
    """

    shared: list[Part]
    points: list[list[Part]]


def batches_of(points: Sequence[Point], stage: Stage) -> list[Batch]:
    """Return the batches of a command.

    Args:
        points: The points that are to be run.
        stage: The stage.
    """
    if is_halved(points[0].config, stage):
        return _with_samples([*_halved(not_pruned(points), stage)], points, stage)
    found = []
    for number in sorted({p.config.round for p in points}):
        members = [p for p in points if p.config.round == number]
        labelled = labelled_reference_work(members, stage)
        works = [[*point_work(p, stage), *_own(labelled, p)] for p in members]
        found.append(Batch(shared_work(members, stage), _parts(members, works)))
    return _with_samples(found, points, stage)


def _with_samples(batches: list[Batch], points: Sequence[Point], stage: Stage) -> list[Batch]:
    """Add the making of samples to the first point that has some work."""
    if batches and batches[0].points:
        batches[0].points[0].extend(samples_work(points, stage))
    return batches


def _halved(points: Sequence[Point], stage: Stage) -> Iterator[Batch]:
    """Yield the batches of search=halving: one per rung that is not measured, and the end.

    The least share of a batch is that of the results which are left if each rung before it prunes all that it may.
    """
    trained = [p for p in points if is_trained_now(p, stage)]
    others = [p for p in points if p not in trained]
    labelled = labelled_reference_work(trained, stage)
    shared = shared_work(trained, stage)
    left = len(results_of(trained))
    kept = left
    reached = dict.fromkeys((p.name for p in trained), 0)
    if others:
        yield Batch([], _parts(others, [[*point_work(p, stage)] for p in others]))
    for rung in trained[0].config.search.rungs if trained else []:
        to_rung = [p for p in trained if read_rung(p.folder, rung) is None]
        works = []
        for p in to_rung:
            works.append([*_rung_work(p, rung, reached), *_own(labelled, p)])
            labelled.pop(p.name, None)
        if to_rung:
            yield Batch(shared, _parts(to_rung, works, kept / left))
            shared = []
        reached |= {p.name: _step(p, rung) for p in trained}
        if not any(read_search(study).at(rung) for study in {p.study for p in trained}):
            kept = fewest_kept(kept, trained[0].config.search)
    if trained:
        works = [[*_end_work(p, stage, reached[p.name]), *_own(labelled, p)] for p in trained]
        yield Batch(shared, _parts(trained, works, kept / left))


def _rung_work(p: Point, rung: float, reached: dict[str, int]) -> Iterator[Work]:
    yield start_of(p)
    if not is_rung_trained(p.folder, rung):
        yield from training_work(p, max(_step(p, rung) - reached[p.name], 0))
    measured = point_at(p, rung)
    yield from answering_work(measured)
    yield from judging_work(measured)


def _end_work(p: Point, stage: Stage, reached: int) -> Iterator[Work]:
    yield start_of(p)
    examples = selected(p.config)
    total = 0 if examples is None else total_steps(p.config.train, len(examples), p.config.cluster.processes)
    yield from training_work(p, max(total - reached, 0))
    if stage is Stage.experiment:
        yield from answering_work(p)
        yield from judging_work(p)


def _step(p: Point, rung: float) -> int:
    examples = selected(p.config)
    return 0 if examples is None else rung_step(p.config.train, rung, len(examples), p.config.cluster.processes)


def _own(labelled: dict[str, Work], p: Point) -> list[Work]:
    return [labelled[p.name]] if p.name in labelled else []


def _parts(points: Sequence[Point], works: Sequence[Sequence[Work]], share: float = 1.0) -> list[list[Part]]:
    return [[(p, dataclasses.replace(work, share=share)) for work in own] for p, own in zip(points, works, strict=True)]


def spread_over_processes(batch: Batch, count: int | None = None, size: int | None = None) -> list[list[Part]]:
    """Return the work of each process that runs some points of a batch; one for all if neither is given.

    Args:
        batch: The batch.
        count: The number of processes that take points in turn.
        size: The number of points that each process runs.
    """
    if size is not None:
        groups = [batch.points[first : first + size] for first in range(0, len(batch.points), size)]
    else:
        count = min(count or 1, len(batch.points))
        groups = [batch.points[first::count] for first in range(count)]
    return [[part for own in group for part in own] for group in groups]
