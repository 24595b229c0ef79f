"""A judge's reply as ratings, or the reason why it is none. Nothing is guessed, and nothing raises."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from json_repair import repair_json

from mmdpo.config.choices import ATTRIBUTES
from mmdpo.judge.request import LABELS, SCALE
from mmdpo.records import Rating

FENCE = re.compile(r"```[a-zA-Z]*\s*\n(.*?)```", re.S)
HEADING = re.compile(
    r"^[\s#*_>\-]*(?:rating\s+(?:for|of)\s+)?(?:completion|response|answer)\s*#?\s*([A-Z]|\d{1,2})\b(?!\s*is\b)",
    re.I | re.M,
)
NAMES = {
    "helpfulness": r"helpful(?:ness)?",
    "correctness": r"correct(?:ness)?",
    "coherence": r"coheren(?:ce|t)",
    "complexity": r"complex(?:ity)?",
    "verbosity": r"verbos(?:e|ity)",
}
"""An attribute as judges write it: the paper's appendix has "Correctness 4" and "Verbose: 2"."""
VALUE = r"""\b{name}\b[\s*_"']*(?:[:=–—-][\s*_"']*)?(-?\d+(?:\.\d+)?)(?!\d|\s*(?:st|nd|rd|th)\b)"""
VALUES = {name: re.compile(VALUE.format(name=pattern), re.I) for name, pattern in NAMES.items()}


@dataclass(frozen=True)
class Reply:
    """Ratings in the order in which the completions were shown, and the step that read them."""

    ratings: tuple[Rating, ...]
    step: str


@dataclass(frozen=True)
class Unread:
    """A reply without ratings that can be trusted: `reason` is a name to count by."""

    reason: str


def parse(text: str, count: int) -> Reply | Unread:
    """Read a reply on `count` completions: as JSON, fenced JSON, mended JSON, then the loose text form.

    All ratings are there, each a whole number in 0..4, or the reply is unread: the reason is that of
    the first step that found something to object to.
    """
    if not text.strip():
        return Unread("empty")
    reasons: list[str] = []
    for step, find in STEPS.items():
        for candidate in find(text):
            found = candidate if isinstance(candidate, Unread) else _ratings(candidate, count)
            if isinstance(found, tuple):
                return Reply(found, step)
            reasons.append(found.reason)
    return Unread(next((reason for reason in reasons if reason != "no_ratings"), "no_ratings"))


def _schema(text: str) -> Iterator[Any]:
    yield from _loaded(text)


def _fenced(text: str) -> Iterator[Any]:
    for block in FENCE.findall(text):
        yield from _loaded(block)


def _repaired(text: str) -> Iterator[Any]:
    start = text.find("{")
    if start >= 0:
        try:
            yield repair_json(text[start:], return_objects=True)
        except (ValueError, RecursionError, TypeError, IndexError):
            return


def _loose(text: str) -> Iterator[Any]:
    """Sections by completion, with a value an attribute somewhere in each, in any order."""
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
        for name, pattern in VALUES.items():
            values = set(pattern.findall(section))
            if len(values) > 1:
                yield Unread("contradictory")
                return
            if values:
                row[name] = values.pop()
        if len(row) > 1:
            rows.append(row)
    yield {"ratings": rows} if rows else Unread("no_ratings")


STEPS: dict[str, Callable[[str], Iterator[Any]]] = {
    "schema": _schema,
    "fenced": _fenced,
    "repaired": _repaired,
    "text": _loose,
}


def _loaded(text: str) -> Iterator[Any]:
    try:
        yield json.loads(text)
    except (ValueError, RecursionError):
        return


def _ratings(value: Any, count: int) -> tuple[Rating, ...] | Unread:
    """The ratings of a reply's object, in the order of the labels."""
    rows = value.get("ratings") if isinstance(value, dict) else None
    if not isinstance(rows, list) or not rows:
        return Unread("no_ratings")
    by_label: dict[str, Rating] = {}
    for row in rows:
        label = row.get("label") if isinstance(row, dict) else None
        if not isinstance(label, str) or label.strip().upper() not in LABELS[:count]:
            return Unread("wrong_count" if isinstance(label, str) else "no_label")
        label = label.strip().upper()
        numbers = [_number(row.get(name)) for name in ATTRIBUTES]
        if None in numbers:
            return Unread("missing_rating")
        whole = [number for number in numbers if number is not None]
        if not all(SCALE[0] <= number <= SCALE[1] for number in whole):
            return Unread("out_of_range")
        rating = Rating(*whole)
        if by_label.get(label, rating) != rating:
            return Unread("contradictory")
        by_label[label] = rating
    if len(by_label) != count:
        return Unread("wrong_count")
    return tuple(by_label[label] for label in LABELS[:count])


def _number(value: Any) -> int | None:
    """A whole number, as such or as its text; None for anything else."""
    if isinstance(value, str) and re.fullmatch(r"\s*-?\d{1,3}(?:\.0*)?\s*", value):
        value = float(value)
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return value if isinstance(value, int) and not isinstance(value, bool) else None
