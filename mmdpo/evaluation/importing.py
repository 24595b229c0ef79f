"""Answers and judgments of other programs as those of a task: read, counted, verified and scored."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from mmdpo.config.schema import BenchConfig
from mmdpo.errors import UserError
from mmdpo.evaluation.bench_files import find_file
from mmdpo.evaluation.foreign_files import (
    ID_COLUMNS,
    QUESTION_COLUMNS,
    Row,
    first_of,
    id_text,
    is_failure,
    model_names,
    read_rows,
)
from mmdpo.evaluation.judgments import judge_items
from mmdpo.evaluation.replay import ReplayJudge
from mmdpo.evaluation.samples import SampleSet, sample_sets
from mmdpo.evaluation.statistics import Score, summarize
from mmdpo.evaluation.task import Judge, Judgment, Response, StoredReply, Task, Upstream, load_task
from mmdpo.records import Prompt

NOT_ANSWERED = "not_answered"
"""The reason of an item whose question has no answer in the file."""

IMAGE_MARK = "<image>"


@dataclass(frozen=True)
class Counts:
    """Counts of the rows of a file of answers.

    Attributes:
        questions: The questions of the task.
        answered: Those that the file answers.
        repeated: Rows whose id stands in another row, too.
        failed: Ids with a failure and no answer.
        unknown: Ids that answer no question of the task.
        changed: Rows whose question is none of the task's, whatever their id.
    """

    questions: int
    answered: int
    repeated: int = 0
    failed: int = 0
    unknown: int = 0
    changed: int = 0

    def text(self) -> str:
        """Write the counts, without those that are zero."""
        parts = [f"{self.answered:,} of {self.questions:,} questions are answered"]
        parts += [f"{self.repeated:,} rows repeat an id"] if self.repeated else []
        parts += [f"{self.failed:,} answers are failures"] if self.failed else []
        parts += [f"{self.unknown:,} ids are none of the task's"] if self.unknown else []
        parts += [f"{self.changed:,} rows ask another question"] if self.changed else []
        return "; ".join(parts)


@dataclass(frozen=True)
class ImportedAnswers:
    """Answers of one model to a task.

    Attributes:
        samples: All samples of the task.
        responses: The answers, one per answered sample, in the samples' order.
        counts: What became of the file's rows.
        path: The file.
        model: The model's name in the file; empty if the file names none.
        own_samples: Whether the samples are those of the file of answers, since the benchmark's own files are missing.
    """

    samples: SampleSet
    responses: Sequence[Response]
    counts: Counts
    path: Path
    model: str = ""
    own_samples: bool = False


@dataclass(frozen=True)
class Replayed:
    """Judgments of another program.

    Attributes:
        judgments: One per item of the task.
        judge: The name of the judge in the file; several are joined by commas.
        repeats: The number of judgments of each answer.
        verified: The number of judgments whose request is the one that would be asked.
        comparable: The number of judgments whose request, or the id of whose answer, is in the file.
    """

    judgments: Sequence[Judgment]
    judge: str
    repeats: int
    verified: int
    comparable: int

    @property
    def is_verified(self) -> bool | None:
        """True if all judgments belong to the answers; None if the file does not tell."""
        return self.verified == self.comparable if self.comparable else None

    @property
    def verification(self) -> str:
        """The result of the verification in words."""
        if not self.comparable:
            return "not verifiable: the file holds no requests"
        if self.is_verified:
            return f"{self.verified} of {self.comparable}"
        return f"unverified: {self.verified} of {self.comparable} match"


@dataclass(frozen=True)
class TaskScores:
    """The judged answers to one task, as a row keeps them.

    Attributes:
        judgments: One per item.
        scores: The honest scores by `<task>` and `<task>/<part>`.
        upstream: The numbers that upstream's script prints, by the same names.
        judge: The name of the judge; empty for a task without one.
        label: What else is known of the judging, for the result's `labels`.
    """

    judgments: Sequence[Judgment]
    scores: Mapping[str, Score]
    upstream: Mapping[str, float]
    judge: str
    label: Mapping[str, Any]


def read_foreign_answers(name: str, path: Path, bench: BenchConfig) -> ImportedAnswers:
    """Read a file of answers to a task.

    Args:
        name: The task's name.
        path: The file, of upstream's or VLMEvalKit's.
        bench: The settings of the samples.

    Raises:
        UserError: The file is damaged, or holds answers of several models or to other questions.
    """
    task = load_task(name)
    upstream = _upstream(name, task)
    if upstream.read_answers is None:
        raise UserError(f"{name}: answers of other programs cannot be read; export them in another task's format")
    rows = read_rows(path)
    models = [upstream.read_model(path)] if upstream.read_model else model_names(rows)
    if len(models) > 1:
        raise UserError(
            f"{path}: holds answers of {len(models)} models ({', '.join(models)}); name a file of one model"
        )
    own_samples = _files_are_missing(task, bench) and upstream.samples_of_answers is not None
    samples = _samples_of(name, task, path) if own_samples else sample_sets(replace(bench, tasks=[name]), {}, "")[0]
    known = {response.id: response for response in upstream.read_answers(path, samples.prompts, bench)}
    responses = [known[prompt.id] for prompt in samples.prompts if prompt.id in known]
    counts = _counts(rows, samples.prompts, len(responses))
    if len(responses) < max(counts.unknown + counts.changed, 1) or 2 * counts.changed > len(rows):
        raise UserError(
            f"{path}: {counts.text()}. These are answers to other questions: name the task that they belong to, "
            "bench.root=FOLDER with the edition that was answered, or its split and subset, as in bench.split=all"
        )
    return ImportedAnswers(samples, responses, counts, path, "".join(models), own_samples)


def replay(answers: ImportedAnswers, paths: Sequence[Path], bench: BenchConfig) -> Replayed:
    """Read files of judgments of imported answers, and score the answers by them.

    Args:
        answers: The answers.
        paths: Files of upstream's judgments; several are repeated judgments of the same answers.
        bench: The settings of the judging, such as `references`.

    Raises:
        UserError: A file is damaged, or holds judgments of other answers, or none that can be read.
    """
    name, task = answers.samples.name, answers.samples.task
    upstream = _upstream(name, task)
    if upstream.read_judgments is None:
        raise UserError(f"{name}: its answers need no judge; leave out --judgments {paths[0]}")
    if len(paths) > 1 and "repeats" not in task.reads:
        raise UserError(f"{name}: it reads no repeated judgments; name one file by --judgments")
    replies: list[StoredReply] = []
    repeats = 0
    for path in paths:
        found = upstream.read_judgments(path, answers.samples.prompts, answers.model)
        _require_judged(path, found, answers.responses)
        replies += [replace(reply, repeat=reply.repeat + repeats) for reply in found]
        repeats = 1 + max(reply.repeat for reply in replies)
    judge = ReplayJudge(replies)
    judgments = judge_answered(answers.samples, answers.responses, judge, replace(bench, repeats=repeats))
    if all(one.score is None for one in judgments):
        files = ", ".join(map(str, paths))
        raise UserError(f"{files}: none of {len(replies)} judgments can be read; name judgments of {name}")
    names = sorted({reply.judge for reply in replies if reply.judge})
    same_ids = _by_answer_id(upstream, answers.path, replies)
    verified, comparable = judge.verified + sum(same_ids), judge.comparable + len(same_ids)
    return Replayed(judgments, ", ".join(names), repeats, verified, comparable)


def _require_judged(path: Path, replies: Sequence[StoredReply], responses: Sequence[Response]) -> None:
    """Raise UserError for judgments most of which are of other questions than those that are answered."""
    judged = {reply.sample for reply in replies}
    known = judged & {response.id for response in responses}
    if 2 * len(known) < max(len(judged), 1):
        raise UserError(
            f"{path}: {len(known)} of {len(judged)} judged questions are those of the answers; name the judgments that "
            "belong to them"
        )


def _by_answer_id(upstream: Upstream, path: Path, replies: Sequence[StoredReply]) -> list[bool]:
    """Return for each reply that is stored without its request, but with an answer's id, whether that is its answer."""
    told = [reply for reply in replies if reply.answer_id and reply.request is None and not reply.contains]
    if not told or upstream.answer_ids is None:
        return []
    ids = upstream.answer_ids(path)
    return [ids.get(reply.sample) == reply.answer_id for reply in told]


