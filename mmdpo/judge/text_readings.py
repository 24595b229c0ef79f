"""Ratings in plain text: a section per completion with a number behind each attribute's name.

A number counts only if nothing follows that could change it: "4", "4/4", "4." and "4 - all of it" are ratings on a
scale to 4, "3-4", "3 or 4", "3,5" and "4/10" are not.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator
from dataclasses import dataclass

from mmdpo.judge.reading import AMBIGUOUS, CONTRADICTORY, LABELS, RatingFormat, Reading, checked

HEADING = (
    r"^[ \t#*_>\-]*(?:\d{{1,2}}[.)][ \t]*)?[*_]*(?:ratings?[ \t]+(?:for|of)[ \t]+)?"
    r"(?:completion|response|answer)[ \t]*\#?[ \t]*([A-Z]|\d{{1,2}})"
    r"(?=[ \t*_\"')\]]*(?::|[.–—-](?:[ \t]|$)|\(|$|[ \t](?:{names})\b))"
)
LONG_RUN = re.compile(r"((?:[^\w\n]|_){8})(?:[^\w\n]|_)+")
"""Punctuation and spaces in numbers that no rating has; patterns that meet them would take long."""

LIST_MARKER = re.compile(r"(?:^|\n)[ \t]*(?:[0-9]{1,2}[.)]|[-*•#|]+)?[ \t*_\"'`|]*\Z")
SCALES = re.compile(
    r"\b(?:scale|range)\b\D{0,20}(\d+)(?:[ \t]*(?:-|–|—|to|and|\.\.)[ \t]*(\d+))?"
    r"|\b(\d+)[ \t]*(?:-|–|—|to)[ \t]*(\d+)[ \t]+scale\b|\bout[ \t]+of[ \t]+(\d+)",
    re.I,
)
WORDS = (
    r"\b(?:zero|two|three|four|five|six|seven|eight|nine|ten|half|quarter)\b"
    r"|^\W*(?:or|to|maybe|perhaps|possibly|rather|plus|minus|wait|actually|almost|nearly)\b"
)
HEDGES = re.compile(WORDS, re.I)


@dataclass(frozen=True)
class _Patterns:
    heading: re.Pattern[str]
    name: re.Pattern[str]  # one group per attribute
    value: re.Pattern[str]  # what follows a name
    near: re.Pattern[str]  # a number that follows a name and is no plain value


@functools.cache
def _patterns(form: RatingFormat) -> _Patterns:
    low, high = form.scale
    names = "|".join(form.pattern(name) for name in form.attributes)
    grouped = "|".join(f"(?P<a{index}>{form.pattern(name)})" for index, name in enumerate(form.attributes))
    pad = r"[ \t*_\"'`)\]]*"
    scale = (
        rf"(?:[(\[]?[ \t]*(?:scale:?[ \t]*)?(?:from[ \t]+)?{low}[ \t]*(?:-|–|—|to|\.\.)[ \t]*{high}(?!\d)"
        rf"|[(\[]?[ \t]*(?:/|out[ \t]+of|of|max\.?)[ \t]*{high}(?!\d))"
    )
    number = r"(-?(?:0|[1-9][0-9]?)(?:\.0+)?)(?![\d.,]*\d)"
    top = rf"(?:[ \t]*(?:/|out[ \t]+of|of)[ \t]*{high}(?:\.0+)?(?![\d.,/]*\d))?"
    following = (
        rf"(?=[ \t*_\"'`)\]}}]*(?:\||$|[,;.](?:\s|$|[a-z\"'])|[ \t]+[–—-]+[ \t]|\(|\{{"
        rf"|[ \t]+(?:(?:and|or|&)[ \t]+)?[*_\"'`]*(?:{names})(?!\w)))"
    )
    behind_name = rf"{pad}(?:ratings?|scores?)?{pad}{scale}?{pad}"
    same_line = rf"{behind_name}(?:[:=|]|[–—-](?=[ \t])|->|→)?[ \t*_\"'`(\[]*{number}{top}{following}"
    next_line = rf"{pad}:?{pad}\n[ \t*_]*{number}{top}[ \t*_]*(?=$)"
    words = r"(?:is|was|to|of|as|at|now|becomes?|should|be|would|scores?|scored|rating|rated|gets?|an?|about|still)"
    return _Patterns(
        re.compile(HEADING.format(names=names), re.I | re.M),
        re.compile(rf"(?<!\w)(?<!non-)(?<!un-)(?<!in-)(?<!not )(?:{grouped})(?!\w)", re.I),
        re.compile(rf"(?:{same_line}|{next_line})", re.I | re.M),
        re.compile(rf"[^\w\n]{{0,8}}(?:{words}[^\w\n]{{1,4}}){{0,4}}\d", re.I),
    )


def in_text(text: str, count: int, form: RatingFormat) -> Reading | None:
    """Return the reading of a text; None if no rating stands in it.

    Args:
        text: The reply, without what was read as JSON.
        count: Number of completions that were presented.
        form: Attributes and scale.
    """
    patterns, text = _patterns(form), LONG_RUN.sub(r"\1", text)
    headings = list(patterns.heading.finditer(text))
    outside = text[: headings[0].start()] if headings else text
    unclear = any(number is None for _, number in _mentions(outside, form))
    stray = any(number is not None for _, number in _mentions(outside, form))
    numbers: dict[tuple[str, str], int] = {}
    sections: dict[str, str] = {}
    ends = [*(heading.start() for heading in headings), len(text)][1:]
    for heading, end in zip(headings, ends, strict=True):
        label = _label(heading[1])
        sections[label] = sections.get(label, "") + "\n" + text[heading.end() : end]
    for label, section in sections.items():
        for name, number in _mentions(section, form):
            if number is None:
                unclear = True
            elif numbers.setdefault((label, name), number) != number:
                return Reading("text", numbers, CONTRADICTORY)
        unclear = unclear or _has_more_numbers(section, form)
    unclear = unclear or _has_another_scale(text, form)
    if not numbers and not stray and not unclear:
        return None
    if not numbers:  # ratings of no completion in particular
        return Reading("text", objection=AMBIGUOUS)
    return checked("text", numbers, count, form, AMBIGUOUS if unclear or stray else None)


def _label(heading: str) -> str:
    """Return the label of a heading; that of a number such as 0 is none of a completion."""
    if not heading.isdigit():
        return heading.upper()
    return LABELS[int(heading) - 1] if 1 <= int(heading) <= len(LABELS) else heading


def _has_another_scale(text: str, form: RatingFormat) -> bool:
    """Return whether a text speaks of a scale that is not the rubric's."""
    low, high = map(str, form.scale)
    for found in SCALES.finditer(text):
        numbers = tuple(filter(None, found.groups()))
        if numbers not in ((low, high), (high,)):
            return True
    return False


