"""Questions about a scene or a chart, with facts about the right answer for a rule-based judge.

`Prompt.facts` of every question of the miniature, with or without image, has the keys
  kind, distance   kind of question; "visual", or the distance of a text task from the visual ones ("near", "far")
  brief            whether the question asks for a brief answer
  full, short      a right answer as a sentence, and as a few words
  match            the rule by which the answer is found in a text (mmdpo/nano/oracle.py)
  answer, choices  the words of the right answer, and all words that are possible in their place
  view             the scene or chart as text; absent if there is no image
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import product
from random import Random
from typing import Any

from mmdpo.nano.words import BRIEF, CELLS, COLOURS, NUMBERS, PLURALS, SHAPES, TRENDS, join_words, with_article
from mmdpo.nano.world import Bar, Chart, Scene, View
from mmdpo.records import Prompt

THINGS = tuple(f"{colour} {shape}" for colour, shape in product(COLOURS, SHAPES))
NEGATIONS = ("no", "none", "not")


def facts(
    match: str, answer: Sequence[str], choices: Sequence[str], full: str, short: str, **more: Any
) -> dict[str, Any]:
    """Collect the facts of one question; `kind`, `distance` and `view` are added by the caller.

    Args:
        match: Rule by which the answer is found in a text.
        answer: Words of the right answer.
        choices: Words that are possible in their place.
        full: A right answer as a sentence.
        short: A right answer as a few words.
        **more: Further facts.

    Returns:
        The facts by name.
    """
    answer_facts = {"match": match, "answer": list(answer), "choices": list(choices), "brief": False}
    return answer_facts | {"full": full, "short": short} | more


def briefly(prompt: Prompt) -> Prompt:
    """Return the same question with a request for a brief answer."""
    return replace(prompt, question=f"{prompt.question} {BRIEF}", facts=prompt.facts | {"brief": True})


Question = tuple[str, dict[str, Any]]


def _one(words: Sequence[str], answer: str, full: str) -> dict[str, Any]:
    return facts("set", [answer], words, full, answer)


def _none(what: str, choices: Sequence[str]) -> dict[str, Any]:
    return facts("absent", [], choices, f"There is no {what}.", "none")


def _colour(scene: Scene, rng: Random) -> Question | None:
    shapes = [thing.shape for thing in scene.things]
    unique = [thing for thing in scene.things if shapes.count(thing.shape) == 1]
    if not unique:
        return None
    thing = rng.choice(unique)
    return f"What colour is the {thing.shape}?", _one(COLOURS, thing.colour, f"The {thing.shape} is {thing.colour}.")


def _shape(scene: Scene, rng: Random) -> Question | None:
    thing = rng.choice(scene.things)
    if rng.random() < 0.5:
        answer = f"The shape in {thing.place} is {with_article(thing.shape)}."
        return f"What shape is in {thing.place}?", _one(SHAPES, thing.shape, answer)
    if [other.colour for other in scene.things].count(thing.colour) > 1:
        return None
    answer = f"The {thing.colour} shape is {with_article(thing.shape)}."
    return f"What shape is {thing.colour}?", _one(SHAPES, thing.shape, answer)


def _where(scene: Scene, rng: Random) -> Question:
    thing = rng.choice(scene.things)
    return f"Where is the {thing.name}?", _one(CELLS, thing.place, f"The {thing.name} is in {thing.place}.")


def _count(scene: Scene, rng: Random) -> Question:
    way, thing = rng.randrange(3), rng.choice(scene.things)
    if way == 0:
        count, one, many = len(scene.things), "shape", "shapes"
    elif way == 1:
        count = sum(other.colour == thing.colour for other in scene.things)
        one, many = f"{thing.colour} shape", f"{thing.colour} shapes"
    else:
        count = sum(other.shape == thing.shape for other in scene.things)
        one, many = thing.shape, PLURALS[thing.shape]
    full = f"There is 1 {one}." if count == 1 else f"There are {count} {many}."
    return f"How many {many} are there?", _one(NUMBERS, str(count), full)


def presence(view: View, rng: Random, yes: bool) -> Question:
    """Ask whether a thing or a bar is present.

    Args:
        view: Scene or chart.
        rng: Source of randomness.
        yes: Whether the right answer is yes. For no, half of the things in a scene have a colour and a shape that
            occur there on different things.

    Returns:
        The question and its facts.
    """
    if isinstance(view, Chart):
        there = [bar.colour for bar in view.bars]
        name = rng.choice(there if yes else [colour for colour in COLOURS if colour not in there]) + " bar"
    else:
        names = [thing.name for thing in view.things]
        apart = [f"{one.colour} {two.shape}" for one, two in product(view.things, view.things)]
        hard = [name for name in apart if name not in names]
        pool = hard if hard and rng.random() < 0.5 else [name for name in THINGS if name not in names]
        name = rng.choice(names if yes else pool)
    full = f"Yes, there is {with_article(name)}." if yes else f"No, there is no {name}."
    answer = "yes" if yes else "no"
    return f"Is there {with_article(name)}?", facts("polarity", [answer], ["yes", *NEGATIONS], full, answer)


def _exists(view: View, rng: Random) -> Question:
    return presence(view, rng, yes=rng.random() < 0.5)


def _absent(scene: Scene, rng: Random) -> Question:
    shape = rng.choice([shape for shape in SHAPES if shape not in {thing.shape for thing in scene.things}])
    if rng.random() < 0.5:
        return f"What colour is the {shape}?", _none(shape, COLOURS)
    name = f"{rng.choice(COLOURS)} {shape}"
    return f"Where is the {name}?", _none(name, CELLS)


def _describe(scene: Scene, rng: Random) -> Question:
    names = [thing.name for thing in scene.things]
    full = f"There is {join_words([f'{with_article(thing.name)} in {thing.place}' for thing in scene.things])}."
    question = rng.choice(("Describe the image.", "What can you see in the image?"))
    return question, facts("set", names, THINGS, full, ", ".join(names))


def _tallest(chart: Chart, rng: Random) -> Question | None:
    tallest = rng.random() < 0.5
    values = [bar.value for bar in chart.bars]
    wanted = max(values) if tallest else min(values)
    if values.count(wanted) > 1:
        return None
    colour, word = chart.bars[values.index(wanted)].colour, "tallest" if tallest else "shortest"
    return f"Which bar is the {word}?", _one(COLOURS, colour, f"The {word} bar is {colour}.")


def _value(chart: Chart, rng: Random) -> Question:
    bar = rng.choice(chart.bars)
    full = f"The {bar.colour} bar has the value {bar.value}."
    return f"What is the value of the {bar.colour} bar?", _one(NUMBERS, str(bar.value), full)


def _bars(chart: Chart, rng: Random) -> Question:
    colours = [bar.colour for bar in chart.bars]
    question = rng.choice(("Which bars are in the chart?", "Describe the chart."))
    if question.startswith("Which"):
        return question, facts("set", colours, COLOURS, f"The bars are {join_words(colours)}.", ", ".join(colours))
    parts = [f"a {bar.colour} bar with the value {bar.value}" for bar in chart.bars]
    full = f"There is {join_words(parts)}.".replace("a orange", "an orange")
    return question, facts("set", colours, COLOURS, full, ", ".join(colours))


def _two(chart: Chart, rng: Random) -> tuple[Bar, Bar]:
    first, second = rng.sample(chart.bars, 2)
    return first, second


def _compare(chart: Chart, rng: Random) -> Question | None:
    one, two = _two(chart, rng)
    if one.value == two.value:
        return None
    colour = one.colour if one.value > two.value else two.colour
    question = f"Which bar is taller, the {one.colour} bar or the {two.colour} bar?"
    return question, _one(COLOURS, colour, f"The taller bar is {colour}.")


def _trend(chart: Chart, rng: Random) -> Question:
    steps = [after.value - before.value for before, after in zip(chart.bars, chart.bars[1:], strict=False)]
    trend = "rising" if min(steps) > 0 else "falling" if max(steps) < 0 else "mixed"
    return "What is the trend from left to right?", _one(TRENDS, trend, f"The trend is {trend}.")


def _sum(chart: Chart, rng: Random) -> Question:
    one, two = _two(chart, rng)
    question = f"What is the sum of the {one.colour} bar and the {two.colour} bar?"
    total = str(one.value + two.value)
    return question, facts("final", [total], NUMBERS, f"The sum is {total}.", total)


def _rank(chart: Chart, rng: Random) -> Question | None:
    if len({bar.value for bar in chart.bars}) < len(chart.bars):
        return None
    colours = [bar.colour for bar in sorted(chart.bars, key=lambda bar: bar.value)]
    full = f"The order is {join_words(colours)}."
    return "Sort the bars from shortest to tallest.", facts("ordered", colours, COLOURS, full, ", ".join(colours))


def _absent_bar(chart: Chart, rng: Random) -> Question:
    colour = rng.choice([colour for colour in COLOURS if colour not in {bar.colour for bar in chart.bars}])
    return f"What is the value of the {colour} bar?", _none(f"{colour} bar", NUMBERS)


SCENE_KINDS: dict[str, Callable[[Scene, Random], Question | None]] = {
    "colour": _colour,
    "shape": _shape,
    "where": _where,
    "count": _count,
    "exists": _exists,
    "absent": _absent,
    "describe": _describe,
}
CHART_KINDS: dict[str, Callable[[Chart, Random], Question | None]] = {
    "tallest": _tallest,
    "value": _value,
    "bars": _bars,
    "compare": _compare,
    "trend": _trend,
    "sum": _sum,
    "rank": _rank,
    "exists": _exists,
    "absent": _absent_bar,
}
KINDS = (*SCENE_KINDS, *(kind for kind in CHART_KINDS if kind not in SCENE_KINDS))


def ask(view: View, rng: Random, kind: str | None = None) -> Prompt:
    """Generate a question about a view.

    Args:
        view: Scene or chart.
        rng: Source of randomness.
        kind: One of SCENE_KINDS or CHART_KINDS; None for a random one.

    Returns:
        The question with an empty id and without image.

    Raises:
        ValueError: The kind does not fit the view.
    """
    asked: Question | None = None
    while asked is None:  # some kinds do not fit some views, for instance "tallest" if two bars are equal
        if isinstance(view, Scene):
            chosen = kind or rng.choice(tuple(SCENE_KINDS))
            asked = SCENE_KINDS[chosen](view, rng)
        else:
            chosen = kind or rng.choice(tuple(CHART_KINDS))
            asked = CHART_KINDS[chosen](view, rng)
        if asked is None and kind is not None:
            raise ValueError(f"no question of kind {kind!r} fits {view}")
    question, answer_facts = asked
    topic = "scene" if isinstance(view, Scene) else "chart"
    answer_facts |= {"kind": chosen, "distance": "visual", "view": str(view)}
    return Prompt(id="", question=question, category=f"{topic}-{chosen}", facts=answer_facts)
