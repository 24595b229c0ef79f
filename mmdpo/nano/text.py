"""Text instructions in eight categories; those of distance "near" describe scenes and charts in words."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from random import Random
from typing import Any

from mmdpo.nano.visual import NEGATIONS, THINGS, facts
from mmdpo.nano.words import (
    ADJECTIVES,
    ANIMALS,
    CELLS,
    COLOURS,
    COMPARED,
    FRUITS,
    NAMES,
    NUMBERS,
    PAST,
    PLACES,
    SHAPES,
    join_words,
    with_article,
)
from mmdpo.nano.world import Bar, Scene, Thing, random_scene
from mmdpo.records import Prompt, Turn

Task = tuple[str, tuple[Turn, ...], dict[str, Any]]
_PEOPLE_AND_WORDS = (*NAMES, *PAST, *PAST.values(), *ADJECTIVES, *ANIMALS, *PLACES)


def _one(words: Sequence[str], answer: str, full: str) -> dict[str, Any]:
    return facts("set", [answer], words, full, answer)


def _describe(scene: Scene) -> str:
    return f"There is {join_words([f'{with_article(thing.name)} in {thing.place}' for thing in scene.things])}."


def _distinct_scene(rng: Random) -> Scene:
    """Draw a scene in which every colour and every shape occurs once."""
    count = rng.randint(2, 4)
    cells, colours = sorted(rng.sample(range(len(CELLS)), count)), rng.sample(COLOURS, count)
    shapes = rng.sample(SHAPES, count)
    return Scene(tuple(map(Thing, colours, shapes, cells)))


def _bars(rng: Random) -> tuple[list[Bar], str]:
    """Draw three or four bars of different values, and describe them in a sentence."""
    count = rng.randint(3, 4)
    pairs = zip(rng.sample(COLOURS, count), rng.sample(range(1, 9), count), strict=True)
    bars = [Bar(colour, value) for colour, value in pairs]
    statement = join_words([f"the {bar.colour} bar is {bar.value}" for bar in bars])
    return bars, statement[0].upper() + statement[1:] + "."


def _writing_near(rng: Random) -> Task:
    scene = random_scene(rng)
    parts = [f"{with_article(thing.name)} in {thing.place}" for thing in scene.things]
    wanted = [word for thing in scene.things for word in (thing.name, thing.place)]
    full = f"There is {join_words(parts)}."
    return (
        f"Write a sentence about {join_words(parts)}.",
        (),
        facts("covers", wanted, (*THINGS, *CELLS), full, full),
    )


def _writing_far(rng: Random) -> Task:
    name, animal = rng.choice(NAMES), rng.choice(ANIMALS)
    adjective, place = rng.choice(ADJECTIVES), rng.choice(PLACES)
    wanted = [name, animal, adjective, place]
    full = f"{name} sees the {adjective} {animal} in the {place}."
    given = rng.sample(wanted, 4)
    return (
        f"Write a sentence with the words {join_words(given)}.",
        (),
        facts("covers", wanted, _PEOPLE_AND_WORDS, full, full),
    )


def _reasoning_near(rng: Random) -> Task:
    scene = _distinct_scene(rng)
    thing = rng.choice(scene.things)
    if rng.random() < 0.5:
        answer_facts = _one(COLOURS, thing.colour, f"The {thing.shape} is {thing.colour}.")
        return f"{_describe(scene)} What colour is the {thing.shape}?", (), answer_facts
    answer_facts = _one(CELLS, thing.place, f"The {thing.name} is in {thing.place}.")
    return f"{_describe(scene)} Where is the {thing.name}?", (), answer_facts


def _reasoning_far(rng: Random) -> Task:
    first, second, third = rng.sample(NAMES, 3)
    more, most = rng.choice(tuple(COMPARED.items()))
    statement = [f"{first} is {more} than {second}.", f"{second} is {more} than {third}."]
    answer_facts = _one(NAMES, first, f"{first} is the {most}.")
    return f"{' '.join(rng.sample(statement, 2))} Who is the {most}?", (), answer_facts


def _sorting_near(rng: Random) -> Task:
    bars, statement = _bars(rng)
    order = [bar.colour for bar in sorted(bars, key=lambda bar: bar.value)]
    answer_facts = facts("ordered", order, COLOURS, f"The order is {join_words(order)}.", ", ".join(order))
    return f"{statement} Sort the bars from shortest to tallest.", (), answer_facts


def _sorting_far(rng: Random) -> Task:
    numbers = rng.sample(range(21), rng.randint(3, 4))
    up = rng.random() < 0.5
    order = [str(number) for number in sorted(numbers, reverse=not up)]
    way = "small to large" if up else "large to small"
    answer_facts = facts("ordered", order, NUMBERS, f"The order is {join_words(order)}.", ", ".join(order))
    return f"Sort these numbers from {way}: {', '.join(map(str, numbers))}.", (), answer_facts


def _math_near(rng: Random) -> Task:
    bars, statement = _bars(rng)
    one, two = rng.sample(bars, 2)
    total = str(one.value + two.value)
    answer_facts = facts("final", [total], NUMBERS, f"The sum is {total}.", total)
    return f"{statement} What is the sum of the {one.colour} bar and the {two.colour} bar?", (), answer_facts


def _math_far(rng: Random) -> Task:
    one, two = rng.sample(NAMES, 2)
    fruits = rng.choice(FRUITS)
    if rng.random() < 0.5:
        few, more = rng.randint(1, 8), rng.randint(1, 8)
        total = str(few + more)
        question = f"{one} has {few} {fruits} and {two} has {more} {fruits}. How many {fruits} are there in all?"
        return question, (), facts("final", [total], NUMBERS, f"There are {total} {fruits} in all.", total)
    left, given = rng.randint(2, 8), rng.randint(2, 8)
    statement = f"{one} has {left + given} {fruits} and gives {given} to {two}."
    question = f"{statement} How many {fruits} does {one} have now?"
    answer_facts = facts("final", [str(left)], NUMBERS, f"{one} has {left} {fruits} now.", str(left))
    return question, (), answer_facts


def _extraction_near(rng: Random) -> Task:
    scene = _distinct_scene(rng)
    words: Sequence[str] = COLOURS
    answer, what = [thing.colour for thing in scene.things], "colours"
    if rng.random() >= 0.5:
        words, answer, what = SHAPES, [thing.shape for thing in scene.things], "shapes"
    answer_facts = facts("set", answer, words, f"The {what} are {join_words(answer)}.", ", ".join(answer))
    return f"{_describe(scene)} Which {what} are named?", (), answer_facts


def _extraction_far(rng: Random) -> Task:
    name, place, fruits, count = rng.choice(NAMES), rng.choice(PLACES), rng.choice(FRUITS), rng.randint(2, 9)
    one, two = rng.sample(ANIMALS, 2)
    seen = rng.sample([with_article(one), with_article(two), f"{count} {fruits}"], 3)
    statement = f"{name} sees {join_words(seen)} in the {place}."
    way = rng.randrange(3)
    if way == 0:
        animals = [word for word in statement.replace(",", "").split() if word in (one, two)]
        answer_facts = facts("set", animals, ANIMALS, f"The animals are {join_words(animals)}.", ", ".join(animals))
        return f"{statement} Which animals are named?", (), answer_facts
    if way == 1:
        return f"{statement} Which fruits are named?", (), _one(FRUITS, fruits, f"The fruits are {fruits}.")
    return f"{statement} Which place is named?", (), _one(PLACES, place, f"The place is the {place}.")


def _rewriting_near(rng: Random) -> Task:
    scene = _distinct_scene(rng)
    old = rng.choice(scene.things).colour
    new = rng.choice([colour for colour in COLOURS if colour not in {thing.colour for thing in scene.things}])
    things = tuple(Thing(new if t.colour == old else t.colour, t.shape, t.cell) for t in scene.things)
    full = _describe(Scene(things))
    answer = [word for thing in things for word in (thing.name, thing.place)]
    answer_facts = facts("ordered", answer, (*THINGS, *CELLS), full, full)
    return f"Replace {old} with {new}: {_describe(scene)}", (), answer_facts


def _rewriting_far(rng: Random) -> Task:
    name, verb, adjective = rng.choice(NAMES), rng.choice(tuple(PAST)), rng.choice(ADJECTIVES)
    animal, place = rng.choice(ANIMALS), rng.choice(PLACES)
    rest = f"the {adjective} {animal} in the {place}."
    answer = [name, PAST[verb], adjective, animal, place]
    full = f"{name} {PAST[verb]} {rest}"
    return (
        f"Put this in the past: {name} {verb} {rest}",
        (),
        facts("ordered", answer, _PEOPLE_AND_WORDS, full, full),
    )


def _decided(yes: bool, one: int, two: int) -> dict[str, Any]:
    than = "more" if one > two else "less"
    answer = "yes" if yes else "no"
    full = f"{answer.capitalize()}, because {one} is {than} than {two}."
    choices = ["yes", *NEGATIONS, "more", "less", *NUMBERS]
    return facts("polarity", [answer], choices, full, answer, reason=[str(one), than, str(two)])


def _yes_no_near(rng: Random) -> Task:
    bars, statement = _bars(rng)
    one, two = rng.sample(bars, 2)
    question = f"{statement} Is the {one.colour} bar taller than the {two.colour} bar, and why?"
    return question, (), _decided(one.value > two.value, one.value, two.value)


def _yes_no_far(rng: Random) -> Task:
    one, two = rng.sample(NAMES, 2)
    fruits, (few, more) = rng.choice(FRUITS), rng.sample(range(1, 21), 2)
    statement = f"{one} has {few} {fruits} and {two} has {more} {fruits}."
    question = f"{statement} Does {one} have more {fruits} than {two}, and why?"
    return question, (), _decided(few > more, few, more)


def _follow_up_near(rng: Random) -> Task:
    scene = _distinct_scene(rng)
    before, after = rng.sample(scene.things, 2)
    earlier = Turn(f"{_describe(scene)} What colour is the {before.shape}?", f"The {before.shape} is {before.colour}.")
    return (
        f"And the {after.shape}?",
        (earlier,),
        _one(COLOURS, after.colour, f"The {after.shape} is {after.colour}."),
    )


def _follow_up_far(rng: Random) -> Task:
    names, animals = rng.sample(NAMES, 3), rng.sample(ANIMALS, 3)
    statement = join_words([f"{name} has {with_article(animal)}" for name, animal in zip(names, animals, strict=True)])
    before, after = rng.sample(range(3), 2)
    earlier = Turn(
        f"{statement}. What does {names[before]} have?", f"{names[before]} has {with_article(animals[before])}."
    )
    answer_facts = _one(ANIMALS, animals[after], f"{names[after]} has {with_article(animals[after])}.")
    return f"And {names[after]}?", (earlier,), answer_facts


TASKS: dict[tuple[str, str], Callable[[Random], Task]] = {
    ("writing", "near"): _writing_near,
    ("writing", "far"): _writing_far,
    ("reasoning", "near"): _reasoning_near,
    ("reasoning", "far"): _reasoning_far,
    ("sorting", "near"): _sorting_near,
    ("sorting", "far"): _sorting_far,
    ("math", "near"): _math_near,
    ("math", "far"): _math_far,
    ("extraction", "near"): _extraction_near,
    ("extraction", "far"): _extraction_far,
    ("rewriting", "near"): _rewriting_near,
    ("rewriting", "far"): _rewriting_far,
    ("yes-no", "near"): _yes_no_near,
    ("yes-no", "far"): _yes_no_far,
    ("follow-up", "near"): _follow_up_near,
    ("follow-up", "far"): _follow_up_far,
}
CATEGORIES = tuple(dict.fromkeys(category for category, _ in TASKS))
NEVER_BRIEF = ("writing", "rewriting")
"""Categories whose right answers have no short form."""


def instruct(rng: Random, category: str | None = None, distance: str | None = None) -> Prompt:
    """Generate a text instruction.

    Args:
        rng: Source of randomness.
        category: One of CATEGORIES; None for a random one.
        distance: "near" or "far"; None for a random one.

    Returns:
        The instruction with an empty id.
    """
    category = category or rng.choice(CATEGORIES)
    distance = distance or rng.choice(("near", "far"))
    question, history, answer_facts = TASKS[category, distance](rng)
    answer_facts |= {"kind": category, "distance": distance}
    return Prompt(id="", question=question, history=history, category=category, facts=answer_facts)
