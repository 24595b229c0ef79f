"""The audit of a folder of annotations, which stage=annotate has made: before GPU time is spent on its pairs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from mmdpo.analysis.annotation import FEWEST
from mmdpo.analysis.audit.agreement import Agreement, agreement
from mmdpo.analysis.audit.estimates import Finding, corrected, estimate_of
from mmdpo.analysis.audit.length import length_bias
from mmdpo.analysis.audit.pairs import pairs_table, people_table, preferences_table
from mmdpo.analysis.audit.tables import SHARE, Audit, AuditTable
from mmdpo.config.schema import JudgeConfig
from mmdpo.errors import UserError
from mmdpo.files import Unreadable, read_json
from mmdpo.judge.rubric import Rubric, load_rubric
from mmdpo.points.point_files import mapping_or_none
from mmdpo.records import ANSWER_WORDS, Annotation, Unscored, quality, read_records

CONFIDENCE = 0.95
QUALITY = "quality"
STEP = 1.0
ORDERS = ("the place matters", "the place matters")
LENGTHS = ("longer answers are rated higher", "shorter answers are rated higher")
"""Findings in words."""


@dataclass(frozen=True)
class Rated:
    """The ratings of a folder.

    Attributes:
        folder: The folder.
        rubric: The rubric that the judge was asked by.
        annotations: The ratings by prompt.
        again: The ratings of the prompts that were rated twice.
        unscored: The reasons of the prompts without ratings, with their counts.
        words: The number of words of each completion by prompt; empty if it is unknown.
        card: The card of the folder.
    """

    folder: Path
    rubric: Rubric
    annotations: Mapping[str, Annotation]
    again: Mapping[str, Annotation]
    unscored: Counter[str]
    words: Mapping[str, Sequence[int]]
    card: Mapping[str, Any]

    @property
    def judge(self) -> str:
        """The name of the judge: its model, or its rules."""
        facts = self.card.get("facts")
        facts = facts if isinstance(facts, dict) else {}
        named = facts.get("model") or facts.get("judge")
        return str(named or next((one.judge for one in self.annotations.values()), "unknown judge"))

    @cached_property
    def distinct(self) -> dict[str, list[int]]:
        """The indices of each prompt's completions without those whose text another one has, in presentation order."""
        found = {}
        for name, one in self.annotations.items():
            places = one.presentation_order or range(len(one.ratings))
            first = {place: index for index, place in reversed(list(enumerate(places)))}
            found[name] = [first[place] for place in sorted(first)]
        return found

    def value(self, annotation: Annotation, index: int, name: str) -> float:
        """Return the rating of a completion by an attribute, or its quality."""
        rating = annotation.ratings[index]
        return float(quality(rating, self.rubric.aggregate) if name == QUALITY else rating[name])


def is_annotations(folder: Path) -> bool:
    """Return whether a folder is one of stage=annotate."""
    return (folder / "annotations.jsonl").is_file()


def read_rated(folder: Path) -> Rated:
    """Read the ratings of a folder. Raises UserError if it is not one of stage=annotate, or is damaged."""
    if not is_annotations(folder):
        raise UserError(f"{folder}: holds no annotations.jsonl; name the folder that stage=annotate prints")
    try:
        summary = read_json(folder / "summary.json")
        rubric = load_rubric(summary.get("rubric", JudgeConfig.rubric))
        made = {one.prompt_id: one for one in read_records(folder / "annotations.jsonl", Annotation)}
        again = folder / "repeated.jsonl"
        twice = {one.prompt_id: one for one in read_records(again, Annotation)} if again.exists() else {}
        unscored = folder / "unscored.jsonl"
        missing = read_records(unscored, Unscored) if unscored.exists() else ()
        reasons = Counter(one.reason for one in missing)
        for one in (*made.values(), *twice.values()):
            for rating in one.ratings:
                quality(rating, rubric.attributes)
    except (OSError, Unreadable, ValueError, TypeError, KeyError, AttributeError) as error:
        raise UserError(
            f"{folder}: the annotations cannot be read ({type(error).__name__}: {error}); rerun stage=annotate"
        ) from None
    return Rated(
        folder, rubric, made, twice, reasons, _optional(folder / ANSWER_WORDS), _optional(folder / "card.json")
    )


def _optional(path: Path) -> Mapping[str, Any]:
    return mapping_or_none(path) or {}


