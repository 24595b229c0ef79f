"""Labels of the scores of a study, as lines below its table; and the scores that cannot be compared."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from enum import Enum
from functools import cache
from typing import Any

from mmdpo.analysis.study import Row, Study
from mmdpo.config.schema import BenchConfig
from mmdpo.evaluation.task import JudgeUse, find_task
from mmdpo.points.commands import launches
from mmdpo.points.identity import Role
from mmdpo.points.point_files import mapping_or_none

COMPARED = {
    "judge": "judges",
    "rubric": "judge prompts",
    "edition": "editions",
    "references": "references",
    "split": "splits",
    "engine": "engines",
    "items": "items",
    "seed": "bench.seed",
    "max_new_tokens": "bench.max_new_tokens",
    "repeats": "bench.repeats",
    "both_orders": "bench.both_orders",
    "noise": "bench.noise",
    "noise_per_turn": "bench.noise_per_turn",
    "judge_temperature": "bench.judge.temperature",
}
"""What must be equal for scores of a task to be compared: parts of their labels, and settings of `bench`."""

MILD = ("engine",)
"""Kinds whose mixture changes scores a little."""

SETTINGS_OF_ALL = ("split", "subset", "seed", "max_new_tokens")
"""Settings of `bench` that count for every task; the others count for the tasks that read them."""

COMPETING = (Role.base, Role.trained)
"""Roles of the points of which one is marked as the best."""

SEARCH, OWN_SWEEPERS = "hydra/sweeper=", ("mmdpo", "basic")
OWN_TARGETS = ("hydra_plugins.mmdpo.sweeper.", "hydra._internal.")
SPLITS = ("dev", "test", "all")


def label_lines(study: Study) -> list[str]:
    """Return a line for the tasks that share a label: judge as the server names it, editions, split, engine."""
    tasks: dict[str, list[str]] = {}
    for task in study.benchmarks:
        labels = [label for row in study.rows if (label := label_of_row(row, task)).get("engine")]
        if found := list(dict.fromkeys(map(_text, labels))):
            tasks.setdefault(" | ".join(found), []).append(task)
    lines = [f"{', '.join(names)}: {text}" for text, names in tasks.items()]
    return [*lines, *_cut_lines(study), *selected_lines(study)]


def _cut_lines(study: Study) -> list[str]:
    """Count the answers that the limit of tokens cut, by task."""
    counts = {task: sum(_cut(label_of_row(row, task)) for row in study.rows) for task in study.benchmarks}
    parts = [f"{task} {count}" for task, count in counts.items() if count]
    return [f"answers of all points that bench.max_new_tokens cut: {', '.join(parts)}"] if parts else []


def _cut(label: Mapping[str, Any]) -> int:
    return cut if isinstance(cut := label.get("cut"), int) else 0


def mixed_lines(study: Study) -> list[str]:
    """Return a line for each task whose scores differ in what changes them a little, such as the engine."""
    lines = []
    for task in study.benchmarks:
        for kind in MILD:
            if len(counts := label_counts(study.rows, task, kind)) > 1:
                parts = ", ".join(f"{value}: {count} point{'s'[: count > 1]}" for value, count in counts.items())
                lines.append(f"mixed {COMPARED[kind]} in {task} ({parts}): scores may differ a little by it")
    return lines


def is_mixed(study: Study, task: str) -> bool:
    """Return whether the scores of a task among which the best is marked cannot be compared."""
    rows = [row for row in study.rows if row.role in COMPETING]
    return bool(differing_kinds(rows, task))


def label_of_row(row: Row, task: str) -> Mapping[str, Any]:
    """Return the label of a row's score of a task; of results of earlier versions, the judge alone."""
    return result_label(row.result, task) if task in row.scores else {}


def result_label(result: Mapping[str, Any], task: str) -> Mapping[str, Any]:
    """Return the label of a task in a result.json, as `label_of_row` does."""
    labels = result.get("labels")
    label = labels.get(task) if isinstance(labels, dict) else None
    if isinstance(label, dict):
        return label
    known = find_task(task)
    unjudged = known is not None and known.judge_use is JudgeUse.no
    return {} if unjudged or not result.get("judge") else {"judge": str(result["judge"])}


