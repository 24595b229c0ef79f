"""The audit of a study's benchmark judgments: distributions, repeats, two judges, order and length."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from mmdpo.analysis.audit.agreement import agreement
from mmdpo.analysis.audit.annotations import LENGTHS, agreement_cells
from mmdpo.analysis.audit.estimates import Finding, corrected, estimate_of
from mmdpo.analysis.audit.length import length_bias
from mmdpo.analysis.audit.tables import SHARE, Audit, AuditTable
from mmdpo.analysis.comparable import comparable_parts
from mmdpo.analysis.imported import judge_offsets, rejudged
from mmdpo.analysis.labels import row_label
from mmdpo.analysis.measured import judged_items
from mmdpo.analysis.study import Row, Study
from mmdpo.evaluation.task import JudgeUse, Task, find_task

_FIRST, _SECOND = "first", "second"
"""Places at which a pairwise judge is shown the model's answer, in `Upstream.readings`."""
NEAR = 0.1
"""The share of a benchmark's scale within which two judgments are near."""
PLACES = ("the first place is favoured", "the second place is favoured")
"""Findings in words."""


@dataclass(frozen=True)
class Judged:
    """The judged items of a benchmark over points that can be compared.

    Attributes:
        name: The benchmark.
        heading: The labels by which these points differ from others of the study.
        task: The task; None for one that this version does not have.
        points: The points with such items.
        items: The items of each of them.
        missing: The number of points that have a score and no judgments.
    """

    name: str
    heading: str
    task: Task | None
    points: tuple[Row, ...]
    items: tuple[Mapping[str, Mapping[str, Any]], ...]
    missing: int = 0

    @property
    def title(self) -> str:
        """The name for tables."""
        return f"{self.name} ({self.heading})" if self.heading else self.name

    @property
    def scale(self) -> tuple[float, float] | None:
        """The scale of an item's score; None if it is unknown."""
        return self.task.scale if self.task and self.task.main.columns == ("score",) else None

    @property
    def is_judged(self) -> bool:
        """True unless fixed rules score the answers."""
        return self.task is None or self.task.judge_use is not JudgeUse.no

    def scored(self) -> Iterator[tuple[Row, str, Mapping[str, Any]]]:
        """Iterate over the items that have a score, with their point and id."""
        for row, items in zip(self.points, self.items, strict=True):
            for name, item in items.items():
                if _number(item.get("score")) is not None:
                    yield row, name, item


def judged_benchmarks(study: Study) -> list[Judged]:
    """Return the judged items of each benchmark of a study, apart for points that cannot be compared."""
    found = []
    for part in comparable_parts(study):
        for name in part.study.benchmarks:
            rows = [row for row in part.study.rows if name in row.scores]
            items = [judged_items(row.folder, name) for row in rows]
            both = [(row, one) for row, one in zip(rows, items, strict=True) if one]
            points, kept = tuple(row for row, _ in both), tuple(one for _, one in both)
            found.append(Judged(name, part.heading, find_task(name), points, kept, len(rows) - len(both)))
    return found


def audit_study(study: Study) -> Audit:
    """Audit the benchmark judgments of a study."""
    benchmarks = judged_benchmarks(study)
    order, orders = _order(benchmarks, study.confidence)
    length, lengths = _length(benchmarks, study.confidence)
    tables = [_benchmarks(benchmarks), orders, _repeats(benchmarks, study.confidence), _judges(study), lengths]
    tables.append(_points(benchmarks, study))
    return Audit(
        f"the judgments of {study.name}",
        study.confidence,
        tuple(one for one in tables if one.rows),
        tuple(corrected([*order, *length])),
        tuple(_lines(benchmarks, tables[2])),
    )


def _benchmarks(benchmarks: Sequence[Judged]) -> AuditTable:
    rows = [
        {"benchmark": one.title, "points": len(one.points), **_distribution(one, [*one.items])}
        for one in benchmarks
        if one.points
    ]
    note = "Judgments of all points. Many scores at an end of the scale leave no room to tell points apart."
    return AuditTable("benchmarks", "Scores of single items", tuple(rows), _FORMATS, note)


