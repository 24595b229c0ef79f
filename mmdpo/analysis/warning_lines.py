"""Warnings for points whose training did harm or little: below the base, below the reference, or a few steps."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from mmdpo.analysis.compare import paired_interval
from mmdpo.analysis.items import read_items
from mmdpo.analysis.labels import row_label, sign
from mmdpo.analysis.study import Row, Study, read_metrics, read_scores
from mmdpo.config.choices import FEW_STEPS
from mmdpo.evaluation.statistics import Score
from mmdpo.files import read_json
from mmdpo.points.identity import Role

CHOSEN_BELOW = "logps/chosen_below_reference"
"""The metric: share of a batch whose chosen answers are less likely than under the reference."""

LIMIT = 0.3
"""Share from which a point gets a warning. In trials, good points had 0.12 and points below the base 0.45 and more."""

FIRST_SHARE = 1 / 3  # of the steps, which do not count: the warmup, and the noise of equal models


def warning_lines(study: Study) -> list[str]:
    """Return a line for each warning of a study's trained points."""
    bases = study.of_role(Role.base)
    lines = []
    for row in study.trained:
        found = point_warnings(row.folder, row.scores, _base_of(row, bases))
        found += _few_steps(row.steps if row.scores else None)
        lines += [f"warning  {row_label(row, study.varying)}: {text}" for text in found]
    return lines


def warnings_of(folder: Path, base: Path) -> list[str]:
    """Return the warnings of a trained point, from its files and those of its base; damaged files give none."""
    return point_warnings(folder, _scores_of(folder), (base, _scores_of(base)))


def _scores_of(folder: Path) -> dict[str, Score]:
    try:
        content = read_json(folder / "result.json")
    except (OSError, ValueError):
        return {}
    return read_scores(content.get("scores")) if isinstance(content, dict) else {}


def point_warnings(folder: Path, scores: dict[str, Score], base: tuple[Path, dict[str, Score]] | None) -> list[str]:
    """Return the warnings of a trained point.

    Args:
        folder: The point's folder.
        scores: Its scores, if it has any yet.
        base: The folder and scores of the untouched base that it is compared with, if there is one.
    """
    below = _below_base(folder, scores, *base) if base and scores else []
    return [*below, *_chosen_below_reference(folder)]


def _few_steps(steps: int | None) -> list[str]:
    if steps is None or steps >= FEW_STEPS:
        return []
    return [f"trained for only {steps} steps; for more, type train.num_train_epochs= or a smaller batch"]


def _base_of(row: Row, bases: Sequence[Row]) -> tuple[Path, dict[str, Score]] | None:
    """Return the base that was measured as the row was, with the same model, benchmarks and items."""
    for base in bases:
        same = [row.group(name).get(key) == base.group(name).get(key) for name, key in _SHARED]
        if all(same) and base.scores:
            return base.folder, base.scores
    return None


_SHARED = (("model", "path"), ("bench", "split"), ("bench", "seed"), ("bench", "items"), ("bench", "judge"))


def _below_base(folder: Path, scores: dict[str, Score], base: Path, base_scores: dict[str, Score]) -> list[str]:
    """Describe each benchmark whose score is clearly below the base's, by the paired interval over items."""
    lower = [
        name
        for name, score in scores.items()
        if name in base_scores and "/" not in name and sign(name) * (score.value - base_scores[name].value) < 0
    ]
    if not lower:
        return []
    own, others = read_items(folder), read_items(base)
    found = []
    for name in lower:
        pairs = [(others.get(name, {}).get(key, {}), item) for key, item in own.get(name, {}).items()]
        known = [
            (sign(name) * (after["score"] - before["score"]), str(after.get("cluster") or after["id"]))
            for before, after in pairs
            if _has_score(before) and _has_score(after)
        ]
        if not known:
            continue
        deltas, clusters = zip(*known, strict=True)
        low, high = paired_interval(deltas, clusters)
        if high < 0:
            mean = sum(deltas) / len(deltas)
            found.append(f"{name} by {-mean:.2f} [{-high:.2f}, {-low:.2f}] (n = {len(deltas)})")
    return [f"below the base, paired over items: {', '.join(found)}"] if found else []


def _has_score(item: dict[str, object]) -> bool:
    return isinstance(item.get("score"), int | float) and not isinstance(item.get("score"), bool)


def _chosen_below_reference(folder: Path) -> list[str]:
    values = [metrics.get(CHOSEN_BELOW) for metrics in read_metrics(folder)]
    later = [value for value in values[int(len(values) * FIRST_SHARE) :] if isinstance(value, int | float)]
    share = sum(later) / len(later) if later else 0.0
    if share < LIMIT:
        return []
    return [
        f"{100 * share:.0f} % of the chosen answers are less likely than under the reference (after the first third "
        "of the steps): the training lowers both answers; try a smaller lr= or a larger beta="
    ]
