"""Turns with images, markers and a system turn: places are kept, and what does not match is refused."""

import base64
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmdpo.records import ImagePosition, Turn
from mmdpo.sources.bad_rows import BadRow
from mmdpo.sources.markers import MARKER, join_markers, split_markers
from mmdpo.sources.pairs import PairRow, parse

ANSWERS = {"chosen": "A kitten.", "rejected": "A dog."}
IMAGE = {"type": "image"}


def text(words: str) -> dict[str, str]:
    return {"type": "text", "text": words}


def user(*content: Any) -> dict[str, Any]:
    return {"role": "user", "content": content[0] if len(content) == 1 and isinstance(content[0], str) else [*content]}


def read(prompt: Any, **columns: Any) -> PairRow:
    return parse({**ANSWERS, "prompt": prompt, **columns})


def reason(prompt: Any, **columns: Any) -> str:
    with pytest.raises(BadRow) as error:
        read(prompt, **columns)
    return error.value.reason


def at(*places: int | tuple[int, int]) -> tuple[ImagePosition, ...]:
    return tuple(ImagePosition(*place) if isinstance(place, tuple) else ImagePosition(0, place) for place in places)


@pytest.mark.parametrize(
    ("prompt", "images", "question", "positions"),
    [
        ("What?", ["a.png"], "What?", ()),
        ("<image>\nWhat?", ["a.png"], "What?", ()),
        ("<image>What?", ["a.png"], "What?", ()),
        ("What?\n<image>", ["a.png"], "What?", at(5)),
        ("Is <image> this?", ["a.png"], "Is  this?", at(3)),
        ("<image>\n<image>\nWhich?", ["a.png", "b.png"], "Which?", ()),
        ("1: <image> 2: <image>", ["a.png", "b.png"], "1:  2:", at(3, 6)),
        ("Compare.", ["a.png", "b.png"], "Compare.", ()),
        ([user(IMAGE, text("What?"))], ["a.png"], "What?", ()),
        ([user(text("Here:"), IMAGE, text("What?"))], ["a.png"], "Here:\nWhat?", at(5)),
        ([user(text("Is "), IMAGE, text(" this?"))], ["a.png"], "Is  this?", at(3)),
        ([user(text("What?"), text("Why?"))], [], "What?\nWhy?", ()),
        ([user(text("<image>What?"))], ["a.png"], "What?", ()),
        ([user({"type": "image", "index": 1, "text": None}, text("or"), {"type": "image", "index": 0})],
         ["b.png", "a.png"], "or", at(0, 2)),
        ([user({"type": "image", "image": "a.png"}, text("What?"))], [], "What?", ()),
        ([user({"type": "image", "image": "a.png"}, text("What?"))], ["a.png"], "What?", ()),
        ([user({"type": "image", "image": {"bytes": None, "path": "a.png"}}, text("What?"))], [], "What?", ()),
        ([user({"type": "image_url", "image_url": {"url": "a.png"}}, text("What?"))], [], "What?", ()),
        ([user({"type": "input_image", "image_url": "a.png"}, {"type": "input_text", "text": "What?"})],
         [], "What?", ()),
    ],
)  # fmt: skip
def test_places_of_images(prompt: Any, images: list[str], question: str, positions: tuple[ImagePosition, ...]) -> None:
    found = read(prompt, images=images).dialogue
    expected = ("a.png", "b.png")[: max(len(images), "image" in str(prompt))]
    assert (found.question, found.images, found.image_positions) == (question, expected, positions)


def test_images_in_later_turns() -> None:
    turns = [user("<image>\nFirst?"), {"role": "assistant", "content": "One."}, user("Then <image>?")]
    found = read(turns, images=["a.png", "b.png"]).dialogue
    assert found.history == (Turn("First?", "One."),)
    assert (found.question, found.image_positions) == ("Then ?", at((0, 0), (2, 5)))
    named = [*turns[:2], user({"type": "image", "image": "b.png"}, text("Then?"))]
    assert read(named, images=["a.png"]).dialogue.images == ("a.png", "b.png")


