"""The miniature's world, its pictures, its questions and its splits."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmdpo.files import fingerprint
from mmdpo.nano import DATA_VERSION, items
from mmdpo.nano.draw import SIZE, blank_image, draw
from mmdpo.nano.splits import SHARES, content, draw_prompt, draw_view, split_of
from mmdpo.nano.text import TASKS, instruct
from mmdpo.nano.visual import ask, briefly
from mmdpo.nano.words import PLURALS, attribute_sentence, join_words, with_article
from mmdpo.nano.world import Bar, Chart, Scene, Thing, random_view
from tests.nano.test_version import content as first_form


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
    assert red > 180
    assert green < 90
    assert blue < 90
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
        split: {content(prompt) for prompt in items.text_items(160, split, 0)}
        | {content(prompt) for prompt in items.visual_items(160, split, 0, tmp_path)}
        | {content(prompt) for prompt in items.presence_items(60, split, 0, tmp_path)}
        for split in SHARES
    }
    for one in SHARES:
        for two in SHARES:
            assert one == two or not parts[one] & parts[two]


@pytest.mark.parametrize("task", TASKS)
def test_text_tasks_are_too_many_to_learn_by_heart(task: tuple[str, str]) -> None:
    rng = Random(0)
    different = {content(instruct(rng, *task)) for _ in range(2000)}
    assert len(different) > 1300  # the smallest space, far reasoning, has 2,688


def test_benchmarks_are_balanced_and_equal_twice(tmp_path: Path) -> None:
    folders = tmp_path / "one", tmp_path / "two"
    for make in (items.visual_items, items.presence_items, items.noisy_text_items):
        one, two = (make(40, "dev", 3, folder) for folder in folders)
        assert one == two
        assert len({prompt.id for prompt in one}) == 40
        for prompt in one:
            (image,) = prompt.images
            assert (folders[0] / image).read_bytes() == (folders[1] / image).read_bytes()
    texts = items.text_items(160, "test", 0)
    assert set(Counter((item.category, item.facts["distance"]) for item in texts).values()) == {10}
    answers = Counter(item.facts["answer"][0] for item in items.presence_items(40, "test", 0, tmp_path))
    assert answers == {"yes": 20, "no": 20}


def test_an_unknown_split_is_refused() -> None:
    with pytest.raises(ValueError, match="base, preference, dev, test"):
        items.text_items(1, "train", 0)


def test_the_language() -> None:
    assert with_article("orange star") == "an orange star"
    assert with_article("red star") == "a red star"
    assert [join_words(words) for words in (["x"], ["x", "y"], ["x", "y", "z"])] == ["x", "x and y", "x, y and z"]
    assert PLURALS["cross"] == "crosses"
    expected = "helpfulness 4 correctness 3 coherence 2 complexity 1 verbosity 0."
    assert attribute_sentence((4, 3, 2, 1, 0)) == expected


def test_changed_data_have_another_version(tmp_path: Path) -> None:
    """DATA_VERSION names the generated data in caches and identities: raise it and adapt the digest together."""
    made = {
        split: [
            *items.text_items(64, split, 3),
            *items.noisy_text_items(8, split, 3, tmp_path),
            *items.visual_items(72, split, 3, tmp_path),
            *items.preference_items(72, split, 3, tmp_path),
            *items.presence_items(16, split, 3, tmp_path),
        ]
        for split in ("preference", "dev", "test")
    }
    lines = {
        split: [json.dumps(first_form(item), ensure_ascii=False, sort_keys=True) for item in prompts]
        for split, prompts in made.items()
    }
    digest = fingerprint(lines)
    assert (DATA_VERSION, digest) == (1, "22b7e81e01efc6e3")