def audit_annotations(folder: Path, other: Path | None = None) -> Audit:
    """Audit the ratings of a folder.

    Args:
        folder: The folder that stage=annotate has made.
        other: A folder of the same completions with the ratings of a second judge; it may hold fewer prompts.

    Returns:
        The audit.

    Raises:
        UserError: A folder cannot be read, or the two have no completions in common.
    """
    rated = read_rated(folder)
    second = None if other is None else read_rated(other)
    order, places = _order(rated)
    length, lengths = _length(rated)
    tables = [_distribution(rated), *places, *lengths]
    kept = {"itself": rated.again} if rated.again else {}
    if rated.again:
        tables.insert(1, _agreement_table("agreement", "Agreement with itself", rated, rated.again, rated.rubric))
    if second is not None:
        tables.insert(1, _second_judge(rated, second))
        kept[second.judge] = second.annotations
    tables.append(pairs_table(rated.rubric, rated.annotations, rated.distinct, rated.words))
    tables.append(preferences_table(rated.rubric, rated.annotations, rated.distinct, kept, CONFIDENCE))
    people = people_table(folder / "differences.csv", rated.rubric, CONFIDENCE)
    tables += [people] if people else []
    return Audit(
        f"{len(rated.annotations)} prompts rated by {rated.judge}",
        CONFIDENCE,
        tuple(one for one in tables if one.rows),
        tuple(corrected([*order, *length])),
        tuple(_lines(rated, second)),
    )


def _names(rubric: Rubric) -> list[str]:
    return [*rubric.attributes, QUALITY]


def _distribution(rated: Rated) -> AuditTable:
    low, high = rated.rubric.scale
    rows = []
    for name in rated.rubric.attributes:
        marks = Counter(rating[name] for one in rated.annotations.values() for rating in one.ratings)
        total = max(marks.total(), 1)
        shares = {str(mark): marks[mark] / total for mark in range(low, high + 1)}
        mean = sum(mark * count for mark, count in marks.items()) / total
        rows.append({"attribute": name, "mean": mean, **shares})
    formats = dict.fromkeys(map(str, range(low, high + 1)), SHARE)
    return AuditTable("ratings", "Ratings, share of the completions", tuple(rows), formats)


def _agreement_table(
    name: str, title: str, rated: Rated, others: Mapping[str, Annotation], rubric: Rubric
) -> AuditTable:
    """Compare the ratings with others of the same completions, by the attributes that both rubrics have."""
    shared = [one for one in rated.annotations if one in others]
    both = [one for one in rated.rubric.attributes if one in rubric.attributes]
    if rubric.aggregate == rated.rubric.aggregate:
        both.append(QUALITY)
    rows = []
    for attribute in both:
        columns: tuple[list[float], list[float]] = ([], [])
        prompts = []
        for prompt in shared:
            for index in rated.distinct[prompt]:
                for column, one in zip(columns, (rated.annotations[prompt], others[prompt]), strict=True):
                    column.append(rated.value(one, index, attribute))
                prompts.append(prompt)
        if found := agreement(columns, prompts, CONFIDENCE, STEP):
            rows.append({"attribute": attribute, **agreement_cells(found)})
    formats = {"equal": SHARE, "within 1": SHARE, "second − first": "+.2f"}
    note = (
        f"{len(shared)} prompts. alpha is Krippendorff's for interval data: 1 for equal ratings, 0 for chance. "
        "Second − first is the mean difference."
    )
    return AuditTable(name, title, tuple(rows), formats, note, narrow=("equal", "within 1"))


def agreement_cells(found: Agreement, near: str = "within 1") -> dict[str, Any]:
    """Return the columns of a table for an agreement."""
    shift = {} if found.shift is None else {"second − first": found.shift}
    return {"n": found.n, "equal": found.equal, near: found.within, "alpha": found.alpha, **shift}


def _second_judge(rated: Rated, second: Rated) -> AuditTable:
    """Compare two judges on the prompts that both have rated."""
    shared = [name for name in rated.annotations if name in second.annotations]
    same = rated.card.get("made_of") == second.card.get("made_of") and all(
        rated.words[one] == second.words[one] for one in shared if one in rated.words and one in second.words
    )
    counts = all(len(rated.annotations[one].ratings) == len(second.annotations[one].ratings) for one in shared)
    if not shared or not same or not counts or rated.rubric.scale != second.rubric.scale:
        reason = "the scales of their rubrics differ" if shared and same and counts else "they rate other completions"
        raise UserError(
            f"--with {second.folder}: cannot be compared with {rated.folder}, because {reason}; type the same "
            "command for both, apart from judge="
        )
    title = f"Agreement of {rated.judge} (first) and {second.judge} (second)"
    return _agreement_table("second_judge", title, rated, second.annotations, second.rubric)


