"""Warnings for points whose training did harm or little: below the base, below the reference, or a few steps."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from mmdpo.analysis.gains import Gain, Gains, GainVerdict, holm, study_gains, verdict_of
from mmdpo.analysis.groups import groups
from mmdpo.analysis.labels import row_label
from mmdpo.analysis.measured import estimate_gain, measure
from mmdpo.analysis.study import Row, Study, read_metrics, read_scores
from mmdpo.config.choices import FEW_STEPS
from mmdpo.files import read_json
from mmdpo.points.processes import unnamed_processes

CHOSEN_BELOW = "logps/chosen_below_reference"
"""The metric: share of a batch whose chosen answers are less likely than under the reference."""

LIMIT = 0.3
"""Share from which a point gets a warning. In trials, good points had 0.12 and points below the base 0.45 and more."""

FIRST_SHARE = 1 / 3  # of the steps, which do not count: the warmup, and the noise of equal models


def warning_lines(study: Study, gains: Gains | None = None) -> list[str]:
    """Return a line for each warning of a study's trained points, and of its results below their base.

    Args:
        study: The study.
        gains: The gains of its results; None to compute them.
    """
    gains = study_gains(study) if gains is None else gains
    lines = []
    for group in groups(study):
        found = (gains.of(group, key) for key in study.benchmarks)
        lines += [f"warning  {group.label}: {text}" for text in below_base(gain for gain in found if gain)]
    for row in study.trained:
        lines += [f"warning  {row_label(row, study.varying)}: {text}" for text in training_warnings(row)]
    return lines


def training_warnings(row: Row) -> list[str]:
    """Return the warnings of a trained point that its training gives."""
    found = [*_chosen_below_reference(row.folder), *_few_steps(row.steps if row.scores else None)]
    return [*found, *_unnamed_processes(row.folder)]


def warnings_of(folder: Path, base: Path, confidence: float = 0.95) -> list[str]:
    """Return the warnings of a trained point, from its files and those of its base; damaged files give none.

    Its scores below the base are corrected for the number of its benchmarks: the rest of the study is not known.

    Args:
        folder: The point's folder.
        base: The folder of the untouched base.
        confidence: The level of the intervals.
    """
    own, others = _score_names(folder), _score_names(base)
    found = []
    for key in (key for key in own if key in others):
        first, second = measure(base, key), measure(folder, key)
        estimate = estimate_gain([first], [second], confidence) if first and second else None
        if estimate and not math.isnan(estimate.p):
            found.append((key, estimate))
    corrected = holm([estimate.p for _, estimate in found])
    gains = [
        Gain(key, estimate, p, verdict_of(key, estimate, p, 1 - confidence))
        for (key, estimate), p in zip(found, corrected, strict=True)
    ]
    return [*below_base(gains), *_chosen_below_reference(folder), *_unnamed_processes(folder)]


def _score_names(folder: Path) -> list[str]:
    """Return the names of a point's main scores, if it has any yet."""
    try:
        content = read_json(folder / "result.json")
    except (OSError, ValueError):
        return []
    scores = read_scores(content.get("scores")) if isinstance(content, dict) else {}
    return [key for key in scores if "/" not in key]


def _unnamed_processes(folder: Path) -> list[str]:
    """Say that torchrun trained a point with larger steps than its settings and its name say."""
    count = unnamed_processes(folder)
    if count is None:
        return []
    return [f"trained by {count} processes together, so each step took {count} times the rows that its settings name"]


def _few_steps(steps: int | None) -> list[str]:
    if steps is None or steps >= FEW_STEPS:
        return []
    return [f"trained for only {steps} steps; for more, type train.num_train_epochs= or a smaller batch"]


def below_base(gains: Iterable[Gain]) -> list[str]:
    """Describe the scores that are worse than the base's by their verdict."""
    found = []
    for gain in gains:
        if gain.verdict is GainVerdict.worse:
            low, high = sorted((abs(gain.estimate.low), abs(gain.estimate.high)))
            found.append(
                f"{gain.key} by {abs(gain.estimate.value):.2f} [{low:.2f}, {high:.2f}] (n = {gain.estimate.n})"
            )
    return [f"worse than the base, paired over items: {', '.join(found)}"] if found else []


def chosen_below_reference(folder: Path, last_step: float = math.inf) -> float | None:
    """Return the share of chosen answers that are less likely than under the reference, after the first steps.

    Args:
        folder: The folder of a point.
        last_step: The step after which metrics do not count.

    Returns:
        The mean over the steps after the first third, and after the first update of the weights; None for a training
        that does not log it, or has no such step.
    """
    history = [metrics for metrics in read_metrics(folder) if metrics.get("step", 0) <= last_step]
    first = max(int(len(history) * FIRST_SHARE), _steps_before_learning(history))
    later = [value for metrics in history[first:] if isinstance(value := metrics.get(CHOSEN_BELOW), int | float)]
    return sum(later) / len(later) if later else None


def _steps_before_learning(history: Sequence[Mapping[str, Any]]) -> int:
    """Count the first logged steps whose loss was computed with the weights of the start.

    Those are the step of the first update, and those before it with a learning rate of 0. There the log-probs of model
    and reference differ by rounding alone.
    """
    count = 0
    for metrics in history:
        if metrics.get("step") != count + 1:  # one entry for several steps
            break
        count += 1
        if metrics.get("learning_rate", 1.0) > 0:
            break
    return count


def _chosen_below_reference(folder: Path) -> list[str]:
    share = chosen_below_reference(folder) or 0.0
    if share < LIMIT:
        return []
    return [
        f"{100 * share:.0f} % of the chosen answers are less likely than under the reference (after the first third "
        "of the steps): the training lowers both answers; try a smaller lr= or a larger beta="
    ]
