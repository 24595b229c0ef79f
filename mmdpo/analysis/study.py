"""A study read from its folder: one row per point, whatever state its files are in."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mmdpo.analysis.varying import flatten_dict, varying_settings
from mmdpo.config.choices import Stage
from mmdpo.config.group_aliases import with_judge_group
from mmdpo.config.schema import AXES
from mmdpo.errors import UserError
from mmdpo.evaluation.statistics import Score
from mmdpo.evaluation.task import find_task, in_order
from mmdpo.files import Unreadable, read_bytes
from mmdpo.points.identity import Role
from mmdpo.points.point_files import read_mapping
from mmdpo.points.previous_version import is_previous_config
from mmdpo.points.results import RESULT, damaged_file, read_result
from mmdpo.points.status import State, is_pid, is_process_gone, is_stage_done

POINT_FILES = ("config.yaml", "status.json", RESULT)
POINT_AXES = ("method", *AXES)
OF_START = ("model.adapter_use", "method.reference")
"""Settings of a training that starts from an adapter; others have no value of them."""
FAILED = (State.failed, State.unreadable, State.cancelled)
"""The states of points that ended without a result."""


@dataclass
class Row:
    """One point.

    Attributes:
        point: The point's name.
        folder: The point's folder.
        role: A `Role`, or the name of a role that this version does not have.
        state: A `State`, or the name of a state that this version does not have.
        attempts: The number of times that the point was started.
        error: The reason of a failure.
        job: The node that its job runs on, or what the job waits for.
        axes: The method and the axes.
        settings: Other config keys in which the study's points differ.
        scores: The scores of a finished point by `<task>` and `<task>/<part>`.
        steps: The number of optimizer steps.
        examples: The number of training examples.
        epochs: The number of epochs, as trained.
        seconds: The run time of the point.
        config: The content of config.yaml.
        status: The content of status.json.
        result: The content of result.json.
        pruned: At which rung a search has pruned the point, and why; empty for others.
    """

    point: str
    folder: Path
    role: str = Role.trained
    state: str = State.planned
    attempts: int = 0
    error: str | None = None
    job: str = ""
    axes: dict[str, Any] = field(default_factory=dict)
    settings: dict[str, Any] = field(default_factory=dict)
    scores: dict[str, Score] = field(default_factory=dict)
    steps: int | None = None
    examples: int | None = None
    epochs: float | None = None
    seconds: float | None = None
    config: dict[str, Any] = field(default_factory=dict)
    status: dict[str, Any] = field(default_factory=dict)
    result: dict[str, Any] = field(default_factory=dict)
    pruned: str = ""

    def group(self, name: str) -> dict[str, Any]:
        """Return one group of the point's configuration."""
        values = self.config.get(name)
        return values if isinstance(values, dict) else {}

    def value(self, key: str) -> Any:
        """Return the point's value of an axis or a varying setting; None if it has none."""
        return self.axes.get(key) if key in POINT_AXES else self.settings.get(key)


@dataclass
class Study:
    """The points of one sweep: reference models, then imported rows, then trained points by axes."""

    name: str
    folder: Path
    rows: list[Row]

    def of_role(self, role: str) -> list[Row]:
        """Return the rows of one role."""
        return [row for row in self.rows if row.role == role]

    @property
    def trained(self) -> list[Row]:
        """The points that are trained, finished or not."""
        return self.of_role(Role.trained)

    @property
    def failed(self) -> list[Row]:
        """Points that ended without a result."""
        return [row for row in self.rows if row.state in FAILED]

    @property
    def varying(self) -> list[str]:
        """The axes, then the settings, in which trained points differ."""
        axes = [axis for axis in POINT_AXES if _differ([row.axes.get(axis) for row in self.trained])]
        return axes + sorted({key for row in self.trained for key in row.settings})

    @property
    def benchmarks(self) -> list[str]:
        """The tasks that any point has a score of, in the order that they declare."""
        return in_order(list(dict.fromkeys(key for row in self.rows for key in row.scores if "/" not in key)))

    def resampled(self, benchmarks: Iterable[str] | None = None) -> str:
        """Describe the intervals of benchmarks, by default of all: their level, and the units that are resampled."""
        names = self.benchmarks if benchmarks is None else benchmarks
        units = {f"{task.cluster}s" for name in names if (task := find_task(name))} or {"items"}
        return f"{100 * self.confidence:g} % interval over {', '.join(sorted(units))}"

    @property
    def confidence(self) -> float:
        """The level of the intervals, from the configuration."""
        return confidence_of(self.rows)


