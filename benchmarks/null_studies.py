"""Simulate studies without any effect, and with one of the size that the dry run promises to see.

    python benchmarks/null_studies.py             # 1,000 studies per design, a few minutes
    python benchmarks/null_studies.py --studies 100

Each study has a base and four results on four benchmarks. Its items, seeds and noise are drawn, and the analysis that
tables use gives the verdicts: the comparison over items and seeds, and Holm's correction for 16 comparisons.
The table has, for each design: the share of studies without an effect that claim one (allowed: 5 %), the lowest and
highest share among benchmarks of intervals that contain the true gain (93 to 97 %), and the share of studies with one
effect that find it (at least 80 %). In brackets stands the 95 % interval of a share by the number of studies. The first
study of each design is also written to files and read back: its gains must be the same. The exit code is 1 if a design
misses.

With one seed a result is one model, and without an effect that model is as good as the base. With more, a result is its
method: without an effect its seeds are on average as good as the base.
"""

from __future__ import annotations

import argparse
import itertools
import math
import os
import sys
import tempfile
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
from scipy.optimize import brentq
from scipy.stats import binomtest
from simulated_scores import ALONE, CLUSTERED, Simulated, row_of, write_point

from mmdpo.analysis import gains as gains_module
from mmdpo.analysis import groups as groups_module
from mmdpo.analysis.gains import Gain, Gains, GainVerdict, study_gains
from mmdpo.analysis.measured import Measured, table_of_pseudo_values
from mmdpo.analysis.study import Study, read_study
from mmdpo.evaluation.crossed import mean_squares
from mmdpo.evaluation.power import POWER, Design, Variances, smallest_visible
from mmdpo.pipeline.power_lines import rounded_up
from mmdpo.points.identity import Role

RESULTS = 4
PILOTS = 60  # studies from which the variances of a design are taken, as from earlier studies
LEVEL, COVERAGE = 0.05, (0.93, 0.97)


@dataclass(frozen=True)
class StudyDesign:
    """A kind of study.

    Attributes:
        name: Its name in the table.
        benchmarks: The benchmarks.
        seeds: The number of seeds of each result.
        seed_ratio: The deviation between seeds, as a share of the standard error of a single model's gain.
        within: Whether the design is inside the limits for which verdicts are promised to hold.
    """

    name: str
    benchmarks: tuple[Simulated, ...]
    seeds: int
    seed_ratio: float = 0.5
    within: bool = True


DESIGNS = (
    StudyDesign("1 seed, items alone", ALONE, 1, 0.0),
    StudyDesign("1 seed, clustered", CLUSTERED, 1, 0.0),
    StudyDesign("2 seeds, clustered", CLUSTERED, 2),
    StudyDesign("3 seeds, items alone", ALONE, 3),
    StudyDesign("3 seeds, clustered", CLUSTERED, 3),
    StudyDesign("3 equal seeds, clustered", CLUSTERED, 3, 0.0),
    StudyDesign("5 seeds, clustered, seeds as items", CLUSTERED, 5, 1.0),
    StudyDesign("3 seeds, clustered, seeds twice items", CLUSTERED, 3, 2.0, within=False),
)


@dataclass(frozen=True)
class Prepared:
    """A benchmark of a design, with what follows from its variances.

    Attributes:
        one: The benchmark.
        between_seeds: The latent deviation between seeds.
        promised: The smallest gain that the power line prints.
        shift: The latent effect that has this gain; 0 for a design beyond the limits.
    """

    one: Simulated
    between_seeds: float
    promised: float
    shift: float


@dataclass(frozen=True)
class Outcome:
    """Counts over the studies of a design.

    Attributes:
        design: The design.
        studies: The number of studies of each kind.
        claims: Studies without an effect that claim one.
        covered: The share of each benchmark's intervals that contain the true gain.
        found: Studies with an effect that find it; None for a design beyond the limits, which promises nothing.
    """

    design: StudyDesign
    studies: int
    claims: int
    covered: dict[str, float]
    found: int | None

    @property
    def faults(self) -> list[str]:
        """What the design misses, beyond the chance of the number of studies."""
        claims = binomtest(self.claims, self.studies)
        found = None if self.found is None else binomtest(self.found, self.studies)
        slack = 2 * math.sqrt(0.05 * 0.95 / self.studies)  # intervals of a study are not independent
        low, high = COVERAGE[0] - slack, COVERAGE[1] + slack
        return [
            *(["claims"] if claims.proportion_ci().low > LEVEL else []),
            *(f"coverage of {name}" for name, share in self.covered.items() if not low <= share <= high),
            *(["power"] if found and found.proportion_ci().high < POWER else []),
        ]

    def line(self) -> str:
        """Return the design's line of the table."""
        claims, found = _share(self.claims, self.studies), "-"
        if self.found is not None:
            found = _share(self.found, self.studies)
        verdict = "misses " + ", ".join(self.faults) if self.faults else "holds"
        limits = "" if self.design.within else " (beyond the limits)"
        covered = f"{100 * min(self.covered.values()):.1f} to {100 * max(self.covered.values()):.1f} %"
        return f"{self.design.name:38} {claims:22} {covered:14} {found:22} {verdict}{limits}"


def _share(count: int, number: int) -> str:
    interval = binomtest(count, number).proportion_ci()
    return f"{100 * count / number:.1f} % [{100 * interval.low:.1f}, {100 * interval.high:.1f}]"


