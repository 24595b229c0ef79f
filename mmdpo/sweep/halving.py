"""Successive halving on this machine: all points to a rung, a decision, and the survivors further."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from mmdpo.config.choices import SearchKind, Stage
from mmdpo.config.schema import Config
from mmdpo.config.search_settings import SearchConfig
from mmdpo.console import print_line
from mmdpo.points.identity import Role
from mmdpo.points.point import Point
from mmdpo.points.results import read_training
from mmdpo.points.rungs import is_rung_trained, read_rung
from mmdpo.points.search_record import read_search
from mmdpo.points.status import is_done
from mmdpo.sweep.rung_decisions import check_keep_points, decide_rung, results_of

Run = Callable[[Sequence[Point], float | None], dict[Path, str]]
"""Runs points to a rung, or to the end for None; returns the reasons of those that failed, by their folders."""


def is_halved(config: Config, stage: Stage) -> bool:
    """Return whether a command prunes its points at rungs."""
    return config.search.kind is SearchKind.halving and stage in (Stage.experiment, Stage.train)


def not_pruned(points: Sequence[Point]) -> list[Point]:
    """Leave out the points that a rung has pruned and that were not trained to the end since."""
    pruned = {study: read_search(study).pruned() for study in {p.study for p in points}}
    return [p for p in points if p.name not in pruned[p.study] or is_done(p.folder)]


def run_halving(points: Sequence[Point], missing: Sequence[Point], run: Run) -> dict[Path, str]:
    """Run the missing points of a command, and prune at each rung.

    Args:
        points: All points of the command, finished ones among them.
        missing: Those that are to be run.
        run: Runs points to a rung or to the end.

    Returns:
        The reasons of the points that failed, by their folders.
    """
    search = points[0].config.search
    check_keep_points(points, search)
    trained = [p for p in points if p.role is Role.trained]
    open_ = {p.folder for p in missing}
    errors = run([p for p in missing if p.role is not Role.trained], None)
    for share in search.rungs:
        going = [p for p in not_pruned(trained) if p.folder in open_ and p.folder not in errors]
        beyond = {p.folder for p in going if _is_beyond(p, share)}
        to_rung = [p for p in going if p.folder not in beyond and read_rung(p.folder, share) is None]
        if to_rung:
            print_line(f"rung {share:g}: {len(to_rung)} points train to it and are measured on dev")
        errors |= run(to_rung, share)
        for study in dict.fromkeys(p.study for p in trained):
            decide_rung([p for p in not_pruned_before(trained, share) if p.study == study], share)
        if beyond:
            print_line(
                f"rung {share:g}: {len(beyond)} points were trained to the end without being measured there; they are "
                "not ranked, and stay"
            )
    failed = {
        p.folder for one in results_of(trained) if any(p.folder in errors for p in one.points) for p in one.points
    }
    survivors = [p for p in not_pruned(trained) if p.folder in open_ and p.folder not in failed]
    if waiting := [p for p in trained if p.folder in failed and p.folder not in errors]:
        print_line(f"{len(waiting)} points wait for another seed of their result, which failed")
    return errors | run(survivors, None)


def _is_beyond(p: Point, share: float) -> bool:
    """Return whether a point is trained to the end and cannot be measured at a rung."""
    return read_training(p.folder) is not None and not is_rung_trained(p.folder, share)


def not_pruned_before(points: Sequence[Point], share: float) -> list[Point]:
    """Leave out the points that an earlier rung has pruned."""
    pruned = {study: read_search(study).pruned() for study in {p.study for p in points}}
    return [p for p in points if (found := pruned[p.study].get(p.name)) is None or found[0].share >= share]


def fewest_kept(results: int, search: SearchConfig) -> int:
    """Return the number of results that a rung keeps if it prunes all that it may."""
    return max(1, math.ceil(round(search.keep * results, 6)))


def describe_halving(points: Sequence[Point]) -> Iterator[str]:
    """Describe the rungs of a command, and the share of the training that they leave if each prunes what it may."""
    search = points[0].config.search
    check_keep_points(points, search)
    counts = [len(results_of(points))]
    if counts[0] < 2:
        yield f"search={search.name}: there is one result, and nothing to prune; it is measured at the rungs"
        return
    for _ in search.rungs:
        counts.append(fewest_kept(counts[-1], search))
    ends = [*search.rungs, 1.0]
    share = sum(count * (end - begin) for count, begin, end in zip(counts, [0.0, *ends], ends, strict=False))
    steps = ", ".join(f"{count} at {rung:g}" for count, rung in zip(counts[1:], search.rungs, strict=True))
    yield (
        f"search={search.name}: {counts[0]} results, of which the rungs keep at least {steps}; that would take "
        f"{100 * share / counts[0]:.0f} % of the training of all, and more where a rung prunes less"
    )
    yield f"rungs are decided by {points[0].config.objective} on dev answers, and never by the loss"
    for study in dict.fromkeys(p.study for p in points):
        pruned = read_search(study).pruned()
        if known := [p for p in points if p.study == study and p.name in pruned]:
            yield f"{len(known)} points were pruned by earlier commands; search=none trains them to the end"
