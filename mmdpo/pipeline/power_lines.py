"""The smallest gain that a planned study can see on each benchmark, and what half of it would need."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory

from mmdpo.analysis.variances import NOISE_SHARE, SEED_RATIO, MeasuredVariances, measured_variances
from mmdpo.errors import UserError
from mmdpo.evaluation.power import POWER, Design, Variances, clusters_for, seeds_for, smallest_visible
from mmdpo.evaluation.task import find_task, in_order, load_task
from mmdpo.pipeline.point_samples import sample_sets_of
from mmdpo.points.identity import Role
from mmdpo.points.point import Point


@dataclass(frozen=True)
class Planned:
    """A benchmark of a planned study.

    Attributes:
        task: The task's name.
        point: A point that is to be measured on it.
        seeds: The fewest seeds that a result has.
        comparisons: The number of comparisons of the study.
    """

    task: str
    point: Point
    seeds: int
    comparisons: int


ASSUMED = (
    f"visible: seeds were not measured; they are assumed to vary by {SEED_RATIO:g} of the standard error over items"
)


def power_lines(points: Sequence[Point]) -> Iterator[str]:
    """Yield a line for each benchmark of a planned study with trained points, and one if seeds are assumed."""
    assumed = False
    for one in planned(points):
        try:
            clusters = _clusters(one)
        except UserError as error:
            yield f"visible on {one.task}: unknown, since its samples cannot be read: {error}"
            continue
        if (found := _variances(one)) is None:
            yield f"visible on {one.task}: unknown before its first results; rerun with a finished base and one point"
            continue
        design = Design(clusters, one.seeds, one.comparisons, 1 - one.point.config.bench.confidence)
        yield f"visible on {one.task}: {sees(found, design, one.task)}"
        assumed = assumed or (one.seeds > 1 and not found.with_seeds)
    if assumed:
        yield ASSUMED


def planned(points: Sequence[Point]) -> list[Planned]:
    """Return the benchmarks of a study, with seeds and comparisons: each result on each of its benchmarks."""
    results: dict[str, list[Point]] = {}
    for p in points:
        if p.role is Role.trained:
            results.setdefault(repr(replace(p.config, seed=0)), []).append(p)
    measured = [(name, members) for members in results.values() for name in members[0].config.bench.tasks]
    found: dict[str, list[Sequence[Point]]] = {}
    for name, members in measured:
        found.setdefault(name, []).append(members)
    return [Planned(name, found[name][0][0], min(map(len, found[name])), len(measured)) for name in in_order([*found])]


def _clusters(one: Planned) -> int:
    config = one.point.config
    with TemporaryDirectory() as scratch:
        bench = replace(config.bench, tasks=[one.task])
        (first, *_) = sample_sets_of(replace(config, bench=bench), Path(scratch))
    return len({first.task.cluster_of(prompt) for prompt in first.prompts})


def _variances(one: Planned) -> MeasuredVariances | None:
    """Return the parts of the variance from earlier answers, else as the task declares them; None if it does not."""
    config, known = one.point.config, load_task(one.task).detectable
    found = measured_variances(Path(config.out), one.point.study, one.task, config.bench.split.value)
    if found is None and known is not None:
        declared = Variances.of_single(known.error, known.clusters, NOISE_SHARE, SEED_RATIO)
        return MeasuredVariances(declared, known.source, False)
    return found


def sees(found: MeasuredVariances, design: Design, task_name: str, wanted: float | None = None) -> str:
    """Write which gains a study sees, and what a smaller one needs.

    Args:
        found: The parts of the variance of its gains.
        design: The size of its comparisons.
        task_name: The benchmark.
        wanted: The gain whose needs are written; None for half of the smallest one that is seen.
    """
    task = find_task(task_name)
    unit = f"{task.cluster}s" if task else "items"
    smallest = rounded_up(smallest_visible(found.variances, design))
    seeds, comparisons = (
        f"{count} {word}{'s'[: count > 1]}"
        for count, word in ((design.seeds, "seed"), (design.comparisons, "comparison"))
    )
    size = f"{100 * POWER:g} % power, {seeds}, {design.clusters:,} {unit}, {comparisons}; from {found.source}"
    lowest, highest = task.scale if task and task.scale else (-math.inf, math.inf)
    if smallest > highest - lowest or math.isinf(smallest):
        text = f"no gain that its scale allows ({size})"
        return f"{text}; {needs(found.variances, design, wanted, unit)}" if wanted else text
    about = "" if design.seeds > 1 else " of one model"
    need = needs(found.variances, design, smallest / 2 if wanted is None else wanted, unit)
    return f"gains{about} of {smallest:g} and more ({size}); {need}"


def needs(variances: Variances, design: Design, difference: float, unit: str) -> str:
    """Write how many seeds or items a difference needs.

    Args:
        variances: The parts of the variance of gains.
        design: The planned size.
        difference: The difference.
        unit: The name of the clusters of items.
    """
    difference = rounded_up(difference)
    if smallest_visible(variances, design) <= difference:
        return f"{difference:g} is seen"
    seeds, items = seeds_for(difference, variances, design), clusters_for(difference, variances, design)
    ways = [f"{seeds} seeds"] if seeds else []
    ways += [f"{rounded_up(items):,g} {unit}"] if items else []
    if not ways:
        several = ((number, replace(design, seeds=number)) for number in (3, 5, 10, 20) if number > design.seeds)
        both = ((number, clusters_for(difference, variances, larger)) for number, larger in several)
        ways = next(([f"{number} seeds and {rounded_up(found):,g} {unit}"] for number, found in both if found), [])
    return f"{difference:g} needs {' or '.join(ways)}" if ways else f"{difference:g} is out of reach"


def rounded_up(value: float) -> float:
    """Round up to two significant digits."""
    if not value or math.isinf(value):
        return value
    step = 10.0 ** (math.floor(math.log10(value)) - 1)
    return float(f"{math.ceil(value / step - 1e-9) * step:.3g}")
