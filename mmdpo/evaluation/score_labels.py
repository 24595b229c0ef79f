"""Labels of scores: what a score of a task depends on and must be equal for scores to be compared."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from enum import Enum
from typing import Any

from mmdpo.config.choices import RUBRICS, RULES
from mmdpo.config.schema import BenchConfig, JudgeConfig
from mmdpo.evaluation.bench_files import edition_of, find_file
from mmdpo.evaluation.samples import KEYS, SampleSet
from mmdpo.evaluation.task import JudgeUse, Response, Task
from mmdpo.records import CUT


def judge_label(judge: JudgeConfig) -> str:
    """Return the name of a judge for tables: that of the rules, or of the service's model."""
    return judge.model or judge.client


def label_of_set(
    one: SampleSet, responses: Sequence[Response], bench: BenchConfig, served: Collection[str] = ()
) -> dict[str, Any]:
    """Return the label of a task's scores, as JSON-able data.

    Args:
        one: The sample set that was judged.
        responses: The responses to it.
        bench: The settings of answers and judging.
        served: The names of the models that judged, as the service reports them.

    Returns:
        judge, served, rubric, edition by file, engine, split, subset, cut, and the settings that only some tasks read,
        such as references and repeats.
    """
    task = one.task
    judged = task.judge_use is not JudgeUse.no
    some = {name: getattr(bench, name) for name in task.reads if name not in KEYS}
    return {
        "judge": judge_label(bench.judge) if judged else None,
        "served": sorted(served),
        "rubric": _rubric(task, bench),
        "edition": editions(task, bench),
        "engine": bench.engine.value,
        "split": bench.split.value,
        "subset": bench.subset,
        **{name: value.value if isinstance(value, Enum) else value for name, value in some.items()},
        "cut": sum(response.finish_reason == CUT for response in responses),
    }


def editions(task: Task, bench: BenchConfig) -> dict[str, str]:
    """Return the edition of each of the task's files that has known editions, by the file's key."""
    found = {}
    for file in task.bench_files:
        if (file.editions or file.recognize) and file.used(bench):
            path = find_file(bench, file)
            if path is not None and path.is_file():
                found[file.key] = edition_of(path, file)
    return found


def _rubric(task: Task, bench: BenchConfig) -> str | None:
    """Name what the judge is asked: a rubric with its fingerprint, or whose prompt it is."""
    if task.judge_use is JudgeUse.asked:
        return task.rubric(bench) if task.rubric else None
    if task.judge_use is JudgeUse.rated and bench.judge.client not in RULES.names():
        return f"{bench.judge.rubric} {RUBRICS.fingerprint(bench.judge.rubric)[:8]}"
    return None
