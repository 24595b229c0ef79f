"""The rows of a study's data frames; `mmdpo.analysis.load_study` describes them."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

from mmdpo.analysis.comparable import comparable_parts
from mmdpo.analysis.gains import study_gains
from mmdpo.analysis.groups import groups, references
from mmdpo.analysis.items import read_items
from mmdpo.analysis.label_lines import judge_names, label_of_row
from mmdpo.analysis.study import POINT_AXES, Row, Study, finite_number, read_metrics

Record = dict[str, Any]

POINTS = (
    *("study", "point", "role", "state", *POINT_AXES),
    *("steps", "examples", "epochs", "seconds", "judge", "started", "finished", "host", "git", "error"),
)
RESULTS = (
    *("study", "part", "result", "role", *(axis for axis in POINT_AXES if axis != "seed"), "benchmark"),
    *("value", "low", "high", "n", "unscored", "seeds"),
    *("gain", "gain_low", "gain_high", "p", "p_corrected", "verdict", "judge", "split"),
)
SCORES = ("study", "point", "role", "benchmark", "part", "value", "low", "high", "n", "unscored")
ITEMS = ("study", "point", "benchmark", "id", "category", "question", "answer", "score", "words", "cluster", "reason")
METRICS = ("study", "point", "step", "metric", "value")
"""The first columns of the frames; settings, versions and parts follow by their names."""

COUNTS = ("data_limit", "seed", "steps", "examples", "n", "unscored", "seeds", "step")
"""The columns of integers."""


def point_records(study: Study) -> Iterator[Record]:
    """Yield a record per point: its axes, the settings in which points differ, and what it was made with."""
    for row in study.rows:
        status, result = row.status, row.result
        yield {
            **{"study": study.name, "point": row.point, "role": str(row.role), "state": str(row.state)},
            **{axis: row.axes.get(axis) for axis in POINT_AXES},
            **{"steps": row.steps, "examples": row.examples, "epochs": row.epochs, "seconds": row.seconds},
            **{"judge": _judge(row, *study.benchmarks), "error": row.error, "git": result.get("git")},
            **{key: status.get(key) for key in ("started", "finished", "host")},
            **row.settings,
            **{f"versions.{name}": text for name, text in sorted(_mapping(result.get("versions")).items())},
        }


def result_records(study: Study) -> Iterator[Record]:
    """Yield a record per result and benchmark: points that differ only in their seed are one result."""
    gains = study_gains(study)
    parts = {row.point: part.heading for part in comparable_parts(study) for row in part.study.rows}
    for group in [*references(study), *groups(study)]:
        for benchmark in study.benchmarks:
            if (score := group.score(benchmark)) is None:
                continue
            first = group.scored(benchmark)[0]
            record = {
                **{"study": study.name, "part": parts[first.point], "result": group.label, "role": str(group.role)},
                **{axis: group.value(axis) for axis in POINT_AXES if axis != "seed"},
                **{"benchmark": benchmark, "value": score.value, "low": score.low, "high": score.high},
                **{"n": score.n, "unscored": score.unscored, "seeds": len(group.scored(benchmark))},
                **{"judge": _judge(first, benchmark), "split": label_of_row(first, benchmark).get("split")},
                **first.settings,
            }
            if gain := gains.of(group, benchmark):
                one, verdict = gain.estimate, gain.verdict
                record |= {"gain": one.value, "gain_low": one.low, "gain_high": one.high, "p": one.p}
                record |= {"p_corrected": gain.p_corrected, "verdict": None if verdict is None else str(verdict)}
            yield record


def score_records(study: Study) -> Iterator[Record]:
    """Yield a record per score of each point; that of the whole benchmark has an empty part."""
    for row in study.rows:
        for key, score in row.scores.items():
            benchmark, _, part = key.partition("/")
            yield {
                **{"study": study.name, "point": row.point, "role": str(row.role), "benchmark": benchmark},
                **{"part": part, "value": score.value, "low": score.low, "high": score.high},
                **{"n": score.n, "unscored": score.unscored},
            }


def item_records(study: Study) -> Iterator[Record]:
    """Yield a record per answer of each point; an unscored one has no score, and the reason."""
    for row in study.rows:
        for benchmark, items in read_items(row.folder).items():
            for item in items.values():
                yield {
                    **{"study": study.name, "point": row.point, "benchmark": benchmark, "id": item["id"]},
                    **{key: item.get(key) for key in ("category", "question", "answer", "cluster", "reason")},
                    **{key: finite_number(item.get(key)) for key in ("score", "words")},
                    **{f"parts.{name}": finite_number(value) for name, value in item["parts"].items()},
                    **{f"groups.{name}": _text(value) for name, value in _mapping(item.get("groups")).items() if name},
                }


def metric_records(study: Study) -> Iterator[Record]:
    """Yield a record per logged value of each point's training."""
    for row in study.rows:
        for line in read_metrics(row.folder):
            for name, value in line.items():
                if name != "step" and not math.isnan(number := finite_number(value)):
                    yield {
                        "study": study.name,
                        "point": row.point,
                        "step": line["step"],
                        "metric": name,
                        "value": number,
                    }


def _judge(row: Row, *benchmarks: str) -> str | None:
    """Return the judges of a point's scores, by the names that the servers report where they do."""
    labels = [label for name in benchmarks if (label := label_of_row(row, name))]
    names = dict.fromkeys(name for label in labels for name in judge_names([label]) if name)
    return ", ".join(names) or None


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _text(value: Any) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)
