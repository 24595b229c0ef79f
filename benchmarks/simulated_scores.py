"""Simulated scores of a study: items, models, seeds and their noise, on the scales of real benchmarks.

A latent quality of each answer is the sum of what its item has for all models, what the model has on the item and its
cluster, the model's mean, the seed's mean, and noise of the single answer. The score is a step function of it. The base
has the same distribution as the results, so that without an effect no gain is expected.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mmdpo.analysis.measured import Measured
from mmdpo.analysis.study import Row
from mmdpo.evaluation.statistics import Score
from mmdpo.evaluation.sums import mean
from mmdpo.evaluation.task import load_task
from mmdpo.points.identity import Role

Columns = Callable[[NDArray[Any], "Simulated"], tuple[NDArray[Any], ...]]


@dataclass(frozen=True)
class Simulated:
    """A benchmark with the sizes of a real one.

    Attributes:
        task: The task whose main metric scores it.
        items: The number of items.
        clusters: The number of clusters.
        columns: Turn latent qualities [..., N] into the columns of the metric.
        model: The share of the latent variance that a model has on an item for all its seeds.
        noise: The share that differs from seed to seed; the rest all models share.
        in_cluster: The share of the model's part that the items of a cluster have in common.
    """

    task: str
    items: int
    clusters: int
    columns: Columns
    model: float = 0.2
    noise: float = 0.1
    in_cluster: float = 0.3

    @cached_property
    def codes(self) -> NDArray[Any]:
        """The number of the cluster of each item; sizes differ where items do not fill clusters evenly."""
        return np.sort(np.arange(self.items) % self.clusters)

    @cached_property
    def ids(self) -> tuple[str, ...]:
        """The ids of the items."""
        return tuple(f"{self.task}-{number}" for number in range(self.items))

    @cached_property
    def names(self) -> tuple[str, ...]:
        """The clusters of the items."""
        return tuple(f"cluster-{number}" for number in self.codes)

    def draw(
        self, rng: np.random.Generator, results: int, seeds: int, between_seeds: float, shifts: NDArray[Any]
    ) -> NDArray[Any]:
        """Draw latent qualities: of the base, then of each result's seeds, [1 + results * seeds, N].

        Args:
            rng: The generator.
            results: The number of results.
            seeds: The number of seeds of each.
            between_seeds: The standard deviation of the seeds' means.
            shifts: The effect on each result, on the latent scale.
        """
        common = rng.normal(0, np.sqrt(1 - self.model - self.noise), self.items)
        models = 1 + results
        own = rng.normal(0, np.sqrt(self.model * (1 - self.in_cluster)), (models, self.items))
        own += rng.normal(0, np.sqrt(self.model * self.in_cluster), (models, self.clusters))[:, self.codes]
        rows = np.concatenate([[0], np.repeat(np.arange(1, models), seeds)])
        noise = rng.normal(0, np.sqrt(self.noise), (len(rows), self.items))
        noise[0] += rng.normal(0, between_seeds, self.items)  # so that the base has the same distribution
        means = np.concatenate([[0.0], np.repeat(shifts, seeds) + rng.normal(0, between_seeds, results * seeds)])
        return common + own[rows] + noise + means[:, None]

    def measured(self, latent: NDArray[Any]) -> list[Measured]:
        """Turn latent qualities [P, N] into what `measure` reads of P points."""
        columns = np.stack(np.broadcast_arrays(*self.columns(latent, self)), axis=1)
        statistic = load_task(self.task).main.statistic or mean
        return [Measured(self.ids, one, self.names, statistic) for one in columns]

    def effect(self, shift: float, between_seeds: float, size: int = 400_000) -> float:
        """Return the expected gain of a latent shift, from a large sample."""
        rng = np.random.default_rng(1)
        latent = rng.normal(0, np.sqrt(1 + between_seeds**2), max(1, size // self.items) * self.items)
        wide = Simulated(self.task, len(latent), len(latent), self.columns)
        statistic = load_task(self.task).main.statistic or mean
        values = [float(statistic(*np.broadcast_arrays(*self.columns(one, wide)))) for one in (latent, latent + shift)]
        return values[1] - values[0]


def one_to_ten(latent: NDArray[Any], one: Simulated) -> tuple[NDArray[Any], ...]:
    """Return whole scores from 1 to 10 with a deviation of about 2.5 and a ceiling, as of MT-Bench."""
    return (np.clip(np.round(6.5 + 3 * latent), 1, 10),)


def grades(latent: NDArray[Any], one: Simulated) -> tuple[NDArray[Any], ...]:
    """Return grades from 0 to 100 in steps of ten, most of them at the ends, as of MM-Vet."""
    return (np.clip(np.round(3.5 + 7 * latent), 0, 10) * 10,)


def right(latent: NDArray[Any], one: Simulated) -> tuple[NDArray[Any], ...]:
    """Return 1 for about two thirds of the answers, and 0."""
    return ((latent > -0.45).astype(float),)


def wins(latent: NDArray[Any], one: Simulated) -> tuple[NDArray[Any], ...]:
    """Return 100 for about 60 % of the answers, and 0, as of AlpacaEval."""
    return (100.0 * (latent > -0.25),)


def relative(latent: NDArray[Any], one: Simulated) -> tuple[NDArray[Any], ...]:
    """Return scores of references and answers, as of LLaVA-Bench."""
    reference = 8.0 + np.arange(one.items) % 3 * 0.5
    return np.broadcast_to(reference, latent.shape), np.clip(np.round(6 + 1.8 * latent), 1, 10)


def yes_no(latent: NDArray[Any], one: Simulated) -> tuple[NDArray[Any], ...]:
    """Return said_yes, is_yes and the split: about 86 % of the answers are right, as of POPE."""
    label = np.arange(one.items) % 2.0
    is_right = latent > -1.08
    return np.where(is_right, label, 1 - label), np.broadcast_to(label, latent.shape), np.arange(one.items) // 2 % 3.0


ALONE = (
    Simulated("text", 240, 240, one_to_ten),
    Simulated("visual", 240, 240, one_to_ten, noise=0.2),
    Simulated("mmbench", 1176, 1176, right),
    Simulated("alpaca_eval", 805, 805, wins, model=0.3, noise=0.2),
)
"""Benchmarks whose items stand alone."""

CLUSTERED = (
    Simulated("mt_bench", 160, 80, one_to_ten, model=0.25, noise=0.2, in_cluster=0.5),
    Simulated("mm_vet", 218, 200, grades),
    Simulated("llava_bench", 60, 24, relative, noise=0.2),
    Simulated("pope", 1782, 100, yes_no),
)
"""Benchmarks with clusters of items; of POPE a fifth of the images."""


def row_of(folder: Path, role: Role, axes: dict[str, Any], tasks: dict[str, Measured]) -> Row:
    """Return the row of a point with scores, as it is read from a study."""
    scores = {name: Score(0.0, len(one.ids), 0.0, 0.0) for name, one in tasks.items()}
    config = {"bench": {"confidence": 0.95}, **axes}
    return Row(folder.name, folder, role, axes=axes, scores=scores, config=config)


def write_point(row: Row, tasks: dict[str, Measured]) -> None:
    """Write the files of a point that a comparison reads."""
    (row.folder / "judgments").mkdir(parents=True)
    scores = {name: vars(score) for name, score in row.scores.items()}
    result = {"point": row.point, "role": row.role, "axes": row.axes, "scores": scores}
    for name, content in (("config", row.config), ("result", result), ("status", {"state": "done", "attempts": 1})):
        (row.folder / f"{name}.{'yaml' if name == 'config' else 'json'}").write_text(json.dumps(content))
    for name, one in tasks.items():
        keys = load_task(name).main.columns
        lines = []
        for item, cluster, values in zip(one.ids, one.clusters, one.columns.T.tolist(), strict=True):
            parts = dict(zip(keys, values, strict=True))
            judgment = {"id": item, "score": parts.pop("score", 1.0), "parts": parts, "words": 1, "cluster": cluster}
            lines.append(json.dumps(judgment) + "\n")
        (row.folder / "judgments" / f"{name}.jsonl").write_text("".join(lines))
