"""Parsing of a judge's reply into ratings. Nothing is guessed, and nothing raises."""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from string import ascii_uppercase
from typing import Any

from mmdpo.clients.answers import ParseFailure
from mmdpo.records import Rating

LABELS = ascii_uppercase
"""Labels of the completions, in the order in which they are presented."""

FENCE = re.compile(r"```[a-zA-Z]*\s*\n(.*?)```", re.S)
HEADING = re.compile(
    r"^[\s#*_>\-]*(?:rating\s+(?:for|of)\s+)?(?:completion|response|answer)\s*#?\s*([A-Z]|\d{1,2})\b(?!\s*is\b)",
    re.I | re.M,
)
VALUE = r"""\b{name}\b[\s*_"']*(?:[:=–—-][\s*_"']*)?(-?\d+(?:\.\d+)?)(?!\d|\s*(?:st|nd|rd|th)\b)"""


@dataclass(frozen=True)
class ParsedRatings:
    """Ratings in presentation order, and the name of the parser that read them."""

    ratings: tuple[Rating, ...]
    parser: str


@dataclass(frozen=True)
class RatingFormat:
    """The format of a reply that rates several completions.

    Args:
        attributes: Names of the attributes, in the rubric's order.
        scale: Lowest and highest rating.
        spellings: Regular expressions for attributes that judges also write otherwise, by name.
    """

    attributes: tuple[str, ...]
    scale: tuple[int, int]
    spellings: tuple[tuple[str, str], ...] = ()


def parse_ratings(text: str, count: int, form: RatingFormat) -> ParsedRatings | ParseFailure:
    """Parse a reply as JSON, fenced JSON, repaired JSON, and last as text.

    Args:
        text: The raw reply.
        count: Number of completions that were presented.
        form: Attributes and scale.

    Returns:
        The ratings if all are there, each a whole number on the scale; or else the first objection of a parser.
    """
    if not text.strip():
        return ParseFailure("empty")
    reasons: list[str] = []
    for parser, find in PARSERS.items():
        for candidate in find(text, form):
            found = candidate if isinstance(candidate, ParseFailure) else _ratings(candidate, count, form)
            if isinstance(found, tuple):
                return ParsedRatings(found, parser)
            reasons.append(found.reason)
    return ParseFailure(next((reason for reason in reasons if reason != "no_ratings"), "no_ratings"))


def _schema(text: str, form: RatingFormat) -> Iterator[Any]:
    yield from _loaded(text)


def _fenced(text: str, form: RatingFormat) -> Iterator[Any]:
    for block in FENCE.findall(text):
        yield from _loaded(block)


def _repaired(text: str, form: RatingFormat) -> Iterator[Any]:
    from json_repair import repair_json

    start = text.find("{")
    if start >= 0:
        try:
            yield repair_json(text[start:], return_objects=True)
        except (ValueError, RecursionError, TypeError, IndexError):
            return


def _free_text(text: str, form: RatingFormat) -> Iterator[Any]:
    """Find a section per completion, with a value per attribute somewhere in it, in any order."""
    sections: dict[str, str] = {}
    headings = list(HEADING.finditer(text))
    ends = [*(heading.start() for heading in headings), len(text)][1:]
    for heading, end in zip(headings, ends, strict=True):
        label = heading[1].upper()
        if label.isdigit():
            if not 1 <= int(label) <= len(LABELS):
                continue
            label = LABELS[int(label) - 1]
        sections[label] = sections.get(label, "") + "\n" + text[heading.end() : end]
    rows = []
    for label, section in sections.items():
        row: dict[str, Any] = {"label": label}
        for name, pattern in _value_patterns(form).items():
            values = set(pattern.findall(section))
            if len(values) > 1:
                yield ParseFailure("contradictory")
                return
            if values:
                row[name] = values.pop()
        if len(row) > 1:
            rows.append(row)
    yield {"ratings": rows} if rows else ParseFailure("no_ratings")


PARSERS: dict[str, Callable[[str, RatingFormat], Iterator[Any]]] = {
    "schema": _schema,
    "fenced": _fenced,
    "repaired": _repaired,
    "text": _free_text,
}


@functools.cache
def _value_patterns(form: RatingFormat) -> Mapping[str, re.Pattern[str]]:
    spellings = dict(form.spellings)
    return {name: re.compile(VALUE.format(name=spellings.get(name, re.escape(name))), re.I) for name in form.attributes}


def _loaded(text: str) -> Iterator[Any]:
    try:
        yield json.loads(text)
    except (ValueError, RecursionError):
        return


def _ratings(value: Any, count: int, form: RatingFormat) -> tuple[Rating, ...] | ParseFailure:
    """Return the ratings of a reply's JSON object, in the order of the labels."""
    rows = value.get("ratings") if isinstance(value, dict) else None
    if not isinstance(rows, list) or not rows:
        return ParseFailure("no_ratings")
    labels = tuple(LABELS[:count])
    by_label: dict[str, Rating] = {}
    for row in rows:
        label = row.get("label") if isinstance(row, dict) else None
        if not isinstance(label, str):
            return ParseFailure("no_label")
        label = label.strip().upper()
        if label not in labels:
            return ParseFailure("wrong_count")
        rating: Rating = {}
        for name in form.attributes:
            number = _whole_number(row.get(name))
            if number is None:
                return ParseFailure("missing_rating")
            rating[name] = number
        if not all(form.scale[0] <= number <= form.scale[1] for number in rating.values()):
            return ParseFailure("out_of_range")
        if by_label.get(label, rating) != rating:
            return ParseFailure("contradictory")
        by_label[label] = rating
    if len(by_label) != count:
        return ParseFailure("wrong_count")
    return tuple(by_label[label] for label in labels)


def _whole_number(value: Any) -> int | None:
    """Return a whole number, given as such or as text; None for anything else."""
    if isinstance(value, str) and re.fullmatch(r"\s*-?\d{1,3}(?:\.0*)?\s*", value):
        value = float(value)
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return value if isinstance(value, int) and not isinstance(value, bool) else None
