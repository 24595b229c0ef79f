"""Ratings in JSON: the whole reply, objects within it, and objects that need a repair."""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Iterator
from typing import Any

from mmdpo.judge.reading import AMBIGUOUS, CONTRADICTORY, RatingFormat, Reading, checked, label_of

MOST_OBJECTS = 1000  # opening braces that are tried
REPAIRED_LETTERS, REPAIRED_OBJECTS = 50_000, 100  # most of a fragment that is repaired; the time grows with the square
NUMBER = re.compile(r"\s*(-?[0-9]{1,3})(?:\.0*)?\s*")
BRACKETS = re.compile(r"[\[\]{}]")
FENCE_OPENED = re.compile(r"```[a-zA-Z]*\s*\Z")


class DuplicateKey(ValueError):
    """A JSON object that names a key twice: parsers differ in which one they keep."""


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise DuplicateKey
    return found


DECODER = json.JSONDecoder(object_pairs_hook=_unique)


def nesting(text: str) -> int:
    """Return how deep the brackets of a text are nested."""
    depth = deepest = 0
    for found in BRACKETS.finditer(text):
        depth += 1 if found[0] in "[{" else -1
        deepest, depth = max(deepest, depth), max(depth, 0)
    return deepest


def is_json(text: str) -> bool:
    """Return whether a text as a whole is JSON."""
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return False
    return True


def whole(text: str, count: int, form: RatingFormat) -> list[Reading] | None:
    """Return the readings of a reply that is JSON as a whole; None if it is not.

    Args:
        text: The reply.
        count: Number of completions that were presented.
        form: Attributes and scale.
    """
    try:
        value = DECODER.decode(text.strip())
    except DuplicateKey:
        return [Reading("schema", objection=CONTRADICTORY)]
    except (ValueError, RecursionError):
        return None
    if not isinstance(value, dict) or "ratings" not in value:
        return [Reading("schema", objection="no_ratings")]
    return [_reading("schema", one, count, form) for one in _with_ratings(value)]


def embedded(text: str, count: int, form: RatingFormat) -> tuple[list[Reading], str]:
    """Return the readings of JSON objects within a text, and the rest of the text.

    Args:
        text: The reply.
        count: Number of completions that were presented.
        form: Attributes and scale.
    """
    readings: list[Reading] = []
    rest, position, copied = [], 0, 0
    for _ in range(MOST_OBJECTS):
        start = text.find("{", position)
        if start < 0:
            break
        try:
            value, end = DECODER.raw_decode(text, start)
        except DuplicateKey:
            readings.append(Reading("repaired", objection=CONTRADICTORY))
            break
        except (ValueError, RecursionError):
            position = start + 1
            continue
        position = end
        if "ratings" in value:
            parser = "fenced" if FENCE_OPENED.search(text[max(0, start - 80) : start]) else "repaired"
            readings += [_reading(parser, one, count, form) for one in _with_ratings(value)]
            rest.append(text[copied:start])
            copied = end
    else:
        readings.append(Reading("repaired", objection=AMBIGUOUS))
    return readings, "\n".join([*rest, text[copied:]])


def repaired(text: str, count: int, form: RatingFormat) -> tuple[Reading | None, str]:
    """Return the reading of an object that is not quite JSON, and the text outside of it.

    What the repair returns must stand in the text as it is: a repair may drop, merge and cut numbers.

    Args:
        text: The reply without its JSON objects.
        count: Number of completions that were presented.
        form: Attributes and scale.
    """
    from json_repair import repair_json

    start, end = text.find("{"), max(text.rfind("}"), text.rfind("]")) + 1
    if start < 0:
        return None, text
    if end <= start or _written(text[end:], form):
        end = len(text)
    fragment = text[start:end]
    written = _written(fragment, form)
    if not written:
        return None, text
    if len(fragment) > REPAIRED_LETTERS or fragment.count("{") > REPAIRED_OBJECTS:
        return Reading("repaired", objection=AMBIGUOUS), text[:start] + "\n" + text[end:]
    try:
        value: Any = repair_json(fragment, return_objects=True)
    except Exception:  # json_repair raises whatever its steps raise
        value = None
    if not isinstance(value, dict) or not isinstance(value.get("ratings"), list):
        return None, text
    found = _reading("repaired", value, count, form)
    read = [
        _whole_number(number)
        for row in value["ratings"]
        if isinstance(row, dict)
        for name, number in row.items()
        if form.attribute(name)
    ]
    if read != written or None in written:
        found = Reading("repaired", {}, found.objection or AMBIGUOUS)
    return found, text[:start] + "\n" + text[end:]


def _written(fragment: str, form: RatingFormat) -> list[int | None]:
    """Return the number behind each attribute's name; None where something else or more stands there."""
    names, numbers = _source_patterns(form)
    found = (numbers.match(fragment, name.end()) for name in names.finditer(fragment))
    return [int(number[1]) if number else None for number in found]


@functools.cache
def _source_patterns(form: RatingFormat) -> tuple[re.Pattern[str], re.Pattern[str]]:
    names = "|".join(f"(?:{form.pattern(name)})" for name in form.attributes)
    quote = r"""["'“”]?"""
    following = rf"""(?=\s*(?:\}}|,\s*(?:\}}|{quote}[A-Za-z_][\w ]{{0,40}}{quote}\s*:)))"""
    return (
        re.compile(rf"(?<!\w){quote}(?:{names}){quote}\s*:", re.I),
        re.compile(rf"\s*{quote}(-?[0-9]{{1,3}})(?:\.0+)?{quote}{following}"),
    )


def _with_ratings(value: Any) -> Iterator[dict[str, Any]]:
    """Yield the objects that have ratings, the outermost first."""
    if isinstance(value, dict):
        if "ratings" in value:
            yield value
        value = list(value.values())
    if isinstance(value, list):
        for entry in value:
            yield from _with_ratings(entry)


def _reading(parser: str, value: dict[str, Any], count: int, form: RatingFormat) -> Reading:
    rows = value["ratings"]
    if not isinstance(rows, list) or not rows:
        return Reading(parser, objection="no_ratings")
    numbers: dict[tuple[str, str], int] = {}
    objection = None
    for row in rows:
        if not isinstance(row, dict) or not isinstance(row.get("label"), str):
            objection = objection or "no_label"
            continue
        label = label_of(row["label"])
        if label is None:
            objection = objection or "wrong_count"
            continue
        named = [(form.attribute(key), number) for key, number in row.items()]
        found = {name: _whole_number(number) for name, number in named if name}
        if len(found) != sum(1 for name, _ in named if name):  # such as helpful and helpfulness
            return Reading(parser, numbers, CONTRADICTORY)
        if any(found.get(name) is None for name in form.attributes):
            objection = objection or "missing_rating"
        for name, number in found.items():
            if number is not None and numbers.setdefault((label, name), number) != number:
                return Reading(parser, numbers, CONTRADICTORY)
    return checked(parser, numbers, count, form, objection)


def _whole_number(value: Any) -> int | None:
    """Return a whole number, given as such or as text; None for anything else."""
    if isinstance(value, str):
        found = NUMBER.fullmatch(value)
        return int(found[1]) if found else None
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return value if isinstance(value, int) and not isinstance(value, bool) else None
