"""plan.json of a study: the plan as it was recorded when the first command began, and what later commands changed.

The first command that runs points with a plan writes it. A later command with another plan does not replace it, and is
recorded as a departure.
"""

from __future__ import annotations

import dataclasses
import json
import shlex
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import Enum
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from mmdpo.config.plan_settings import PlanConfig
from mmdpo.console import print_line
from mmdpo.errors import UserError
from mmdpo.files import Unreadable, fingerprint, read_json, write_json
from mmdpo.points.commands import typed_words

FILE = "plan.json"
LOCK_SECONDS = 30.0


@dataclass(frozen=True)
class PlanOfCommand:
    """The plan of one command.

    Attributes:
        plan: The settings `plan`, with the split of the primary benchmark.
        hash: The fingerprint of the plan.
        time: The time at which the command began, in UTC.
        command: The command as it was typed.
        commit: The git commit of mmdpo; None outside git.
        points: The names of the trained points that the command asked for.
    """

    plan: dict[str, Any]
    hash: str
    time: str
    command: str
    commit: str | None
    points: list[str]


@dataclass(frozen=True)
class StudyPlan:
    """The plan of a study.

    Attributes:
        first: The plan that counts.
        again: Later commands with the same plan that asked for further points.
        others: Later commands with another plan.
    """

    first: PlanOfCommand
    again: list[PlanOfCommand] = field(default_factory=list)
    others: list[PlanOfCommand] = field(default_factory=list)


def record_plan(study: Path, plan: PlanConfig, split: str, points: Sequence[str], commit: str | None) -> None:
    """Record the plan of a command that begins to run points, alone with the file.

    Args:
        study: The folder of the study.
        plan: The plan.
        split: The split of the primary benchmark.
        points: The names of the trained points that the command asks for.
        commit: The git commit of mmdpo; None outside git.

    Raises:
        UserError: The file cannot be read or written.
    """
    settings = {key: _plain(value) for key, value in dataclasses.asdict(plan).items()} | {"split": split}
    mine = PlanOfCommand(
        settings,
        fingerprint(settings),
        datetime.now(UTC).isoformat(timespec="seconds"),
        shlex.join(typed_words()),
        commit,
        sorted(points),
    )
    path = study / FILE
    try:
        study.mkdir(parents=True, exist_ok=True)
        with FileLock(study / f".{FILE}.lock", timeout=LOCK_SECONDS):
            known = read_plan(study)
            merged = StudyPlan(mine) if known is None else _merged(known, mine)
            if merged != known:
                write_json(path, dataclasses.asdict(merged))
    except (OSError, Timeout) as error:
        raise UserError(f"{path}: the plan cannot be recorded ({error}); type out=FOLDER") from None
    if known is None:
        print_line(f"plan recorded: {path} (hash {mine.hash})")
    elif known.first.hash != mine.hash:
        changed = ", ".join(f"plan.{key}" for key in differing_keys(known.first.plan, mine.plan))
        print_line(
            f"warning: {path} holds another plan, which stays the study's ({changed} differ); this command is recorded "
            "as a departure from it. For a study of its own type study=NAME"
        )


def _merged(known: StudyPlan, mine: PlanOfCommand) -> StudyPlan:
    """Return a study's plan with what a later command adds."""
    if mine.hash != known.first.hash:
        new = all((one.hash, one.command) != (mine.hash, mine.command) for one in known.others)
        return dataclasses.replace(known, others=[*known.others, mine]) if new else known
    before = {name for one in (known.first, *known.again) for name in one.points}
    if not set(mine.points) - before:
        return known
    added = dataclasses.replace(mine, points=sorted(set(mine.points) - before))
    return dataclasses.replace(known, again=[*known.again, added])


def read_plan(study: Path) -> StudyPlan | None:
    """Return the plan of a study; None if it has none. Raises UserError for a damaged file."""
    path = study / FILE
    if not path.exists():
        return None
    try:
        data = read_json(path)
        lists = {name: [PlanOfCommand(**one) for one in data[name]] for name in ("again", "others")}
        found = StudyPlan(PlanOfCommand(**data["first"]), **lists)
        PlanConfig(**found.first.plan)
        intact = found.first.hash == fingerprint(found.first.plan)
    except (OSError, Unreadable, json.JSONDecodeError, ValueError, KeyError, TypeError) as error:
        raise UserError(f"{path} is damaged ({type(error).__name__}); restore it, or delete it to go without") from None
    if not intact:
        raise UserError(f"{path} was changed after it was recorded: its hash differs; restore it")
    return found


def differing_keys(one: dict[str, Any], other: dict[str, Any]) -> list[str]:
    """Return the settings in which two plans differ."""
    return [key for key in sorted({*one, *other}) if one.get(key) != other.get(key)]


def _plain(value: Any) -> Any:
    return value.value if isinstance(value, Enum) else value
