import pytest

from mmdpo.evaluation.exact_objects import mentioned_objects, mentions

VOCABULARY = {"cup", "knife", "leaf", "berry", "woman", "bus", "person", "dress", "e-book"}


@pytest.mark.parametrize(
    ("caption", "found"),
    [
        ("Two Cups, and a cup.", ["cup", "cup"]),
        ("knives leaves berries women people", ["knife", "leaf", "berry", "woman", "person"]),
        ("a bus, buses, a dress, dresses", ["bus", "bus", "dress", "dress"]),
        ("an e-book", ["e-book"]),
        ("cupboard, cup-shaped, personal", []),
        ("", []),
    ],
)
def test_words_and_their_plurals(caption: str, found: list[str]) -> None:
    assert mentions(caption, VOCABULARY) == found


def test_an_object_is_mentioned_by_any_of_its_words() -> None:
    assert mentioned_objects(["mug"], {"cup": {"cup", "mug"}, "dog": {"dog"}}) == {"cup"}
