"""One import: the answers to a task and the judgments of them, from files of another program to a row of a study."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from mmdpo.config.schema import BenchConfig
from mmdpo.evaluation.imported_rows import ImportedRow, write_row
from mmdpo.evaluation.importing import (
    ImportedAnswers,
    Replayed,
    TaskScores,
    judge_answered,
    read_foreign_answers,
    replay,
    score_items,
)
from mmdpo.evaluation.replay import ReplayJudge
from mmdpo.evaluation.score_labels import label_of_set
from mmdpo.evaluation.task import JudgeUse
from mmdpo.files import file_fingerprint

UNKNOWN_JUDGE = "unknown judge"
OWN_SAMPLES = "questions of the file of answers"
"""The edition of samples that are read from the file of answers."""


@dataclass(frozen=True)
class Import:
    """Content of an import.

    Attributes:
        answers: The answers.
        replayed: The judgments of the files; None without files.
        scores: The scores; None for answers that are judged later.
        origin: The files, the model and the counts, as they are noted beside the answers.
    """

    answers: ImportedAnswers
    replayed: Replayed | None
    scores: TaskScores | None
    origin: dict[str, Any]

    def write(self, row: ImportedRow, bench: BenchConfig) -> None:
        """Add what is imported to a row."""
        write_row(row, self.answers.samples.name, self.answers.responses, self.origin, bench, self.scores)


def read_import(task: str, answers: Path, judgments: Sequence[Path], bench: BenchConfig) -> Import:
    """Read, verify and score answers to a task.

    Args:
        task: The task's name.
        answers: The file of answers.
        judgments: Files of judgments of them; several are repetitions.
        bench: The settings of the samples and of the bootstrap.

    Raises:
        UserError: A file is damaged, or belongs to other questions or answers.
    """
    read = read_foreign_answers(task, answers, bench)
    replayed = replay(read, judgments, bench) if judgments else None
    origin = {
        "answers": _file(answers),
        "judgments": [*map(_file, judgments)],
        "model": read.model,
        "counts": vars(read.counts),
    }
    return Import(read, replayed, _scores(read, replayed, bench, origin), origin)


def _scores(
    answers: ImportedAnswers, replayed: Replayed | None, bench: BenchConfig, label: dict[str, Any]
) -> TaskScores | None:
    """Return the scores of imported answers; None if a judge has still to judge them."""
    samples = answers.samples
    if replayed is not None:
        bench = replace(bench, repeats=replayed.repeats)
        verified = {"verified": replayed.is_verified, "verification": replayed.verification}
        label = {**_label(answers, bench), **label, **verified}
        return score_items(samples, replayed.judgments, bench, replayed.judge or UNKNOWN_JUDGE, label)
    if samples.task.judge_use is not JudgeUse.no:
        return None
    judgments = judge_answered(samples, answers.responses, ReplayJudge([]), bench)
    return score_items(samples, judgments, bench, "", {**_label(answers, bench), **label})


def _label(answers: ImportedAnswers, bench: BenchConfig) -> dict[str, Any]:
    """Return the label of the scores; the engine and the prompt of another program are not known."""
    label = {**label_of_set(answers.samples, answers.responses, bench), "engine": None, "rubric": None}
    return {**label, "edition": {"samples": OWN_SAMPLES}} if answers.own_samples else label


def _file(path: Path) -> dict[str, str]:
    return {"file": str(path), "sha256": file_fingerprint(path, length=64)}
