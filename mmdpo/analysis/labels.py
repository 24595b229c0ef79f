"""How axes, values and scores are written in tables, figures and the report."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

from mmdpo.analysis.points import BASE, BEFORE, TRAINED, Row, Score

ROLES = {BASE: "base", BEFORE: "before"}
ROLE_NOTES = {
    BASE: "base: the model before alignment",
    BEFORE: "before: its language model before visual tuning",
}
ROLE_LABELS = {BASE: "base", BEFORE: "before visual tuning"}
COLUMNS = {
    "logprob_avg": "logps",
    "data_scale": "data",
    "data_limit": "limit",
    "label_noise": "flipped",
}
AXIS_LABELS = {
    "lr": "learning rate",
    "logprob_avg": "log-probs",
    "data_scale": "share of the data (%)",
    "data_limit": "examples at most",
    "label_noise": "flipped pairs (%)",
}
BENCHMARKS = {
    "text": "text instructions",
    "visual": "visual questions",
    "presence": "presence (accuracy)",
    "text_noisy": "text, unrelated image",
}
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
    """The heading of an axis or setting in a table: `train.num_train_epochs` is `epochs`, `model.name` `model`."""
    return COLUMNS.get(key, key.removesuffix(".name").rsplit(".", 1)[-1])


def axis_label(key: str) -> str:
    """What stands at the axis of a figure."""
    return AXIS_LABELS.get(key, column(key))


def benchmark_label(benchmark: str) -> str:
    """The title of a benchmark's panel."""
    return BENCHMARKS.get(benchmark, benchmark.replace("_", " "))


def value_text(key: str, value: Any) -> str:
    """One value of an axis, short: `5e-4`, `25 %`, `sum`."""
    if value is None:
        return "–"
    if key == "logprob_avg":
        return "mean" if value else "sum"
    if key in ("data_scale", "label_noise") and isinstance(value, int | float):
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
    """One value with its axis: `beta 0.1`, `25 % of the data`; a method speaks for itself."""
    text = value_text(key, value)
    if key in ("method", "model.name"):
        return text
    if key == "data_scale":
        return f"{text} of the data"
    return f"{column(key)} {text}"


def row_label(row: Row, keys: Iterable[str]) -> str:
    """What tells a point from the others: its role, or its values of the axes that vary."""
    if row.role != TRAINED:
        return ROLE_LABELS.get(row.role, row.role)
    parts = [assignment(key, row.value(key)) for key in keys if row.value(key) is not None]
    return ", ".join(parts) or value_text("method", row.axes.get("method")) or row.point


def decimals(scores: Iterable[Score]) -> int:
    """As many as the width of the intervals warrants."""
    scores = list(scores)
    if any(abs(score.value) >= 20 for score in scores):
        return 1
    widths = sorted(half_width(score) for score in scores if not math.isnan(score.low))
    return 3 if widths and 0 < widths[len(widths) // 2] < 0.01 else 2


def half_width(score: Score) -> float:
    """Half the width of the interval."""
    return (score.high - score.low) / 2


def short_number(value: float, places: int) -> str:
    """A number without the zero before the point: `.05`."""
    text = f"{value:.{places}f}"
    return text.removeprefix("0") if text.startswith("0.") else text


def duration(seconds: float | None) -> str:
    """`7 s`, `3 min`, `2.5 h`."""
    if seconds is None:
        return "–"
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"