def _mentions(text: str, form: RatingFormat) -> Iterator[tuple[str, int | None]]:
    """Yield each attribute that a number follows, with the number, or None if it is no plain one."""
    patterns = _patterns(form)
    for name in patterns.name.finditer(text):
        attribute = form.attributes[int(str(name.lastgroup)[1:])]
        value = patterns.value.match(text, name.end())
        if value:
            yield attribute, int(float(value[1] or value[2]))
        elif patterns.near.match(text, name.end()):
            yield attribute, None


def _has_more_numbers(section: str, form: RatingFormat) -> bool:
    """Return whether a section has numbers besides its ratings, behind the first of them.

    Such a number may be the rating that was meant: "Helpfulness: 1. It answers. 2. It is short. Rating: 4".
    """
    patterns = _patterns(form)
    position: int | None = None  # the end of the last rating
    for name in patterns.name.finditer(section):
        value = patterns.value.match(section, name.end())
        if value is None:
            continue
        if position is not None and _changes(LIST_MARKER.sub("", section[position : name.start()])):
            return True
        position = value.end()
    return position is not None and _changes(section[position:])


def _changes(text: str) -> bool:
    """Return whether what follows a rating may change it: a digit anywhere, a word for a number on the same line."""
    return any(letter.isnumeric() for letter in text) or bool(HEDGES.search(text.split("\n", 1)[0]))