def confidence_of(rows: Iterable[Row]) -> float:
    """Return the level of the intervals of points, from the configuration of the first one that has it."""
    levels = (row.group("bench").get("confidence") for row in rows)
    return next((level for level in levels if isinstance(level, float)), 0.95)


def read_study(folder: Path, may_be_empty: bool = False) -> Study:
    """Read every point in a folder; a broken file of one point never hides another.

    Raises:
        UserError: There is no such folder, or no point in it.
    """
    if not folder.is_dir():
        raise UserError(f"no study at {folder}. Run `python launch.py -m ...`, or name another folder.")
    try:
        folders = sorted(path for path in folder.iterdir() if _is_point(path))
    except OSError as error:
        raise UserError(f"{folder} cannot be read ({error.strerror}). Name another folder.") from None
    if not folders and not may_be_empty:
        raise UserError(f"{folder} holds no point (no folder with {', '.join(POINT_FILES)}).")
    return study_of(folder, [_read_row(path) for path in folders])


def study_of(folder: Path, rows: list[Row]) -> Study:
    """Make a study of rows: sorted, with the settings in which they differ."""
    trained = [row for row in rows if row.role == Role.trained and row.config]
    for row, settings in zip(trained, varying_settings([row.config for row in trained]), strict=True):
        begins = row.config.get("round", 1) == 1 and row.group("model").get("adapter") is None
        row.settings = {key: None if begins and key in OF_START else value for key, value in settings.items()}
    for row in rows:
        if trained and row.config and row.role != Role.trained:
            flat = flatten_dict(row.config)
            # data, judge and training do not apply to a model that was not trained
            known = (key for key in trained[0].settings if key.startswith(("model", "bench")) and key not in OF_START)
            row.settings = {key: flat.get(key) for key in known}
    return Study(folder.resolve().name, folder, sorted(rows, key=_order))


def _is_point(path: Path) -> bool:
    if path.name.startswith("."):
        return False
    try:
        return _is_gone_link(path) or (path.is_dir() and any((path / name).exists() for name in POINT_FILES))
    except OSError:  # the folder must not be entered
        return "-" in path.name


def _is_gone_link(path: Path) -> bool:
    """Return whether a path is the link to a point of another study that was deleted."""
    return path.is_symlink() and not path.exists()


def _read_row(folder: Path) -> Row:
    if _is_gone_link(folder):
        role = next((role for role in Role if folder.name.startswith(f"{role}-")), Role.trained)
        error = f"it was linked from {os.readlink(folder)}, which is gone; rerun the same command to run it here"
        return Row(folder.name, folder, role, State.unreadable, error=error)
    config, config_error = _read(lambda: with_judge_group(read_mapping(folder / "config.yaml")))
    status, status_error = _read(lambda: read_mapping(folder / "status.json"))
    result, result_error = _read(lambda: read_result(folder))
    row = Row(folder.name, folder, config=config, status=status, result=result)
    row.attempts = status["attempts"] if isinstance(status.get("attempts"), int) else 0
    row.error = status.get("error") and str(status["error"])
    row.axes = _axes(result, config)
    row.role = str(result.get("role") or status.get("role") or _guess_role(folder.name, config, row.axes))
    assumed = State.unreadable if status_error or result_error else State.done if result else State.planned
    state = str(status.get("state") or assumed)
    if state == State.running and not is_pid(pid := status.get("pid")):
        state, status_error = State.unreadable, f"status.json: pid {str(pid)[:20]!r} is not the id of a process"
    elif state == State.running and is_process_gone(status["pid"], status.get("host")):
        state = State.interrupted
    if state == State.done and not result:
        state, row.error = State.unreadable, result_error or f"{RESULT} is missing"
    elif state == State.done and (damaged := damaged_file(folder)):
        state, row.error = State.unreadable, f"{damaged} is damaged; rerun the same command to make it again"
    elif state == State.unreadable or state not in tuple(State):
        state, row.error = State.unreadable, status_error or result_error or f"status.json: unknown state {state!r}"
    elif state == State.planned and config_error:
        row.error = config_error
    row.state = _progress(folder, config) if state == State.planned and not config_error else state
    if not result and state != State.running and is_previous_config(config):
        row.state = State.failed
        row.error = "an earlier version began it, and this version does not continue it: delete its folder"
    if state == State.pruned:
        row.pruned = str(status.get("pruned") or "by a search")
    if state == State.running and status.get("waiting"):
        row.job = f"waiting for {status['waiting']}"
    if state == State.done:
        row.scores = read_scores(result.get("scores"))
        training = result.get("training")
        training = training if isinstance(training, dict) else {}
        row.steps, row.examples = _count(training.get("steps")), _count(training.get("examples"))
        epochs, seconds = finite_number(training.get("epochs")), finite_number(result.get("seconds"))
        row.epochs = None if math.isnan(epochs) else epochs
        row.seconds = None if math.isnan(seconds) else seconds
    elif metrics := read_metrics(folder):
        row.steps = metrics[-1]["step"]
    return row


