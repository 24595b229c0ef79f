"""One reading of a judge's reply. A reply may hold several, such as a draft and a final version."""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from string import ascii_uppercase

from mmdpo.records import Rating

LABELS = ascii_uppercase
"""Labels of the completions, in the order in which they are presented."""

AMBIGUOUS, CONTRADICTORY = "ambiguous", "contradictory"
"""Objections to a reply as a whole: a rating stands there that cannot be read for sure, or ratings that differ."""

LABEL = re.compile(r"[\s*_#(\[\"'`]*(?:(?:completion|response|answer)[\s#]*)?([a-z])[\s*_)\]\"'`.:]*", re.I)


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

    def pattern(self, attribute: str) -> str:
        """Return the regular expression of an attribute's name."""
        return dict(self.spellings).get(attribute, re.escape(attribute))

    def attribute(self, name: object) -> str | None:
        """Return the attribute that a key names; None if it names none."""
        return _attribute(self, name.strip().casefold()) if isinstance(name, str) else None


@functools.lru_cache(maxsize=1024)
def _attribute(form: RatingFormat, name: str) -> str | None:
    return next((one for one in form.attributes if re.fullmatch(form.pattern(one), name, re.I)), None)


@dataclass(frozen=True)
class Reading:
    """Ratings from one place of a reply.

    Args:
        parser: Name of the parser that read it.
        numbers: The ratings by label and attribute.
        objection: Why the numbers are not all that is asked for; None if they are.
    """

    parser: str
    numbers: Mapping[tuple[str, str], int] = field(default_factory=dict)
    objection: str | None = None

    def ratings(self, count: int, form: RatingFormat) -> tuple[Rating, ...]:
        """Return the ratings of a complete reading, in the order of the labels."""
        return tuple({name: self.numbers[label, name] for name in form.attributes} for label in LABELS[:count])


def checked(
    parser: str, numbers: Mapping[tuple[str, str], int], count: int, form: RatingFormat, objection: str | None = None
) -> Reading:
    """Return a reading with its objection.

    Args:
        parser: Name of the parser.
        numbers: The ratings by label and attribute.
        count: Number of completions that were presented.
        form: Attributes and scale.
        objection: What the parser itself objects to.
    """
    low, high = form.scale
    labels = {label for label, _ in numbers}
    if objection is None and labels - set(LABELS[:count]):
        objection = "wrong_count"
    if objection is None and any((label, name) not in numbers for label in labels for name in form.attributes):
        objection = "missing_rating"
    if objection is None and not all(low <= number <= high for number in numbers.values()):
        objection = "out_of_range"
    if objection is None and len(labels) != count:
        objection = "wrong_count" if labels else "no_ratings"
    return Reading(parser, numbers, objection)


def label_of(value: object) -> str | None:
    """Return the letter of a label such as "A", "Completion A" or "(a)"; None if it is no such label."""
    found = LABEL.fullmatch(value) if isinstance(value, str) and len(value) < 64 else None
    return found[1].upper() if found else None
