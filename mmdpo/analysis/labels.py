"""Labels of axes, values, scores and points in tables, figures and the report."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from mmdpo.analysis.study import Row
from mmdpo.evaluation.statistics import Score
from mmdpo.evaluation.task import WITHOUT_REQUEST, Metric, find_task
from mmdpo.points.identity import Role

if TYPE_CHECKING:
    from mmdpo.evaluation.crossed import Estimate

ROLES: dict[str, str] = {Role.base: "base", Role.before_visual_tuning: "before", Role.start: "start"}
ROLE_NOTES: dict[str, str] = {
    Role.base: "base: the model before alignment",
    Role.before_visual_tuning: "before: its language model before visual tuning",
    Role.start: "start: the model that the trainings start from (model.adapter)",
    Role.imported: "imported rows hold answers of other programs",
}
ROLE_LABELS: dict[str, str] = {
    Role.base: "base",
    Role.before_visual_tuning: "before visual tuning",
    Role.start: "start",
}
COLUMNS = {
    "train.num_train_epochs": "epochs",
    "logprob_avg": "logps",
    "data_scale": "data",
    "data_limit": "limit",
    "data.text_share": "text only",
    "label_noise": "flipped",
}
AXIS_LABELS = {
    "lr": "learning rate",
    "logprob_avg": "log-probs",
    "data_scale": "share of the data (%)",
    "data_limit": "examples at most",
    "data.text_share": "text-only examples (%)",
    "label_noise": "flipped pairs (%)",
}
SHARES = ("data_scale", "label_noise", "data.text_share")
"""Axes that are written as percentages."""
METHODS = {
    "dpo": "DPO",
    "ipo": "IPO",
    "hinge": "hinge",
    "robust": "robust DPO",
    "apo_zero": "APO-zero",
    "sft": "SFT",
    "steerlm": "SteerLM",
    "rejection_sampling": "rejection sampling",
}


def column(key: str) -> str:
    """Return the heading of an axis or setting in a table: the last part of its key, or `model` for `model.name`."""
    return COLUMNS.get(key, key.removesuffix(".name").rsplit(".", 1)[-1])


def axis_label(key: str) -> str:
    """Return the label of a figure's axis."""
    return AXIS_LABELS.get(key, column(key))


def benchmark_label(benchmark: str) -> str:
    """Return the heading of a benchmark; an unknown one is shown by its name."""
    task = find_task(benchmark)
    return task.label if task else benchmark.replace("_", " ")


def metric_of(key: str) -> Metric | None:
    """Return the metric behind a score key, `<task>` or `<task>/<metric>`; None for an unknown one."""
    name, _, part = key.partition("/")
    task = find_task(name)
    if task is None:
        return None
    return task.main if part in ("", WITHOUT_REQUEST) or "/" in part else task.metric(part)


def metric_label(key: str) -> str:
    """Return the heading of a part of a score."""
    metric = metric_of(key)
    name = key.rsplit("/", 1)[-1]
    return metric.label if metric and metric.label and metric.name == name else name.replace("_", " ")


def score_label(benchmark: str) -> str:
    """Return the label of a benchmark's score with its scale, such as `text score (1–10)`."""
    task = find_task(benchmark)
    if task is None:
        return benchmark.replace("_", " ")
    scale = f" ({task.scale[0]:g}–{task.scale[1]:g})" if task.scale else ""
    name = task.label if task.bench_files else benchmark.replace("_", " ")
    return f"{name} {task.main_metric.replace('_', ' ')}{scale}"


def sign(key: str) -> int:
    """Return 1 for a score of which more is better, or unknown, and -1 for one of which less is better."""
    metric = metric_of(key)
    return -1 if metric and metric.higher_is_better is False else 1


def value_text(key: str, value: Any) -> str:
    """Write one value of an axis in short: `5e-4`, `25 %`, `sum`."""
    if value is None:
        return "–"
    if key == "logprob_avg":
        return "mean" if value else "sum"
    if key in SHARES and isinstance(value, int | float):
        return f"{100 * value:.4g} %"
    if key == "method":
        return METHODS.get(value, str(value))
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        if 0 < abs(value) < 1e-2:
            mantissa, _, exponent = f"{value:e}".partition("e")
            return f"{float(mantissa):.3g}e{int(exponent)}"
        return f"{value:.6g}"
    return str(value)


def assignment(key: str, value: Any) -> str:
    """Write one value with its axis: `beta 0.1`, `25 % of the data`; a method is written without `method`."""
    text = value_text(key, value)
    if key in ("method", "model.name"):
        return text
    if key == "data_scale":
        return f"{text} of the data"
    return f"{column(key)} {text}"


def row_label(row: Row, keys: Iterable[str]) -> str:
    """Return the label of a point among others: its role, or its values of the axes that vary."""
    if row.role == Role.imported:
        return imported_label(row)
    if row.role != Role.trained:
        return ROLE_LABELS.get(row.role, row.role)
    parts = [assignment(key, row.value(key)) for key in keys if row.value(key) is not None]
    return ", ".join(parts) or value_text("method", row.axes.get("method")) or row.point


def imported_label(row: Row) -> str:
    """Return the name under which a row of answers was imported."""
    return str(row.group("imported").get("name") or row.point)


def decimals(scores: Iterable[Score]) -> int:
    """Return the number of decimals that the width of the intervals warrants."""
    scores = list(scores)
    if any(abs(score.value) >= 20 for score in scores):
        return 1
    widths = sorted(half_width(score) for score in scores if not math.isnan(score.low))
    return 3 if widths and 0 < widths[len(widths) // 2] < 0.01 else 2


def half_width(score: Score) -> float:
    """Return half the width of the interval."""
    return (score.high - score.low) / 2


def estimate_text(estimate: Estimate, places: int) -> str:
    """Write a difference with its interval: `+0.32 [+0.16, +0.51]`."""
    if math.isnan(estimate.low):
        return f"{estimate.value:+.{places}f}"
    return f"{estimate.value:+.{places}f} [{estimate.low:+.{places}f}, {estimate.high:+.{places}f}]"


def short_number(value: float, places: int) -> str:
    """Write a number without the zero before the point: `.05`."""
    text = f"{value:.{places}f}"
    return text.removeprefix("0") if text.startswith("0.") else text


def duration(seconds: float | None) -> str:
    """Write a duration: `7 s`, `3 min`, `2.5 h`."""
    if seconds is None:
        return "–"
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"