def _points(benchmarks: Sequence[Judged], study: Study) -> AuditTable:
    rows = [
        {"benchmark": one.title, "point": row_label(row, study.varying), **_distribution(one, [items])}
        for one in benchmarks
        for row, items in zip(one.points, one.items, strict=True)
    ]
    return AuditTable("points", "Scores of single items, by point", tuple(rows), _FORMATS, printed=False)


_FORMATS = {"lowest": SHARE, "highest": SHARE, "words": ".0f"}


def _distribution(one: Judged, points: Sequence[Mapping[str, Mapping[str, Any]]]) -> dict[str, Any]:
    items = [item for point in points for item in point.values()]
    scores = [score for item in items if (score := _number(item.get("score"))) is not None]
    words = [count for item in items if (count := _number(item.get("words"))) is not None]
    mean = sum(scores) / len(scores) if scores else math.nan
    spread = math.sqrt(sum((score - mean) ** 2 for score in scores) / (len(scores) - 1)) if len(scores) > 1 else None
    ends = dict(zip(("lowest", "highest"), one.scale or (None, None), strict=True))
    shares = {
        name: None if end is None or not scores else sum(math.isclose(score, end) for score in scores) / len(scores)
        for name, end in ends.items()
    }
    return {
        "n": len(scores),
        "unscored": len(items) - len(scores),
        "mean": mean,
        "sd": spread,
        **shares,
        "words": sum(words) / len(words) if words else None,
    }


def _repeats(benchmarks: Sequence[Judged], confidence: float) -> AuditTable:
    """Compare the repeated judgments of each answer."""
    rows = []
    for one in benchmarks:
        readings, clusters = _readings(one)
        for place in sorted({place for found in readings for place in found}):
            repeated = [found.get(place, []) for found in readings]
            most = max(map(len, repeated), default=0)
            if most < 2:
                continue
            raters = [
                [values[number] if number < len(values) else math.nan for values in repeated] for number in range(most)
            ]
            low, high = one.scale or _ends(repeated)
            if found := agreement(raters, clusters, confidence, NEAR * (high - low)):
                title = f"{one.title}, answer {place}" if place else one.title
                cells = agreement_cells(found, "near")
                cells.pop("second − first", None)
                rows.append({"benchmark": title, "repeats": most, **cells})
    note = (
        "Repeated judgments of the same answers (bench.repeats). Near: at most a tenth of the scale apart. "
        "alpha is Krippendorff's for interval data."
    )
    return AuditTable("repeats", "Agreement of repeated judgments", tuple(rows), {"equal": SHARE, "near": SHARE}, note)


def _ends(values: Sequence[Sequence[float]]) -> tuple[float, float]:
    flat = [value for one in values for value in one]
    return min(flat), max(flat)


def _readings(one: Judged) -> tuple[list[Mapping[str, list[float]]], list[str]]:
    """Return the values of single replies to each item, by place of presentation, and the items' clusters."""
    read = one.task.upstream.readings if one.task and one.task.upstream else None
    found, clusters = [], []
    for _, name, item in one.scored() if read else ():
        upstream = item.get("upstream")
        cells = upstream if isinstance(upstream, dict) else {}
        values = {str(key): value for key, cell in cells.items() if (value := _number(cell)) is not None}
        assert read is not None
        found.append(read(values))
        clusters.append(str(item.get("cluster") or name))
    return found, clusters


def _order(benchmarks: Sequence[Judged], confidence: float) -> tuple[list[Finding], AuditTable]:
    """Compare the two orders in which a pairwise judge was shown the same answers."""
    findings, rows = [], []
    for one in benchmarks:
        gaps, clusters = [], []
        for found, cluster in zip(*_readings(one), strict=True):
            if found.get(_FIRST) and found.get(_SECOND):
                gaps.append(_mean(found[_FIRST]) - _mean(found[_SECOND]))
                clusters.append(cluster)
        size = estimate_of([[100 * gap for gap in gaps]], clusters, confidence)
        if size is None:
            continue
        changed = estimate_of([[float(abs(gap) > 1e-9) for gap in gaps]], clusters, confidence, limits=(0, 1))
        rows.append(
            {"benchmark": one.title, "n": len(gaps), "first − second": size, "verdict changes with the order": changed}
        )
        unit = "points of the win rate, the model's answer shown first minus second"
        findings.append(Finding(f"{one.title}, both orders", size, size.p, unit, *PLACES))
    formats = {"first − second": "+.1f", "verdict changes with the order": SHARE}
    note = "First − second: the win rate with the model's answer shown first, minus that with it shown second."
    return findings, AuditTable("order", "Judgments in both orders", tuple(rows), formats, note)