def answered_part(samples: SampleSet, responses: Sequence[Response]) -> SampleSet:
    """Return the samples of a set that have an answer."""
    known = {response.id for response in responses}
    answered = [prompt for prompt in samples.prompts if prompt.id in known]
    return replace(samples, prompts=answered, asked=answered)


def judge_answered(
    samples: SampleSet, responses: Sequence[Response], judge: Judge, bench: BenchConfig
) -> list[Judgment]:
    """Score those samples of a set that have an answer; the items of the others are unscored.

    Args:
        samples: All samples.
        responses: The answers to some of them, in the samples' order.
        judge: The source of ratings and replies.
        bench: The settings of the judging.
    """
    part = answered_part(samples, responses)
    known = {response.id for response in responses}
    missing = [prompt for prompt in samples.prompts if prompt.id not in known]
    judgments = judge_items(part, responses, judge, bench)
    if not missing:
        return judgments
    task = samples.task
    if task.one_item_per_cluster:
        clusters = {task.cluster_of(prompt): prompt for prompt in missing}
        whole = [_unscored(one) if one.cluster in clusters else one for one in judgments]
        lost = clusters.keys() - {one.cluster for one in judgments}
        return [*whole, *(_without_answer(task, clusters[name]) for name in sorted(lost))]
    parts = dict.fromkeys("" if one.id in known else one.id.rpartition("/")[2] for one in judgments)
    return [*judgments, *(_without_answer(task, prompt, part) for prompt in missing for part in parts)]