@pytest.mark.parametrize(
    ("prompt", "images", "expected"),
    [
        ("<image>\nWhat?", [], "field 'prompt': image marker without image"),
        ([user(IMAGE, text("What?"))], None, "field 'prompt': image marker without image"),
        ([user(IMAGE, IMAGE, text("What?"))], ["a.png"], "field 'prompt': 2 image markers for 1 image"),
        ("<image> What?", ["a.png", "b.png"], "field 'prompt': 1 image markers for 2 images"),
        ([user({"type": "image", "image": "a.png"}, text("?"))], ["b.png"],
         "field 'prompt': 0 image markers for 1 image"),
        ([user({"type": "image", "index": 4}, text("?"))], ["b.png"], "field 'prompt': 1 image markers for 1 image"),
        ([user(text("?")), {"role": "assistant", "content": [IMAGE, text("A")]}, user("?")], ["a.png"],
         "field 'prompt': image in an answer"),
        ([{"role": "system", "content": "<image> Be brief."}, user("?")], ["a.png"], "field 'prompt': misplaced image"),
        ([user({"type": "video", "video": "a.mp4"}, text("?"))], [], "field 'prompt': wrong part"),
        ([user({"type": "text", "text": 3})], [], "field 'prompt': wrong part"),
        ([user("?"), {"role": "tool", "content": "4"}, user("?")], [], "field 'prompt': wrong turns"),
        ([user("?"), {"role": "assistant", "content": None, "tool_calls": [{}]}], [],
         "field 'prompt': a call of a tool"),
        ([user("?"), {"role": "system", "content": "Be brief."}], [], "field 'prompt': wrong turns"),
        ([user({"type": "image", "image": "https://x.org/a.png"}, text("?"))], [], "field 'prompt': a web address"),
        ("?", ["https://x.org/a.png"], "field 'images': a web address"),
        ("?", ["data:image/png;base64,%"], "field 'images': not a data URL"),
        ("?", ["a.png", None], "field 'images': missing"),
    ],
)  # fmt: skip
def test_images_that_match_no_marker(prompt: Any, images: Any, expected: str) -> None:
    assert reason(prompt, images=images) == expected


@pytest.mark.parametrize(
    ("columns", "expected"),
    [
        ({"chosen": [{"role": "assistant", "content": [IMAGE, text("A")]}]}, "field 'chosen': image in an answer"),
        ({"rejected": "In SVG <image>."}, "field 'rejected': image in an answer"),
        ({"system": "See <image>."}, "field 'system': image marker in text"),
        ({"system": 3}, "field 'system': wrong type"),
        ({"videos": ["a.mp4"]}, "field 'videos': not supported"),
        ({"image": "b.png", "images": ["a.png"]}, "fields 'image' and 'images': different"),
    ],
)
def test_columns_that_would_be_dropped(columns: dict[str, Any], expected: str) -> None:
    assert reason("?", **columns) == expected


def test_system_as_a_turn_or_a_column() -> None:
    turns = [{"role": "system", "content": "Be brief."}, user("What?")]
    for found in (read(turns), read("What?", system="Be brief."), read(turns, system="Be brief.")):
        assert (found.dialogue.system, found.dialogue.question, found.unused) == ("Be brief.", "What?", frozenset())
    assert read([{"role": "system", "content": ""}, user("What?")], system=None).dialogue.system == ""
    assert reason(turns, system="Be long.") == "field 'system': differs from the system turn"


def test_an_answer_as_an_object() -> None:
    answers = {name: {"role": "assistant", "content": words} for name, words in ANSWERS.items()}
    assert read("?", **answers) == read("?")
    assert read({"role": "user", "content": "?"}, **answers) == read("?")


@pytest.mark.parametrize("prompt", [None, "What?", " What?", [user("What?")]])
def test_whole_conversations_as_answers(prompt: Any) -> None:
    """TRL's implicit prompt, and the form of H4 with a prompt beside the conversations."""
    whole = {name: [user("What?"), {"role": "assistant", "content": words}] for name, words in ANSWERS.items()}
    assert read(prompt, **whole) == read("What?")


@pytest.mark.parametrize(
    ("prompt", "first", "expected"),
    [
        ("Who?", "What?", "field 'prompt': not in the other fields"),
        ([user("Who?")], "What?", "field 'prompt': not in the other fields"),
        (None, "Who?", "field 'chosen': wrong turns"),
    ],
)
def test_conversations_that_differ_before_the_answer(prompt: Any, first: str, expected: str) -> None:
    chosen = [user(first), {"role": "assistant", "content": "A"}]
    assert reason(prompt, chosen=chosen, rejected=[user("What?"), {"role": "assistant", "content": "B"}]) == expected


def test_a_data_url_holds_its_image() -> None:
    content = base64.b64encode(b"picture").decode()
    assert read("?", image=f"data:image/png;base64,{content}").dialogue.images == (b"picture",)
    assert read("?", image="file:///data/a%20b.png").dialogue.images == (str(Path("/data/a b.png")),)


WORDS = st.text("ab <\n", max_size=6).filter(lambda words: MARKER not in words)


@given(WORDS.map(str.strip), st.lists(st.integers(0, 6), max_size=3))
def test_markers_come_back(words: str, offsets: list[int]) -> None:
    places = tuple(sorted(min(offset, len(words)) for offset in offsets))
    (marked,) = join_markers([words], len(places), tuple(ImagePosition(0, place) for place in places))
    assert split_markers(marked) == (words, places)