def judge_names(labels: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return the names of the judges of labels: as the servers report them if all do, else as they were asked.

    A name is empty where no judge is known.
    """
    served = [_served(label) for label in labels]
    return served if all(served) else [str(label.get("judge") or "") for label in labels]


def selected_lines(study: Study) -> list[str]:
    """Return a line if a search chose points by a score that the table shows."""
    commands = [words for words in map(str.split, launches(study.folder)) if _is_search(words)]
    searches = commands or ([[]] if _swept_by_search(study) else [])
    lines = {}
    for words in searches:
        typed = next((word.partition("=")[2] for word in words if word.startswith("objective=")), "")
        chosen = next((str(row.config["objective"]) for row in study.trained if row.config.get("objective")), "")
        default = "text" if "text" in study.benchmarks else next(iter(study.benchmarks), "")
        for task in dict.fromkeys(one.partition("/")[0] for one in (typed or chosen or default).split(",")):
            splits = {str(label_of_row(row, task).get("split")) for row in study.rows} & {*SPLITS}
            if task in study.benchmarks and splits:
                lines[task] = (
                    f"{task}: points were also selected on it by a search, on bench.split={min(splits)}{_UNSEEN}"
                )
    return list(lines.values())


_UNSEEN = "; to report the chosen point, measure it on items that the search has not seen"


def is_searched(study: Study) -> bool:
    """Return whether a search chose points of a study."""
    return any(map(_is_search, map(str.split, launches(study.folder)))) or _swept_by_search(study)


def _is_search(words: Sequence[str]) -> bool:
    sweepers = [word.removeprefix(SEARCH) for word in words if word.startswith(SEARCH)]
    prunes = any(word.startswith("search=") and word != "search=none" for word in words)
    return prunes or any(sweeper not in OWN_SWEEPERS for sweeper in sweepers)


def _swept_by_search(study: Study) -> bool:
    """Return whether the study's last sweep was one of a searching sweeper, which a file of sweeps may choose."""
    sweep = mapping_or_none(study.folder / "multirun.yaml") or {}
    hydra = sweep.get("hydra")
    sweeper = hydra.get("sweeper") if isinstance(hydra, dict) else None
    target = str(sweeper.get("_target_", "")) if isinstance(sweeper, dict) else ""
    return bool(target) and not target.startswith(OWN_TARGETS)


def label_counts(rows: Sequence[Row], task: str, kind: str) -> Counter[str]:
    """Count the rows of each value of a kind of `COMPARED` in their labels of a task; rows that have none are left out.

    Args:
        rows: The rows.
        task: The task.
        kind: The kind.
    """
    return _counts(_labels(rows, task), kind)


def differing_kinds(rows: Sequence[Row], task: str) -> list[str]:
    """Return the kinds of `COMPARED` of which rows have several values in their labels of a task."""
    labels = _labels(rows, task)
    return [kind for kind in COMPARED if len(_counts(labels, kind)) > 1]


def _labels(rows: Sequence[Row], task: str) -> list[Mapping[str, Any]]:
    return [label for row in rows if (label := _label_with_settings(row, task))]


def _counts(labels: Sequence[Mapping[str, Any]], kind: str) -> Counter[str]:
    values = judge_names(labels) if kind == "judge" else [_value(label, kind) for label in labels]
    return Counter(value for value in values if value)


def label_signature(row: Row) -> str:
    """Return a text that is equal for points whose labels are equal for all their tasks."""
    labels = {task: _label_with_settings(row, task) for task in row.scores if "/" not in task}
    return json.dumps(
        {
            task: [label.get("judge"), _served(label), *(_value(label, kind) for kind in COMPARED)]
            for task, label in labels.items()
        },
        sort_keys=True,
        default=str,
    )


def label_texts(row: Row, task: str) -> dict[str, str]:
    """Return the kinds of `COMPARED` that are known of a row's score of a task, as text."""
    label = _label_with_settings(row, task)
    values = {kind: judge_names([label])[0] if kind == "judge" else _value(label, kind) for kind in COMPARED}
    return {kind: value for kind, value in values.items() if value} if label else {}


def _label_with_settings(row: Row, task: str) -> Mapping[str, Any]:
    """Return the label of a row's score of a task, with the settings of `bench` that change what is measured.

    Imported rows were not answered by the settings in their configuration.
    """
    label, known, bench = label_of_row(row, task), find_task(task), row.group("bench")
    if task not in row.scores or row.role == Role.imported:
        return label
    names = [*SETTINGS_OF_ALL, *(known.reads if known else ())]
    settings = {name: bench[name] if name in bench else _default(name) for name in names} if bench else {}
    judge = bench.get("judge")
    if known and known.judge_use is not JudgeUse.no and isinstance(judge, dict):
        settings["judge_temperature"] = judge.get("temperature")
    return {**settings, **label}


def _value(label: Mapping[str, Any], kind: str) -> str:
    if kind == "edition":
        return _edition(label)
    if kind == "split":
        share = label.get("subset", 1)
        return " ".join(filter(None, [str(label.get("split") or ""), "" if share == 1 else f"share {share}"]))
    value = label.get(kind)
    return "" if value is None else str(value)


@cache
def _default(name: str) -> Any:
    """Return the default of a setting of `bench`: earlier versions had fewer settings."""
    value = getattr(BenchConfig(name="", tasks=[]), name)
    return value.value if isinstance(value, Enum) else value


def _served(label: Mapping[str, Any]) -> str:
    served = label.get("served")
    return ", ".join(map(str, served)) if isinstance(served, list) else ""


def _edition(label: Mapping[str, Any]) -> str:
    found = label.get("edition")
    return ", ".join(map(str, dict.fromkeys(found.values()))) if isinstance(found, dict) else ""


def _text(label: Mapping[str, Any]) -> str:
    return ", ".join(_parts(label))


def _parts(label: Mapping[str, Any]) -> Iterator[str]:
    judge = _served(label) or label.get("judge")
    yield f"judge {judge}" if judge else "no judge"
    for kind in ("rubric", "edition", "references", "split", "engine"):
        if value := _value(label, kind):
            yield {"edition": value, "rubric": f"prompt {value}"}.get(kind, f"{kind} {value}")
    for name in ("repeats", "both_orders"):
        if label.get(name) not in (None, 1, False):
            yield f"{name} {label[name]}"