def simulate(design: StudyDesign, studies: int, seed: int = 0) -> Outcome:
    """Simulate the studies of a design, without an effect and with one on one result and benchmark."""
    rng = np.random.default_rng([seed, design.seeds, len(design.name)])
    prepared = [_prepare(one, design, rng) for one in design.benchmarks]
    claims = found = 0
    covered: dict[str, list[bool]] = {one.task: [] for one in design.benchmarks}
    for number in range(studies):
        none, _ = _gains(f"null-{number}", design, prepared, rng, check=number == 0)
        claims += any(gain.verdict is not GainVerdict.unclear for gain in none)
        for gain in none:
            covered[gain.key].append(gain.estimate.low <= 0 <= gain.estimate.high)
        if design.within:
            planted = number % len(prepared)
            _, wanted = _gains(f"effect-{number}", design, prepared, rng, planted)
            assert wanted is not None
            found += wanted.verdict is GainVerdict.better
            promised, interval = prepared[planted].promised, wanted.estimate
            covered[wanted.key].append(interval.low <= promised <= interval.high)
    shares = {name: sum(ones) / len(ones) for name, ones in covered.items()}
    return Outcome(design, studies, claims, shares, found if design.within else None)


def _prepare(one: Simulated, design: StudyDesign, rng: np.random.Generator) -> Prepared:
    """Measure the variances of a benchmark on pilot studies, and size its seeds and its effect by them."""
    alone = _variances(one, 3, 0.0, rng)
    error = math.sqrt((alone.items + alone.noise) / one.clusters)
    slope = one.effect(0.05, 0.0) / 0.05
    between = design.seed_ratio * error / slope
    truth = Variances(alone.items, alone.noise, (design.seed_ratio * error) ** 2)
    comparisons = RESULTS * len(design.benchmarks)
    promised = rounded_up(smallest_visible(truth, Design(one.clusters, design.seeds, comparisons, LEVEL)))
    if not design.within:
        return Prepared(one, between, promised, 0.0)
    shift = float(brentq(lambda x: one.effect(x, between) - promised, 0, 3, xtol=1e-3))
    return Prepared(one, between, promised, shift)


def _variances(one: Simulated, seeds: int, between: float, rng: np.random.Generator) -> Variances:
    squares = []
    for _ in range(PILOTS):
        base, *points = one.measured(one.draw(rng, 1, seeds, between, np.zeros(1)))
        _, table = table_of_pseudo_values([base, *points], base.ids)
        squares.append(mean_squares(table[:, 1:] - table[:, :1]))
    of_clusters, of_seeds, rest = np.mean(squares, axis=0)
    items, of_seed = (of_clusters - rest) / seeds, (of_seeds - rest) / one.clusters
    return Variances(max(0.0, items), rest, max(0.0, of_seed))


def _gains(
    name: str,
    design: StudyDesign,
    prepared: Sequence[Prepared],
    rng: np.random.Generator,
    planted: int | None = None,
    check: bool = False,
) -> tuple[list[Gain], Gain | None]:
    """Draw a study and return its gains, and the one of the first result on the benchmark with an effect."""
    points: list[dict[str, Measured]] = [{} for _ in range(1 + RESULTS * design.seeds)]
    for place, part in enumerate(prepared):
        shifts = np.zeros(RESULTS)
        shifts[0] = part.shift if place == planted else 0.0
        latent = part.one.draw(rng, RESULTS, design.seeds, part.between_seeds, shifts)
        for point, measured in zip(points, part.one.measured(latent), strict=True):
            point[part.one.task] = measured
    with tempfile.TemporaryDirectory() as folder:
        study, by_name = _study(Path(folder) / name, design, points)
        with (
            patch.object(gains_module, "measure", lambda folder, key: by_name[folder.name][key]),
            patch.object(groups_module, "measure", lambda folder, key: by_name[folder.name][key]),
        ):
            gains = study_gains(study)
        if check:
            _check_files(study, by_name, gains)
    first = next(row.point for row in study.rows if row.role == Role.trained)
    wanted = gains.of_point(first, prepared[planted].one.task) if planted is not None else None
    return list(_all(gains)), wanted


def _study(
    folder: Path, design: StudyDesign, points: Sequence[dict[str, Measured]]
) -> tuple[Study, dict[str, dict[str, Measured]]]:
    axes: list[dict[str, Any]] = [{"data_scale": 0.0}]
    axes += [{"beta": 0.1 * (1 + result), "seed": seed} for result in range(RESULTS) for seed in range(design.seeds)]
    rows = [
        row_of(folder / f"point-{number:02}", Role.trained if number else Role.base, values, point)
        for number, (values, point) in enumerate(zip(axes, points, strict=True))
    ]
    return Study(folder.name, folder, rows), {row.point: point for row, point in zip(rows, points, strict=True)}


def _check_files(study: Study, points: dict[str, dict[str, Measured]], gains: Gains) -> None:
    """Write a study and read it back: the gains must be the same to the last bit."""
    for row in study.rows:
        write_point(row, points[row.point])
    again = study_gains(read_study(study.folder))
    if again != gains:
        raise AssertionError("the gains of the files are not those of the simulated study")


def _all(gains: Gains) -> Iterator[Gain]:
    for found in gains.by_group.values():
        yield from found.values()


HEADING = f"{'design':38} {'claims without effect':22} {'covered':14} {'effects found':22}"


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the table; return 1 if a design misses."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--studies", type=int, default=1000, help="studies of each design, without and with an effect")
    parser.add_argument("--design", default="", help="only designs with this text in their name")
    options = parser.parse_args(arguments)
    print(HEADING, flush=True)
    designs = [design for design in DESIGNS if options.design in design.name]
    missed = False
    with ProcessPoolExecutor(os.cpu_count()) as pool:
        for outcome in pool.map(simulate, designs, itertools.repeat(options.studies)):
            print(outcome.line(), flush=True)
            missed = missed or (outcome.design.within and bool(outcome.faults))
    return int(missed)


if __name__ == "__main__":
    sys.exit(main())