def _progress(folder: Path, config: dict[str, Any]) -> State:
    """Return how far a planned point is: its stages may run one by one."""
    bench = config.get("bench")
    tasks = bench.get("tasks") if isinstance(bench, dict) else None
    if isinstance(tasks, list) and is_stage_done(folder, Stage.evaluate, map(str, tasks)):
        return State.answered
    return State.trained if is_stage_done(folder, Stage.train, ()) else State.planned


def _read(read: Callable[[], dict[str, Any]]) -> tuple[dict[str, Any], str | None]:
    """Read the mapping in a file; also returns what is wrong with the file. An absent file is empty, not wrong."""
    try:
        return read(), None
    except FileNotFoundError:
        return {}, None
    except Unreadable as error:
        return {}, str(error)


def _axes(result: dict[str, Any], config: dict[str, Any]) -> dict[str, Any]:
    axes = result.get("axes")
    if isinstance(axes, dict):
        return {axis: _plain(axes.get(axis)) for axis in POINT_AXES}
    method = config.get("method")
    name = method.get("name") if isinstance(method, dict) else None
    return {"method": name, **{axis: _plain(config.get(axis)) for axis in AXES}}


def _guess_role(point: str, config: dict[str, Any], axes: dict[str, Any]) -> str:
    if isinstance(config.get(Role.imported), dict):
        return Role.imported
    if point.startswith(Role.before_visual_tuning):
        return Role.before_visual_tuning
    if point.startswith(f"{Role.start}-"):
        return Role.start
    return Role.base if axes.get("data_scale") == 0 else Role.trained


def read_scores(data: Any) -> dict[str, Score]:
    """Read the scores of a result.json that hold a number; a score without one is absent."""
    scores = {}
    for key, entry in (data if isinstance(data, dict) else {}).items():
        entry = entry if isinstance(entry, dict) else {"value": entry}
        value, low, high = (finite_number(entry.get(name)) for name in ("value", "low", "high"))
        if not math.isnan(value):
            scores[str(key)] = Score(value, _count(entry.get("n")) or 0, low, high, _count(entry.get("unscored")) or 0)
    return scores


def _count(value: Any) -> int | None:
    return value if isinstance(value, int) else None


def _plain(value: Any) -> Any:
    """Make a value comparable and sortable."""
    return str(value) if isinstance(value, list | dict) or value != value else value


def finite_number(value: Any) -> float:
    """Return a finite number, else NaN."""
    usable = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    return float(value) if usable else math.nan


def read_lines(path: Path) -> Iterator[dict[str, Any]]:
    """Read the JSON objects of a JSON-lines file; torn lines and an absent file are skipped."""
    try:
        text = read_bytes(path).decode("utf-8", errors="replace")
    except (OSError, Unreadable):
        return
    for line in text.split("\n"):  # not splitlines: answers may hold other line separators
        try:
            data = _DECODER.decode(line)
        except (ValueError, RecursionError):
            continue
        if isinstance(data, dict):
            yield data


def _integer(digits: str) -> int | float:
    """Read an integer; one that has more than 64 bits becomes a float, which may be infinite."""
    return int(digits) if len(digits) < 19 else float(digits)


_DECODER = json.JSONDecoder(parse_int=_integer)


def read_metrics(folder: Path) -> list[dict[str, Any]]:
    """Read the logged steps of a point in order; of a step that was logged twice, the last entry counts."""
    steps = {data["step"]: data for data in read_lines(folder / "metrics.jsonl") if isinstance(data.get("step"), int)}
    return [steps[step] for step in sorted(steps)]


def _differ(values: list[Any]) -> bool:
    return any(value != values[0] for value in values[1:])


def sort_key(value: Any) -> tuple[int, float, str]:
    """Return a sort key for the values of an axis: absent ones first, then numbers by size, then names."""
    if value is None:
        return (0, 0.0, "")
    if isinstance(value, int | float):
        return (1, float(value), "")
    return (2, 0.0, str(value))


def _order(row: Row) -> tuple[Any, ...]:
    rank = {str(Role.base): 0, str(Role.before_visual_tuning): 1, str(Role.start): 2, str(Role.imported): 3}.get(
        row.role, 4
    )
    keys = [*sorted(row.settings), *POINT_AXES]
    values = [] if row.role == Role.imported else [sort_key(row.value(key)) for key in keys]
    return (rank, values, str(row.group("imported").get("name", "")), row.point)
