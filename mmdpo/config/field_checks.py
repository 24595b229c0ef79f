"""Check the ranges and choices that stand beside the schema's fields (mmdpo/config/markers.py).

One generic walk serves every dataclass of the schema. What a class asks for is read once per process, so that a
sweep of a thousand points is checked quickly.
"""

from __future__ import annotations

import dataclasses
import difflib
import math
import operator
import unicodedata
from collections.abc import Hashable, Iterable, Iterator, Sequence
from functools import cache
from typing import Any, cast, get_type_hints

from annotated_types import Ge, Gt, Interval, Le, Lt

from mmdpo.config.markers import OneOf, SeveralLines

COMPARE = {"gt": operator.gt, "ge": operator.ge, "lt": operator.lt, "le": operator.le}
WORDS = {"gt": "above", "ge": "at least", "lt": "below", "le": "at most"}


@dataclasses.dataclass(frozen=True)
class Rule:
    """The range and the choices of one field; `bounds` holds pairs such as ("ge", 0)."""

    name: str
    bounds: tuple[tuple[str, float], ...]
    choices: OneOf | None
    several_lines: bool = False


def field_problems(group: Any, prefix: str = "") -> Iterator[str]:
    """Describe each value of a config that lies outside its range or its choices.

    Nested dataclasses are walked too, as are the entries of lists and dictionaries. None is allowed wherever the
    type allows it, which OmegaConf has checked before. Infinity and NaN are allowed nowhere.

    Args:
        group: A dataclass of mmdpo.config.schema.
        prefix: The dotted key of the group with a dot at its end, or "" for the whole config.

    Yields:
        One message per problem; each begins with the key as it is typed on the command line.
    """
    for rule in rules(cast(Hashable, type(group))):
        yield from _value_problems(f"{prefix}{rule.name}", getattr(group, rule.name), rule)


@cache
def rules(schema: Any) -> tuple[Rule, ...]:
    """Read the ranges and choices of a dataclass from the annotations of its fields."""
    hints = get_type_hints(schema, include_extras=True)
    found = []
    for field in dataclasses.fields(schema):
        marks = getattr(hints[field.name], "__metadata__", ())
        bounds = tuple(
            (name, limit)
            for mark in marks
            if isinstance(mark, (Ge, Gt, Le, Lt, Interval))
            for name in COMPARE
            if (limit := getattr(mark, name, None)) is not None
        )
        choices = next((mark for mark in marks if isinstance(mark, OneOf)), None)
        several_lines = any(isinstance(mark, SeveralLines) for mark in marks)
        found.append(Rule(field.name, bounds, choices, several_lines))
    return tuple(found)


def unusable_character(text: str, several_lines: bool = False) -> str | None:
    """Return the first character that breaks the lines of other programs, or that UTF-8 cannot write.

    Args:
        text: A value of the config.
        several_lines: Whether line breaks and tabs are allowed.

    Returns:
        A control character or a lone surrogate; None if there is none.
    """
    allowed = "\n\t" if several_lines else ""
    return next((one for one in text if unicodedata.category(one) in ("Cc", "Cs") and one not in allowed), None)


def unknown_choice(key: str, value: object, allowed: Iterable[object]) -> str:
    """Describe a value that is not one of the allowed ones, with the closest of them if one is close."""
    names = [str(name) for name in allowed]
    return f"{key}={value}: unknown; allowed are {', '.join(names)}{did_you_mean(str(value), names)}"


def did_you_mean(word: str, candidates: Sequence[str], lead: str = "; ") -> str:
    """Return "did you mean ...?" for the closest of the candidates, or "" if none is close."""
    close = difflib.get_close_matches(word, candidates, n=1, cutoff=0.6)
    return f"{lead}did you mean {close[0]}?" if close else ""


def _value_problems(key: str, value: Any, rule: Rule) -> Iterator[str]:
    if isinstance(value, str) and (character := unusable_character(value, rule.several_lines)):
        yield f"{key}={value!r}: {character!r} is no character of a name, a path or a number; type {key}= without it"
        return
    if value is None or (rule.choices is None and isinstance(value, (str, bool))):
        return
    if isinstance(value, dict):
        for name, entry in value.items():
            if character := unusable_character(str(name)):
                yield f"{key}: the name {name!r} holds {character!r}; type it without"
            yield from _value_problems(f"{key}.{name}", entry, rule)
    elif isinstance(value, (list, tuple)):
        for entry in value:
            yield from _value_problems(key, entry, rule)
    elif rule.choices is not None:
        allowed = rule.choices.choices() if callable(rule.choices.choices) else rule.choices.choices
        if value not in allowed:
            yield unknown_choice(key, value, allowed)
    elif isinstance(value, (int, float)):
        finite = isinstance(value, int) or math.isfinite(value)
        if not finite or not all(COMPARE[name](value, limit) for name, limit in rule.bounds):
            yield f"{key}={value}: must be {_describe(rule.bounds) or 'finite'}"
    elif dataclasses.is_dataclass(value):
        yield from field_problems(value, f"{key}.")


def _describe(bounds: tuple[tuple[str, float], ...]) -> str:
    """Describe a range, as in "at least 0 and below 0.5"."""
    return " and ".join(f"{WORDS[name]} {limit}" for name, limit in bounds)
