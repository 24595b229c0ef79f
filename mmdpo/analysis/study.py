"""A study as it lies on disk: one row a point, whatever state its files are in."""

from __future__ import annotations

import json
import math
import os
import socket
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from mmdpo.analysis.settings import flatten, varying_settings
from mmdpo.config.schema import AXES
from mmdpo.errors import UserError
from mmdpo.files import read_json

TRAINED, BASE, BEFORE = "trained", "base", "before_visual_tuning"
STATES = ("planned", "running", "interrupted", "failed", "unreadable", "done")
"""Of a point by its files; its job on SLURM may be `pending` or `cancelled` as well."""
POINT_FILES = ("config.yaml", "status.json", "result.json")
POINT_AXES = ("method", *AXES)


@dataclass(frozen=True)
class Score:
    """A mean over `n` items with its confidence interval."""

    value: float
    low: float
    high: float
    n: int


@dataclass
class Row:
    """One point. `settings` are the other config keys in which the study's points differ."""

    point: str
    folder: Path
    role: str = TRAINED
    state: str = "planned"
    attempts: int = 0
    error: str | None = None
    job: str = ""  # where its job runs, or what it waits for
    axes: dict[str, Any] = field(default_factory=dict)
    settings: dict[str, Any] = field(default_factory=dict)
    scores: dict[str, Score] = field(default_factory=dict)
    steps: int | None = None
    examples: int | None = None
    seconds: float | None = None
    config: dict[str, Any] = field(default_factory=dict)
    status: dict[str, Any] = field(default_factory=dict)
    result: dict[str, Any] = field(default_factory=dict)

    def group(self, name: str) -> dict[str, Any]:
        """One group of the point's configuration."""
        values = self.config.get(name)
        return values if isinstance(values, dict) else {}

    def value(self, key: str) -> Any:
        """What the point has of an axis or a varying setting; None where it has none."""
        return self.axes.get(key) if key in POINT_AXES else self.settings.get(key)


@dataclass
class Study:
    """The points of one sweep: reference models first, then trained points by axes."""

    name: str
    folder: Path
    rows: list[Row]

    def of_role(self, role: str) -> list[Row]:
        """The rows of one role."""
        return [row for row in self.rows if row.role == role]

    @property
    def trained(self) -> list[Row]:
        """The points that are trained, finished or not."""
        return self.of_role(TRAINED)

    @property
    def failed(self) -> list[Row]:
        """Points that ended without a result."""
        return [row for row in self.rows if row.state in ("failed", "unreadable", "cancelled")]

    @property
    def varying(self) -> list[str]:
        """The axes, then the settings, in which trained points differ."""
        axes = [axis for axis in POINT_AXES if _differ([row.axes.get(axis) for row in self.trained])]
        return axes + sorted({key for row in self.trained for key in row.settings})

    @property
    def benchmarks(self) -> list[str]:
        """The benchmarks that any point has a score of, the paper's first."""
        found = dict.fromkeys(key for row in self.rows for key in row.scores if "/" not in key)
        known = [name for name in ("text", "visual", "presence", "text_noisy") if name in found]
        return known + [name for name in found if name not in known]

    @property
    def confidence(self) -> float:
        """The level of the intervals, from the configuration."""
        for row in self.rows:
            level = row.group("bench").get("confidence")
            if isinstance(level, float):
                return level
        return 0.95


def read_study(folder: Path, may_be_empty: bool = False) -> Study:
    """Read every point below `folder`; a broken file of one point never hides another.

    Raises:
        UserError: there is no such folder, or no point in it.
    """
    if not folder.is_dir():
        raise UserError(f"no study at {folder}. Run `python launch.py -m ...`, or name another folder.")
    folders = sorted(path for path in folder.iterdir() if _is_point(path))
    if not folders and not may_be_empty:
        raise UserError(f"{folder} holds no point (no folder with {', '.join(POINT_FILES)}).")
    return study_of(folder, [_read_row(path) for path in folders])


def study_of(folder: Path, rows: list[Row]) -> Study:
    """The study of these points: in order, with the settings in which they differ."""
    trained = [row for row in rows if row.role == TRAINED and row.config]
    for row, settings in zip(trained, varying_settings([row.config for row in trained]), strict=True):
        row.settings = settings
    for row in rows:
        if trained and row.config and row.role != TRAINED:
            flat = flatten(row.config)
            # data, judge and training mean nothing for a model that was not trained
            known = (key for key in trained[0].settings if key.startswith(("model", "bench")))
            row.settings = {key: flat.get(key) for key in known}
    return Study(folder.resolve().name, folder, sorted(rows, key=_order))


def _is_point(path: Path) -> bool:
    hidden = path.name.startswith(".")
    return not hidden and path.is_dir() and any((path / name).exists() for name in POINT_FILES)


