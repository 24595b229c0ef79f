"""Vocabulary of the miniature, and the rules for building sentences."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain

COLOURS = ("red", "blue", "green", "yellow", "purple", "orange")
SHAPES = ("circle", "square", "triangle", "star", "cross")
PLURALS = {shape: "crosses" if shape == "cross" else shape + "s" for shape in SHAPES}
CELLS = tuple(letter + digit for digit in "1234" for letter in "ABCD")
"""Names of the 4 x 4 grid's cells, row by row: A1 is top left, D1 top right, D4 bottom right."""
NUMBERS = tuple(str(number) for number in range(31))
NAMES = ("Anna", "Ben", "Carl", "Dora", "Emma", "Finn", "Greta", "Hugo")
ANIMALS = ("cat", "dog", "horse", "cow", "sheep", "bird", "fish", "mouse")
FRUITS = ("apples", "pears", "plums", "grapes", "lemons", "peaches")
PLACES = ("garden", "house", "school", "river", "forest", "market")
ADJECTIVES = ("old", "young", "small", "big", "happy", "quiet")
PAST = {"sees": "saw", "has": "had", "likes": "liked", "sells": "sold", "finds": "found"}
COMPARED = {"older": "oldest", "taller": "tallest", "faster": "fastest", "richer": "richest"}
TRENDS = ("rising", "falling", "mixed")
ATTRIBUTES = ("helpfulness", "correctness", "coherence", "complexity", "verbosity")

BRIEF = "Answer briefly."
"""Marker of questions that ask for a word instead of a sentence."""

PUNCTUATION = (".", ",", ":", "?", ";", "-", "!", "(", ")")
_SENTENCES = (  # their order decides the token ids of the shipped weights
    "What colour is the shape in? Where Which There are is a an and no none not yes Yes No, How many",
    "shapes there? Is Describe the image. What can you see chart bar bars value of this do the trend from",
    "left to right than tallest shortest taller shorter sum difference The order Sort these numbers by",
    "size small to large Write sentence with words about who Who was were at In it It all now has have",
    "gives Does Do does more less because why animals fruits place places name named colours Put in past:",
    "Replace here Here Rewrite And how much left lists list As be or for that most least on named.",
    "sentence",
    BRIEF,
)
_FUNCTION_WORDS = tuple(dict.fromkeys(word.strip(".,:?") for sentence in _SENTENCES for word in sentence.split()))

WORDS: tuple[str, ...] = tuple(
    dict.fromkeys(
        chain(
            (*PUNCTUATION, *COLOURS, *SHAPES, *PLURALS.values(), *CELLS, *NUMBERS, *NAMES, *ANIMALS, *FRUITS),
            (*PLACES, *ADJECTIVES, *PAST, *PAST.values(), *COMPARED, *COMPARED.values(), *TRENDS),
            (*ATTRIBUTES, *_FUNCTION_WORDS),
        )
    )
)
"""All words and punctuation marks, in the order of their token ids."""


def with_article(noun: str) -> str:
    """Put the indefinite article before a noun."""
    return ("an " if noun[0] in "aeiou" else "a ") + noun


def join_words(items: Sequence[str]) -> str:
    """Join words as in 'x', 'x and y', 'x, y and z'."""
    return " and ".join([", ".join(items[:-1]), items[-1]] if len(items) > 1 else items)


def attribute_sentence(values: Sequence[int]) -> str:
    """Write five ratings, in the order of ATTRIBUTES, as the sentence that SteerLM adds to a question."""
    return " ".join(f"{name} {value}" for name, value in zip(ATTRIBUTES, values, strict=True)) + "."
