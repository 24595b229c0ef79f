"""Objects that a caption mentions, by exact words: a rule of ours in place of AMBER's tagger and word vectors.

A word of a caption that equals a word of the vocabulary, or is its plural, mentions that object, whatever part of
speech it is. Near-synonyms are not matched, so the numbers are not those of AMBER's script.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping

WORD = re.compile(r"[a-z]+(?:-[a-z]+)*")
IRREGULAR = {
    "children": "child",
    "feet": "foot",
    "geese": "goose",
    "men": "man",
    "mice": "mouse",
    "people": "person",
    "sheep": "sheep",
    "teeth": "tooth",
    "women": "woman",
}
ENDINGS = (("ies", "y"), ("ves", "f"), ("ves", "fe"), ("es", ""), ("s", ""))


def mentions(caption: str, vocabulary: Collection[str]) -> list[str]:
    """Return the words of a vocabulary that a caption mentions, in the caption's order and as often as there.

    Args:
        caption: The caption; case does not count.
        vocabulary: The words in lower case.
    """
    found = (_singular(word, vocabulary) for word in WORD.findall(caption.lower()))
    return [word for word in found if word is not None]


def _singular(word: str, vocabulary: Collection[str]) -> str | None:
    """Return the word itself or its singular, whichever is in the vocabulary."""
    return next((form for form in _forms(word) if form in vocabulary), None)


def _forms(word: str) -> Iterator[str]:
    yield word
    if word in IRREGULAR:
        yield IRREGULAR[word]
    for ending, singular in ENDINGS:
        if word.endswith(ending):
            yield word.removesuffix(ending) + singular


def mentioned_objects(words: Collection[str], objects: Mapping[str, Collection[str]]) -> set[str]:
    """Return the objects of which one of their words is among the mentioned ones."""
    return {name for name, names in objects.items() if any(word in words for word in names)}