def _read_row(folder: Path) -> Row:
    config, config_error = _read(folder / "config.yaml")
    status, status_error = _read(folder / "status.json")
    result, result_error = _read(folder / "result.json")
    row = Row(folder.name, folder, config=config, status=status, result=result)
    row.attempts = status["attempts"] if isinstance(status.get("attempts"), int) else 0
    row.error = status.get("error") and str(status["error"])
    row.axes = _axes(result, config)
    row.role = str(result.get("role") or status.get("role") or _guess_role(folder.name, row.axes))
    state = str(status.get("state") or ("done" if result else "unreadable" if status_error else "planned"))
    if state == "running" and _is_gone(status):
        state = "interrupted"
    if state == "done" and not result:
        state, row.error = "unreadable", result_error or "result.json is missing"
    elif state == "unreadable" or state not in STATES:
        state, row.error = "unreadable", status_error or f"status.json: unknown state {state!r}"
    elif state == "planned" and config_error:
        row.error = config_error
    row.state = state
    if state == "done":
        row.scores = _scores(result.get("scores"))
        training = result.get("training")
        training = training if isinstance(training, dict) else {}
        row.steps, row.examples = _count(training.get("steps")), _count(training.get("examples"))
        seconds = _number(result.get("seconds"))
        row.seconds = None if math.isnan(seconds) else seconds
    elif metrics := read_metrics(folder):
        row.steps = metrics[-1]["step"]
    return row


def _read(path: Path) -> tuple[dict[str, Any], str | None]:
    """The mapping in a file, and what is wrong with the file; an absent file is empty and right."""
    try:
        data = (
            yaml.load(path.read_text(encoding="utf-8"), Loader=yaml.CSafeLoader)
            if path.suffix == ".yaml"
            else read_json(path)
        )
    except FileNotFoundError:
        return {}, None
    except (OSError, ValueError, yaml.YAMLError) as error:
        return {}, f"{path.name} cannot be read: {' '.join(str(error).split())}"
    if not isinstance(data, dict):
        return {}, f"{path.name} cannot be read: it holds no mapping"
    return data, None


def _axes(result: dict[str, Any], config: dict[str, Any]) -> dict[str, Any]:
    axes = result.get("axes")
    if isinstance(axes, dict):
        return {axis: _plain(axes.get(axis)) for axis in POINT_AXES}
    method = config.get("method")
    name = method.get("name") if isinstance(method, dict) else None
    return {"method": name, **{axis: _plain(config.get(axis)) for axis in AXES}}


def _guess_role(point: str, axes: dict[str, Any]) -> str:
    if point.startswith(BEFORE):
        return BEFORE
    return BASE if axes.get("data_scale") == 0 else TRAINED


def _is_gone(status: dict[str, Any]) -> bool:
    """Whether the process that says it runs has ended; unknowable from another host."""
    pid = status.get("pid")
    if status.get("host") != socket.gethostname() or not isinstance(pid, int) or pid <= 0:
        return False
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    except OSError:
        return False
    return False


def _scores(data: Any) -> dict[str, Score]:
    """Scores that hold a number; what was left unscored is absent."""
    scores = {}
    for key, entry in (data if isinstance(data, dict) else {}).items():
        entry = entry if isinstance(entry, dict) else {"value": entry}
        value, low, high = (_number(entry.get(name)) for name in ("value", "low", "high"))
        if not math.isnan(value):
            n = entry.get("n")
            scores[str(key)] = Score(value, low, high, n if isinstance(n, int) else 0)
    return scores


def _count(value: Any) -> int | None:
    return value if isinstance(value, int) else None


def _plain(value: Any) -> Any:
    """A value that can be compared and sorted."""
    return str(value) if isinstance(value, list | dict) else value


def _number(value: Any) -> float:
    """A finite number, else NaN."""
    usable = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    return float(value) if usable else math.nan


def read_lines(path: Path) -> Iterator[dict[str, Any]]:
    """The JSON objects of a JSON-lines file; torn lines and an absent file are passed over."""
    try:
        text = path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return
    for line in text.splitlines():
        try:
            data = json.loads(line)
        except ValueError:
            continue
        if isinstance(data, dict):
            yield data


def read_metrics(folder: Path) -> list[dict[str, Any]]:
    """The logged steps of a point in order; of a step logged again after a restart, the last counts."""
    steps = {data["step"]: data for data in read_lines(folder / "metrics.jsonl") if isinstance(data.get("step"), int)}
    return [steps[step] for step in sorted(steps)]


def read_answers(folder: Path) -> dict[str, dict[str, dict[str, Any]]]:
    """The judged answers of a point: benchmark, then item id."""
    return {
        path.stem: {str(item["id"]): item for item in read_lines(path) if "id" in item}
        for path in sorted((folder / "answers").glob("*.jsonl"))
    }


def _differ(values: list[Any]) -> bool:
    return any(value != values[0] for value in values[1:])


def sort_key(value: Any) -> tuple[int, float, str]:
    """Orders the values of an axis: absent ones, then numbers by size, then names."""
    if value is None:
        return (0, 0.0, "")
    if isinstance(value, int | float):
        return (1, float(value), "")
    return (2, 0.0, str(value))


def _order(row: Row) -> tuple[Any, ...]:
    rank = {BASE: 0, BEFORE: 1}.get(row.role, 2)
    keys = [*sorted(row.settings), *POINT_AXES]
    return (rank, [sort_key(row.value(key)) for key in keys], row.point)
