"""Rows of a study that hold imported answers: their folders, and how a task's answers and judgments are added.

A row is a folder as that of a point, with the role `imported`. Its answers may be judged twice: by the judge of the
file in the row itself, and by today's judge in a second row, whose config.yaml names the first.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any

import yaml
from filelock import FileLock, Timeout

from mmdpo import __version__
from mmdpo.config.schema import AXES, BenchConfig
from mmdpo.errors import UserError
from mmdpo.evaluation.answers import ANSWERS
from mmdpo.evaluation.importing import TaskScores
from mmdpo.evaluation.judgments import JUDGMENTS
from mmdpo.evaluation.statistics import score_json
from mmdpo.evaluation.task import Response
from mmdpo.files import atomic_write, file_fingerprint, fingerprint, read_json, write_json
from mmdpo.points import status
from mmdpo.points.identity import Role, plain
from mmdpo.points.naming import imported_name
from mmdpo.points.point_files import mapping_or_none
from mmdpo.points.records import write_values
from mmdpo.points.results import RESULT, has_result
from mmdpo.records import read_records, write_records

OF_SAMPLES = ("split", "subset", "seed", "items", "noise", "noise_per_turn")
"""Settings of `bench` that the samples depend on; a later judging takes them from the import."""


@dataclass(frozen=True)
class ImportedRow:
    """A row of imported answers.

    Attributes:
        study: The study's folder.
        name: The name in tables.
        judge: What tells the second row of the same answers apart: today's judge with its settings; empty for the
            first row.
        of: The folder name of the first row, for a second one.
    """

    study: Path
    name: str
    judge: str = ""
    of: str = ""

    @property
    def identity(self) -> str:
        """The identity, which no point has."""
        return fingerprint([Role.imported.value, self.name, self.judge])

    @property
    def folder(self) -> Path:
        """The folder of the row."""
        return self.study / imported_name(self.name, self.identity)


def imported_rows(study: Path) -> list[ImportedRow]:
    """Return the rows of a study that hold imported answers, first rows before second ones."""
    found = []
    for path in sorted(study.glob(f"{Role.imported.value}-*/config.yaml")):
        entry = (mapping_or_none(path) or {}).get("imported")
        if isinstance(entry, dict) and isinstance(name := entry.get("name"), str):
            row = ImportedRow(study, name, str(entry.get("judge") or ""), str(entry.get("of") or ""))
            found += [row] if row.folder == path.parent else []
    return sorted(found, key=lambda row: (bool(row.of), row.name))


def answered_tasks(row: ImportedRow) -> list[str]:
    """List the tasks that a row has answers to."""
    return sorted(path.stem for path in (row.folder / ANSWERS).glob("*.json"))


def origin_of(row: ImportedRow, task: str) -> dict[str, Any]:
    """Return what is noted beside a row's answers to a task: file, model, counts, and settings of the samples."""
    try:
        content = read_json(row.folder / ANSWERS / f"{task}.json")
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def read_imported_answers(row: ImportedRow, task: str) -> list[Response]:
    """Read a row's answers to a task. Raises UserError if they have changed since they were imported."""
    path = row.folder / ANSWERS / f"{task}.jsonl"
    if not path.exists() or origin_of(row, task).get("content") != file_fingerprint(path):
        raise UserError(f"{path}: changed since it was imported; import it again under --name {row.name!r}")
    return list(read_records(path, Response))


def label_of(row: ImportedRow, task: str) -> dict[str, Any]:
    """Return what a row's result says of its judging of a task; empty if the task is not judged."""
    labels = (mapping_or_none(row.folder / RESULT) or {}).get("labels")
    label = labels.get(task) if isinstance(labels, dict) else None
    return label if isinstance(label, dict) else {}


def write_row(
    row: ImportedRow,
    task: str,
    responses: Sequence[Response],
    origin: Mapping[str, Any],
    bench: BenchConfig,
    judged: TaskScores | None,
) -> None:
    """Add the answers to a task, and their scores, to a row; those of the same task are replaced.

    Args:
        row: The row; its folder is made if it does not exist.
        task: The task's name.
        responses: The answers.
        origin: The file that they come from, for the note beside them.
        bench: The settings of the import.
        judged: The judgments and scores; None for answers that are judged later.

    Raises:
        UserError: Another process writes the row now.
    """
    with _locked(row.folder):
        status.start(row.folder)
        answers = row.folder / ANSWERS / f"{task}.jsonl"
        write_records(answers, responses)
        note = {"task": task, **origin, "content": file_fingerprint(answers)}
        note["settings"] = {key: plain(getattr(bench, key)) for key in OF_SAMPLES}
        write_json(answers.with_suffix(".json"), note)
        judgments = row.folder / JUDGMENTS / f"{task}.jsonl"
        if judged is None:
            judgments.unlink(missing_ok=True)
        else:
            write_records(judgments, judged.judgments)
        _write_config(row, bench)
        write_values(row.folder, row.identity, {}, {})
        _write_result(row, task, judged)
        if has_result(row.folder):
            status.finish(row.folder)
        else:
            status.plan(row.folder)


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    folder.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(folder / ".lock", timeout=0):
            yield
    except Timeout:
        raise UserError(f"{folder}: another process writes it now; rerun the same command when it has ended") from None


def _write_config(row: ImportedRow, bench: BenchConfig) -> None:
    """Write config.yaml, with the settings of `bench` of the last import and all tasks of the row."""
    values = _plain(dataclasses.asdict(bench))
    values["tasks"] = answered_tasks(row)
    if not row.of:
        del values["judge"]  # the file's judge is another
    config = {
        "imported": {"name": row.name, "judge": row.judge, "of": row.of},
        "study": row.study.name,
        "bench": values,
    }
    with atomic_write(row.folder / "config.yaml") as aside:
        aside.write_text(yaml.safe_dump(config, sort_keys=False, allow_unicode=True), encoding="utf-8")


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(one) for key, one in value.items()}
    return value.value if isinstance(value, Enum) else value


def _write_result(row: ImportedRow, task: str, judged: TaskScores | None) -> None:
    """Replace what result.json says of a task; without any judged task there is no result."""
    before = mapping_or_none(row.folder / RESULT) or {}
    scores = _without(before.get("scores"), task)
    upstream = _without(before.get("upstream"), task)
    labels = _without(before.get("labels"), task)
    if judged is not None:
        scores |= {name: score_json(score) for name, score in judged.scores.items()}
        upstream |= judged.upstream
        labels[task] = {**judged.label, "judge": judged.judge or None}
    if not scores:
        (row.folder / RESULT).unlink(missing_ok=True)
        return
    judges = dict.fromkeys(label["judge"] for label in labels.values() if label.get("judge"))
    result = {
        "point": row.folder.name,
        "identity": row.identity,
        "study": row.study.name,
        "role": Role.imported.value,
        "axes": dict.fromkeys(("method", *AXES)),
        "scores": scores,
        "upstream": upstream,
        "training": None,
        "judge": ", ".join(judges),
        "labels": labels,
        "fingerprints": {},
        "versions": {"mmdpo": __version__},
        "seconds": None,
    }
    write_json(row.folder / RESULT, result)


def _without(values: Any, task: str) -> dict[str, Any]:
    """Return the entries of a result that belong to other tasks."""
    entries = values if isinstance(values, dict) else {}
    return {name: value for name, value in entries.items() if name.partition("/")[0] != task}