def _order(rated: Rated) -> tuple[list[Finding], list[AuditTable]]:
    """Test the effect of the place at which a completion is presented, which is drawn for each prompt."""
    from scipy.stats import friedmanchisquare

    by_count: dict[int, dict[str, list[float]]] = {}
    for prompt, indices in rated.distinct.items():
        one = rated.annotations[prompt]
        if len(indices) > 1 and one.presentation_order:
            values = [rated.value(one, index, QUALITY) for index in indices]
            by_count.setdefault(len(indices), {})[prompt] = values
    rows = max(by_count.values(), key=len, default={})
    if len(rows) < FEWEST:
        return [], []
    names, table = list(rows), list(rows.values())
    means = [sum(values) / len(values) for values in table]
    cells = []
    for place in range(len(table[0])):
        apart = [values[place] - mean for values, mean in zip(table, means, strict=True)]
        cells.append({"place": str(place + 1), "quality − mean of the prompt": estimate_of([apart], names, CONFIDENCE)})
    first = estimate_of([[v[0] - sum(v[1:]) / (len(v) - 1) for v in table]], names, CONFIDENCE)
    assert first is not None
    varies = any(len(set(values)) > 1 for values in table)
    p = first.p
    if len(table[0]) > 2:
        p = float(friedmanchisquare(*zip(*table, strict=True)).pvalue) if varies else 1.0
    found = Finding("place of presentation, the first against the others", first, p, "points of quality", *ORDERS)
    note = f"{len(table)} prompts with {len(table[0])} different completions; the order is drawn for each prompt."
    formats = {"quality − mean of the prompt": "+.2f"}
    return [found], [AuditTable("order", "Quality by the place of presentation", tuple(cells), formats, note)]


def _length(rated: Rated) -> tuple[list[Finding], list[AuditTable]]:
    """Test whether longer completions of the same prompt are rated higher."""
    places = [(prompt, i) for prompt, indices in rated.distinct.items() if _has_words(rated, prompt) for i in indices]
    prompts = [prompt for prompt, _ in places]
    words = [int(rated.words[prompt][index]) for prompt, index in places]
    rows, findings = [], []
    for name in _names(rated.rubric):
        values = [rated.value(rated.annotations[prompt], index, name) for prompt, index in places]
        if (found := length_bias(values, words, prompts, CONFIDENCE)) is None:
            continue
        row = {"attribute": name, "correlation": found.correlation, "per doubling of words": found.per_doubling}
        rows.append(row)
        if name == QUALITY:
            findings.append(
                Finding(
                    "quality against length within prompts",
                    found.per_doubling,
                    found.correlation.p,
                    "points of quality per doubling of words",
                    *LENGTHS,
                )
            )
    formats = {"correlation": "+.2f", "per doubling of words": "+.2f"}
    note = "Within prompts. Longer answers may also be better ones: a correlation alone does not blame the judge."
    return findings, [AuditTable("length", "Ratings against the length of the answer", tuple(rows), formats, note)]


def _has_words(rated: Rated, prompt: str) -> bool:
    return len(rated.words.get(prompt, ())) == len(rated.annotations[prompt].ratings)


def _lines(rated: Rated, second: Rated | None) -> list[str]:
    reasons = ", ".join(f"{count} {reason}" for reason, count in rated.unscored.most_common())
    lines = [f"unscored prompts: {rated.unscored.total()}" + (f" ({reasons})" if reasons else "")]
    if not rated.again:
        lines.append("agreement with itself is unknown: type stage=annotate judge.repeat=0.1 to rate a tenth twice")
    if second is None:
        lines.append("no second judge: type stage=annotate judge=NAME judge.share=0.1, then audit FOLDER --with OTHER")
    if not any(_has_words(rated, prompt) for prompt in rated.annotations):
        lines.append("the length of the answers is unknown: rerun stage=annotate, which asks for nothing again")
    return lines
