"""Parsing of a judge's reply into ratings. Nothing is guessed, and nothing raises."""

from __future__ import annotations

from dataclasses import dataclass

from mmdpo.clients.answers import ParseFailure
from mmdpo.judge import json_readings, text_readings
from mmdpo.judge.reading import AMBIGUOUS, CONTRADICTORY, LABELS, RatingFormat, Reading
from mmdpo.records import Rating

__all__ = ["LABELS", "ParsedRatings", "RatingFormat", "parse_ratings"]

LONGEST = 1_000_000  # letters of a reply
DEEPEST = 64  # nested brackets; a reply by the schema has 4


@dataclass(frozen=True)
class ParsedRatings:
    """Ratings in presentation order, and the name of the parser that read them."""

    ratings: tuple[Rating, ...]
    parser: str


def parse_ratings(text: str, count: int, form: RatingFormat) -> ParsedRatings | ParseFailure:
    """Parse a reply as JSON, fenced JSON, repaired JSON, and last as text.

    A reply that is JSON as a whole is read as such. In any other reply all places that hold ratings must agree.

    Args:
        text: The raw reply.
        count: Number of completions that were presented.
        form: Attributes and scale.

    Returns:
        The ratings if all are there, each a whole number on the scale; or else the first objection of a parser.
    """
    if not text.strip():
        return ParseFailure("empty")
    if len(text) > LONGEST or json_readings.nesting(text) > DEEPEST:
        return ParseFailure("too_large")
    readings = json_readings.whole(text, count, form)
    if readings is None:
        readings = _readings_within(text, count, form)
    if _differ(readings):
        return ParseFailure(CONTRADICTORY)
    if any(reading.objection == AMBIGUOUS for reading in readings):
        return ParseFailure(AMBIGUOUS)
    for reading in readings:
        if reading.objection is None:
            return ParsedRatings(reading.ratings(count, form), reading.parser)
    reasons = [reading.objection for reading in readings if reading.objection]
    return ParseFailure(next((reason for reason in reasons if reason != "no_ratings"), "no_ratings"))


def _readings_within(text: str, count: int, form: RatingFormat) -> list[Reading]:
    readings, rest = json_readings.embedded(text, count, form)
    mended, rest = json_readings.repaired(rest, count, form)
    if mended and readings and not mended.numbers:  # it may be the final version of what stands before it
        mended = Reading(mended.parser, objection=AMBIGUOUS)
    readings += [mended] if mended else []
    prose = text_readings.in_text(rest, count, form)
    if prose and (prose.numbers or readings):
        readings.append(prose)
    return readings


def _differ(readings: list[Reading]) -> bool:
    """Return whether two readings give different numbers for the same attribute of a completion."""
    numbers: dict[tuple[str, str], int] = {}
    for reading in readings:
        if reading.objection == CONTRADICTORY:
            return True
        if any(numbers.setdefault(place, number) != number for place, number in reading.numbers.items()):
            return True
    return False
