"""The miniature's world, its pictures, its questions and its splits."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmdpo.nano import items as heldout
from mmdpo.nano.draw import SIZE, blank_image, draw
from mmdpo.nano.splits import SHARES, content, draw_prompt, draw_view, split_of
from mmdpo.nano.text import TASKS, instruct
from mmdpo.nano.visual import ask, briefly
from mmdpo.nano.words import PLURALS, a, attribute_sentence, listed
from mmdpo.nano.world import Bar, Chart, Scene, Thing, random_view
from mmdpo.nano_models.conversations import DataMix, image_row, text_row


@given(st.integers(0, 2**32))
def test_drawing_is_deterministic_and_tells_views_apart(seed: int) -> None:
    one, two = random_view(Random(seed)), random_view(Random(seed + 1))
    assert draw(one).tobytes() == draw(one).tobytes()
    assert draw(one).size == blank_image(seed).size == (SIZE, SIZE)
    assert (draw(one).tobytes() == draw(two).tobytes()) == (str(one) == str(two))
    assert blank_image(seed).tobytes() == blank_image(seed).tobytes()


def test_a_thing_is_drawn_in_its_cell() -> None:
    image = draw(Scene((Thing("red", "square", 5),)))  # B2: second row, second column
    red, green, blue = image.getpixel((18, 18))
    assert red > 180 and green < 90 and blue < 90
    assert image.getpixel((18, 30)) == image.getpixel((40, 40)) == (245, 245, 240)


def test_a_bar_is_as_high_as_its_value() -> None:
    image = draw(Chart((Bar("blue", 4),)))
    column = [image.getpixel((6, row))[2] > 180 and image.getpixel((6, row))[0] < 90 for row in range(SIZE)]
    assert column == [False] * 24 + [True] * 23 + [False]  # the last row is the axis


@pytest.mark.parametrize(
    ("kind", "question", "full"),
    [
        ("where", "Where is the red star?", "The red star is in B2."),
        ("count", "How many stars are there?", "There is 1 star."),
        ("describe", "Describe the image.", "There is a red star in B2."),
    ],
)
def test_questions_about_a_scene(kind: str, question: str, full: str) -> None:
    scene = Scene((Thing("red", "star", 5),))
    asked = {prompt.question: prompt.facts["full"] for prompt in (ask(scene, Random(n), kind) for n in range(40))}
    assert asked[question] == full


@pytest.mark.parametrize(
    ("kind", "short"),
    [("rank", "blue, red, green"), ("trend", "mixed"), ("bars", "red, blue, green")],
)
def test_questions_about_a_chart(kind: str, short: str) -> None:
    chart = Chart((Bar("red", 4), Bar("blue", 2), Bar("green", 7)))
    assert ask(chart, Random(0), kind).facts["short"] == short


def test_a_kind_that_does_not_fit_is_refused() -> None:
    with pytest.raises(ValueError, match="rank"):
        ask(Chart((Bar("red", 4), Bar("blue", 4))), Random(0), "rank")


def test_splits_have_their_shares() -> None:
    counts = Counter(split_of(f"view {number}") for number in range(5000))
    assert {split: round(counts[split] / 5000, 1) for split in SHARES} == {
        split: round(share, 1) for split, share in SHARES.items()
    }


@given(st.integers(0, 2**32), st.sampled_from(sorted(SHARES)))
def test_a_drawn_question_is_of_its_split(seed: int, split: str) -> None:
    rng = Random(seed)
    prompt = draw_prompt(split, rng, instruct)
    assert split_of(content(prompt)) == split
    assert split_of(content(briefly(prompt))) == split  # the marker does not move a question
    view = draw_view(split, rng)
    assert split_of(content(ask(view, rng))) == split


def test_no_held_out_question_trained_a_model(tmp_path: Path) -> None:
    parts = {
        split: {content(prompt) for prompt in heldout.text_items(160, split, 0)}
        | {content(prompt) for prompt in heldout.visual_items(160, split, 0, tmp_path)}
        | {content(prompt) for prompt in heldout.presence_items(60, split, 0, tmp_path)}
        for split in SHARES
    }
    for one in SHARES:
        for two in SHARES:
            assert one == two or not parts[one] & parts[two]


def test_training_rows_are_of_the_base_split(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    real = split_of

    def watched(text: str) -> str:
        asked.append(text)
        return real(text)

    monkeypatch.setattr("mmdpo.nano.splits.split_of", watched)
    rng = Random(0)
    for _ in range(20):
        asked.clear()
        image_row(DataMix(1, 1, 3), rng)
        assert [real(text) for text in asked][-1] == "base"
        assert {real(text) for text in asked[:-1]}.isdisjoint({"base"})
        asked.clear()
        text_row(DataMix(1, 1, 3), rng)
        assert asked and real(asked[-1]) == "base"


@pytest.mark.parametrize("task", TASKS)
def test_text_tasks_are_too_many_to_learn_by_heart(task: tuple[str, str]) -> None:
    rng = Random(0)
    different = {content(instruct(rng, *task)) for _ in range(2000)}
    assert len(different) > 1300  # the smallest space, far reasoning, has 2,688


def test_benchmarks_are_balanced_and_equal_twice(tmp_path: Path) -> None:
    folders = tmp_path / "one", tmp_path / "two"
    for make in (heldout.visual_items, heldout.presence_items, heldout.noisy_text_items):
        one, two = (make(40, "dev", 3, folder) for folder in folders)
        assert one == two
        assert len({prompt.id for prompt in one}) == 40
        for prompt in one:
            assert prompt.image is not None
            assert (folders[0] / prompt.image).read_bytes() == (folders[1] / prompt.image).read_bytes()
    texts = heldout.text_items(160, "test", 0)
    assert set(Counter((item.category, item.facts["distance"]) for item in texts).values()) == {10}
    answers = Counter(item.facts["answer"][0] for item in heldout.presence_items(40, "test", 0, tmp_path))
    assert answers == {"yes": 20, "no": 20}


def test_an_unknown_split_is_refused() -> None:
    with pytest.raises(ValueError, match="base, preference, dev, test"):
        heldout.text_items(1, "train", 0)


def test_the_language() -> None:
    assert a("orange star") == "an orange star" and a("red star") == "a red star"
    assert [listed(items) for items in (["x"], ["x", "y"], ["x", "y", "z"])] == ["x", "x and y", "x, y and z"]
    assert PLURALS["cross"] == "crosses"
    expected = "helpfulness 4 correctness 3 coherence 2 complexity 1 verbosity 0."
    assert attribute_sentence((4, 3, 2, 1, 0)) == expected
