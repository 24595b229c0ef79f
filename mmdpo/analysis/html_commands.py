"""The commands that run a study again, for its page and for hints."""

from __future__ import annotations

import shlex
from itertools import product
from typing import Any

from mmdpo.analysis.study import POINT_AXES, Study, sort_key
from mmdpo.points.commands import launches

GROUPS = ("model", "data", "judge", "bench", "train")
"""The config groups that commands and the page name."""


def commands(study: Study) -> list[str]:
    """Return the commands that run the study again: those that were typed, else commands made of the points' settings.

    For a study of an earlier version, which kept no commands, it is a single one if its points are all combinations of
    axes.
    """
    return launches(study.folder) or _made_up(study)


def _made_up(study: Study) -> list[str]:
    rows = [row for row in study.trained if row.config]
    if not rows:
        return []
    keys = [key for key in study.varying if key in POINT_AXES]
    values = {key: sorted({row.axes.get(key) for row in rows}, key=sort_key) for key in keys}
    whole = {tuple(row.axes.get(key) for key in keys) for row in rows} == set(product(*values.values()))
    fixed = [
        key
        for key in POINT_AXES
        if key not in keys and rows[0].axes.get(key) is not None and (key == "method" or whole)
    ]
    groups = [
        f"{group}={name}" for group in GROUPS if (name := _common([row.group(group).get("name") for row in rows]))
    ]
    sources = [
        f"data.{key}={value}"
        for key in ("path", "image_root")
        if (value := _common([row.group("data").get(key) for row in rows]))
    ]
    common = [
        f"study={study.name}",
        *(f"{key}={_typed(rows[0].axes[key])}" for key in fixed),
        *groups,
        *sources,
    ]
    if whole and not any(row.settings for row in rows):
        swept = [f"{key}={','.join(_typed(value) for value in values[key])}" for key in keys]
        return [_line(["-m", *swept, *common] if swept else common)]
    return [
        _line(
            [
                *(f"{key}={_typed(row.axes[key])}" for key in keys if row.axes.get(key) is not None),
                *(f"{key.removesuffix('.name')}={_typed(value)}" for key, value in row.settings.items()),
                *common,
            ]
        )
        for row in rows
    ]


def _line(overrides: list[str]) -> str:
    return " ".join(["python", "launch.py", *map(shlex.quote, overrides)])


def _typed(value: Any) -> str:
    """Write a value as Hydra reads it."""
    if value is None:
        return "null"
    return str(value).lower() if isinstance(value, bool) else str(value)


def _common(values: list[Any]) -> str:
    return str(values[0]) if values[0] is not None and len(set(map(str, values))) == 1 else ""