def score_items(
    samples: SampleSet, judgments: Sequence[Judgment], bench: BenchConfig, judge: str, label: Mapping[str, Any]
) -> TaskScores:
    """Compute the scores of judged items, honest ones and those that upstream's script prints of the answered items.

    Args:
        samples: All samples.
        judgments: One per item.
        bench: The settings of the bootstrap.
        judge: The name of the judge; empty for a task without one.
        label: What else is known of the judging.
    """
    name, task = samples.name, samples.task
    answered = [one for one in judgments if one.reason != NOT_ANSWERED]
    printed = task.upstream.scores(answered) if task.upstream else {}
    return TaskScores(judgments, _named(name, summarize(task, judgments, bench)), _named(name, printed), judge, label)


def _named(name: str, values: Mapping[str, Any]) -> dict[str, Any]:
    return {f"{name}/{part}".rstrip("/"): value for part, value in values.items()}


def _upstream(name: str, task: Task) -> Upstream:
    if task.upstream is None:
        raise UserError(f"{name}: no other program has this task, so that nothing of it can be imported")
    return task.upstream


def _files_are_missing(task: Task, bench: BenchConfig) -> bool:
    needed = [file for file in task.bench_files if file.required and file.used(bench)]
    return any(find_file(bench, file) is None for file in needed)


def _samples_of(name: str, task: Task, path: Path) -> SampleSet:
    """Return the samples that a file of answers holds."""
    make = task.upstream.samples_of_answers if task.upstream else None
    prompts = make(path) if make else []
    return SampleSet(name, task, prompts, prompts, path.parent)


def _counts(rows: Sequence[Row], prompts: Sequence[Prompt], answered: int) -> Counts:
    ids = [id_text(first_of(row, ID_COLUMNS)) or f"row {number}" for number, row in enumerate(rows)]
    distinct = len(set(ids))
    held = {key for key, row in zip(ids, rows, strict=True) if not any(map(is_failure, row.values()))}
    failed = distinct - len(held)
    known = {line for prompt in prompts for line in _lines(_all_text(prompt))}
    asked = [_lines(str(question)) for row in rows if (question := first_of(row, QUESTION_COLUMNS))]
    changed = sum(bool(lines) and lines[0] not in known for lines in asked)
    return Counts(
        questions=len(prompts),
        answered=answered,
        repeated=len(rows) - distinct,
        failed=failed,
        unknown=max(0, len(held) - answered - changed),
        changed=changed,
    )


def _all_text(prompt: Prompt) -> str:
    return "\n".join([*(turn.question for turn in prompt.history), prompt.question])


def _lines(text: str) -> list[str]:
    """Return the lines of a question, without the mark of an image; one edition of POPE writes `imange`."""
    lines: Iterable[str] = text.replace(IMAGE_MARK, "").replace("imange", "image").split("\n")
    return [words for line in lines if (words := " ".join(line.split()))]


def _unscored(judgment: Judgment) -> Judgment:
    return replace(judgment, score=None, parts={}, upstream={}, reason=NOT_ANSWERED)


def _without_answer(task: Task, prompt: Prompt, part: str = "") -> Judgment:
    return Judgment(
        id=f"{prompt.id}/{part}" if part else prompt.id,
        score=None,
        parts={},
        words=0,
        groups={"category": prompt.category} if prompt.category and "category" in task.groups else {},
        cluster=task.cluster_of(prompt),
        reason=NOT_ANSWERED,
    )