def _judges(study: Study) -> AuditTable:
    """Compare the judges of answers that stand in the study twice."""
    offsets = {(one.name, one.task, one.new): one for one in judge_offsets(study)}
    rows = []
    for (name, benchmark, new), offset in offsets.items():
        for old_row, new_row in rejudged(study):
            before, after = judged_items(old_row.folder, benchmark), judged_items(new_row.folder, benchmark)
            shared = [key for key in before if key in after]
            columns = [[_score(items[key]) for key in shared] for items in (before, after)]
            clusters = [str(before[key].get("cluster") or key) for key in shared]
            task = find_task(benchmark)
            low, high = (task.scale if task else None) or (0.0, 1.0)
            found = agreement(columns, clusters, study.confidence, NEAR * (high - low))
            if found and row_label(old_row, ()) == name:
                rows.append(
                    {
                        "row": name,
                        "benchmark": benchmark,
                        "judges": f"{offset.old}, {new}",
                        "offset": offset.score,
                        **agreement_cells(found, "near"),
                    }
                )
    formats = {"equal": SHARE, "near": SHARE, "offset": "+.2f", "second − first": "+.2f"}
    note = "The same answers by an old and a new judge. Offset: the score by the new judge minus that by the old one."
    return AuditTable("judges", "Two judges of the same answers", tuple(rows), formats, note)


def _length(benchmarks: Sequence[Judged], confidence: float) -> tuple[list[Finding], AuditTable]:
    """Test whether a longer answer to the same item scores higher, apart from what points differ by on average."""
    findings, rows = [], []
    for one in benchmarks:
        found = [(row, name, item) for row, name, item in one.scored() if _number(item.get("words")) is not None]
        if not one.is_judged or len(one.points) < 2:
            continue
        relation = length_bias(
            [_score(item) for _, _, item in found],
            [int(item["words"]) for _, _, item in found],
            [name for _, name, _ in found],
            confidence,
            [row.point for row, _, _ in found],
            [str(item.get("cluster") or name) for _, name, item in found],
        )
        if relation is None:
            continue
        rows.append(
            {
                "benchmark": one.title,
                "n": len(found),
                "correlation": relation.correlation,
                "per doubling of words": relation.per_doubling,
            }
        )
        unit = "points of the score per doubling of words"
        name = f"{one.title}, score against length within items"
        findings.append(Finding(name, relation.per_doubling, relation.correlation.p, unit, *LENGTHS))
    formats = {"correlation": "+.2f", "per doubling of words": "+.2f"}
    note = (
        "Among answers of different points to the same item, without the mean differences of points. "
        "Longer answers may also be better ones: a correlation alone does not blame the judge."
    )
    return findings, AuditTable("length", "Scores against the length of the answer", tuple(rows), formats, note)


def _lines(benchmarks: Sequence[Judged], repeats: AuditTable) -> Iterator[str]:
    for one in benchmarks:
        reasons = Counter(
            str(item.get("reason") or "no score")
            for items in one.items
            for item in items.values()
            if _number(item.get("score")) is None
        )
        if one.missing:
            yield f"the judgments of {one.missing} points are missing in {one.title}: type stage=judge"
        if reasons:
            parts = ", ".join(f"{count} {reason}" for reason, count in reasons.most_common())
            yield f"unscored in {one.title}: {reasons.total()} ({parts})"
    able = [one.name for one in benchmarks if one.task and "repeats" in one.task.reads]
    if able and not repeats.rows:
        yield f"agreement with itself is unknown for {', '.join(dict.fromkeys(able))}: type bench.repeats=3"


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)


def _score(item: Mapping[str, Any]) -> float:
    value = _number(item.get("score"))
    return math.nan if value is None else value


def _number(value: Any) -> float | None:
    usable = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    return float(value) if usable else None
