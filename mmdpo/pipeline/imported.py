"""Judging of imported answers with today's judge: `stage=judge` on a study that holds imported rows.

Answers without judgments get them in their own row. Answers that another judge has judged get a second row, so that a
published model stands in the table twice.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from mmdpo.config.choices import NoiseImage, Split
from mmdpo.config.schema import BenchConfig, Config
from mmdpo.console import print_line
from mmdpo.errors import Outstanding, Stopped, UserError
from mmdpo.evaluation.imported_rows import (
    ImportedRow,
    answered_tasks,
    imported_rows,
    label_of,
    origin_of,
    read_imported_answers,
    write_row,
)
from mmdpo.evaluation.importing import judge_answered, score_items
from mmdpo.evaluation.judgments import bench_judge
from mmdpo.evaluation.samples import SampleSet, sample_sets
from mmdpo.evaluation.score_labels import judge_label, label_of_set
from mmdpo.evaluation.service_judge import served_by
from mmdpo.evaluation.task import JudgeUse, Response, load_task
from mmdpo.files import fingerprint
from mmdpo.points.identity import of_bench_judge

KINDS = {"split": Split, "noise": NoiseImage}
JUDGING = ("repeats", "both_orders", "references")
"""Settings of `bench` that only some tasks read, and that judgments depend on."""


@dataclass(frozen=True)
class ImportedAnswersOfTask:
    """Imported answers to one task.

    Attributes:
        source: The row that holds them.
        target: The row that today's judgments belong to: the same, or a second one.
        task: The task's name.
        key: A fingerprint of today's judge and its settings.
        done: Whether today's judge has judged these answers already.
    """

    source: ImportedRow
    target: ImportedRow
    task: str
    key: str
    done: bool


def imported_answers(config: Config) -> list[ImportedAnswersOfTask]:
    """Return the imported answers of a config's study to those of its tasks that need a judge."""
    rows = [row for row in imported_rows(Path(config.out, config.study)) if not row.of]
    judged = [name for name in config.bench.tasks if load_task(name).judge_use is not JudgeUse.no]
    return [_answers_of(row, name, config.bench) for row in rows for name in judged if name in answered_tasks(row)]


def describe_imported(configs: Sequence[Config]) -> list[str]:
    """Return a line for imported answers of a study, with what `stage=judge` would do."""
    lines = []
    for config in configs:
        for one in imported_answers(config):
            what = "done, would be skipped" if one.done else f"would judge as {one.target.name!r}"
            lines.append(f"{one.source.folder}: {one.task}: {what}")
    return list(dict.fromkeys(lines))


def imported_to_judge(configs: Sequence[Config]) -> list[tuple[Config, ImportedAnswersOfTask]]:
    """Return the imported answers that `judge_imported` would judge, each once, with the config of its command."""
    found = {(one.target.folder, one.task): (config, one) for config in configs for one in imported_answers(config)}
    return [pair for pair in found.values() if not pair[1].done or _asks_again(pair[0])]


def judge_imported(configs: Sequence[Config]) -> None:
    """Judge the imported answers of the configs' studies that today's judge has not judged yet.

    Raises:
        UserError: Some answers could not be judged; the others are.
        Stopped: A limit of the judge ended the run.
    """
    failed, waiting = [], []
    for config, one in imported_to_judge(configs):
        judge = replace(config.bench.judge, retry_unscored=_asks_again(config))
        try:
            _judge(one, replace(config.bench, judge=judge))
        except Outstanding as stop:  # the jobs of the other answers are submitted meanwhile
            waiting.append(f"{one.source.name}: {stop}")
        except Stopped:
            raise
        except UserError as error:
            failed.append(f"{one.source.name}: {error}")
    if waiting:
        raise Outstanding("\n".join(dict.fromkeys([*waiting, *failed])))
    if failed:
        raise UserError("\n".join(dict.fromkeys(failed)))


def _asks_again(config: Config) -> bool:
    return config.judge.retry_unscored or config.bench.judge.retry_unscored


def _answers_of(row: ImportedRow, name: str, bench: BenchConfig) -> ImportedAnswersOfTask:
    today = judge_label(bench.judge)
    read = load_task(name).reads
    settings = {key: getattr(bench, key) for key in JUDGING if key in read}
    key = fingerprint([of_bench_judge(bench), settings])
    before = label_of(row, name)
    if not before or before.get("key") == key:
        return ImportedAnswersOfTask(row, row, name, key, bool(before))
    target = ImportedRow(row.study, f"{row.name} · {today}", key, row.folder.name)
    same_answers = origin_of(target, name).get("content") == origin_of(row, name).get("content")
    return ImportedAnswersOfTask(row, target, name, key, same_answers and bool(label_of(target, name)))


def read_answers_of(
    one: ImportedAnswersOfTask, bench: BenchConfig
) -> tuple[SampleSet, Sequence[Response], BenchConfig]:
    """Return all samples of imported answers, the answers, and the settings with which they are judged now.

    Raises:
        UserError: The questions, or the answers, are not those of the import.
    """
    responses = read_imported_answers(one.source, one.task)
    samples, bench = _samples(one, origin_of(one.source, one.task), bench)
    _require_same_questions(one, samples, responses)
    return samples, responses, bench


def _judge(one: ImportedAnswersOfTask, bench: BenchConfig) -> None:
    samples, responses, bench = read_answers_of(one, bench)
    origin = origin_of(one.source, one.task)
    judge = bench_judge(bench.judge)
    judgments = judge_answered(samples, responses, judge, bench)
    if all(judgment.score is None for judgment in judgments):
        reasons = ", ".join(sorted({judgment.reason for judgment in judgments if judgment.reason})) or "no reason given"
        raise UserError(
            f"{one.task}: none of {len(judgments)} items is scored ({reasons}); choose another bench.judge="
        )
    label = {**label_of_set(samples, responses, bench, served_by(judge).get(one.task, ())), "engine": None}
    label |= {"key": one.key, **{name: origin.get(name) for name in ("answers", "model", "counts")}}
    scores = score_items(samples, judgments, bench, judge_label(bench.judge), label)
    note = {name: value for name, value in origin.items() if name not in ("task", "content", "settings")}
    write_row(one.target, one.task, responses, note, bench, scores)
    print_line(f"{one.target.name}: {one.task} is judged by {scores.judge}")


def _samples(one: ImportedAnswersOfTask, origin: dict[str, Any], bench: BenchConfig) -> tuple[SampleSet, BenchConfig]:
    """Return the samples that were imported, and the settings with which they are judged now."""
    noted = origin.get("settings")
    settings: dict[str, Any] = {
        name: KINDS[name](value) if name in KINDS else value for name, value in (noted or {}).items()
    }
    bench = replace(bench, tasks=[one.task], **settings)
    return sample_sets(bench, {}, "")[0], bench


def _require_same_questions(one: ImportedAnswersOfTask, samples: SampleSet, responses: Sequence[Response]) -> None:
    questions = {prompt.id: prompt.question for prompt in samples.prompts}
    changed = [response.id for response in responses if questions.get(response.id) != response.question]
    if changed:
        raise UserError(
            f"{one.task}: {len(changed)} imported answers, such as that to {changed[0]}, belong to other questions "
            "than those of the files now; type bench.root=FOLDER with the edition of the import, or import them again"
        )
