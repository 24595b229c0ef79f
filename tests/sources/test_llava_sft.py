"""LLaVA's conversations as prompts and as examples to learn, and examples written and read again."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from mmdpo.errors import UserError
from mmdpo.records import Prompt, SftExample, Turn
from mmdpo.sources import llava_sft, tables
from mmdpo.sources.conversations import MARKER
from mmdpo.sources.rows import BadRow


def said(*texts: str) -> list[dict[str, str]]:
    return [{"from": ("human", "gpt")[index % 2], "value": words} for index, words in enumerate(texts)]


ROW = {
    "id": "000000033471",
    "image": "coco/train2017/000000033471.jpg",
    "conversations": said("<image>\nWhat colours?", "White and red.", "Why?", "Paint."),
}
TEXT = st.text(min_size=1, max_size=20).filter(lambda words: words.strip() and MARKER not in words)
RATINGS = st.none() | st.dictionaries(st.text(min_size=1), st.integers(0, 4), min_size=1, max_size=5)
EXAMPLES = st.builds(
    SftExample,
    id=TEXT,
    question=TEXT,
    answer=TEXT,
    image=st.none() | TEXT,
    history=st.lists(st.builds(Turn, TEXT, TEXT), max_size=2).map(tuple),
    rating=RATINGS,
)


def test_the_first_turn_is_the_prompt() -> None:
    assert llava_sft.prompt(ROW) == Prompt("000000033471", "What colours?", ROW["image"])
    text = {"id": 5, "conversations": said("Who?", "Me.")}
    assert llava_sft.prompt(text) == Prompt("5", "Who?")


@pytest.mark.parametrize("words", ["<image>\nWhat?", "What?\n<image>", "<image> What?", "What? <image>", "What?"])
def test_the_marker_goes(words: str) -> None:
    row = {**ROW, "conversations": said(words, "That.")}
    assert llava_sft.prompt(row).question == "What?" == llava_sft.example(row).question


def test_what_the_model_says_first_is_left_out() -> None:
    row = {**ROW, "conversations": [{"from": "gpt", "value": "Hello."}, *ROW["conversations"]]}
    assert llava_sft.prompt(row) == llava_sft.prompt(ROW)


def test_the_last_answer_is_the_example() -> None:
    history = (Turn("What colours?", "White and red."),)
    assert llava_sft.example(ROW) == SftExample(ROW["id"], "Why?", "Paint.", ROW["image"], history)


WRONG: list[tuple[dict[str, Any], str]] = [
    ({"image": None}, "field 'conversations': image marker without image"),
    ({"image": ["a.png", "b.png"]}, "field 'image': 2 images"),
    ({"image": 3}, "field 'image': wrong type"),
    ({"id": None}, "field 'id': missing"),
    ({"conversations": said("<image>\n<image>\nCompare.", "x")}, "field 'conversations': 2 image markers"),
    ({"conversations": said("<image> a", "b", "<image> c", "d")}, "field 'conversations': 2 image markers"),
    ({"conversations": said("a", "b", "<image> c", "d")}, "field 'conversations': misplaced image marker"),
    ({"conversations": None}, "field 'conversations': missing"),
    ({"conversations": "x"}, "field 'conversations': wrong type"),
    ({"conversations": []}, "field 'conversations': wrong turns"),
    ({"conversations": said("a")[:0] + said("x", "y")[1:]}, "field 'conversations': wrong turns"),
    ({"conversations": said("a")[:1] * 2}, "field 'conversations': wrong turns"),
    ({"conversations": [{"from": "system", "value": "x"}]}, "field 'conversations': wrong turns"),
    ({"conversations": [{"from": "human", "value": None}]}, "field 'conversations': wrong type"),
    ({"conversations": said("<image>\n", "x")}, "field 'conversations': empty"),
]


@pytest.mark.parametrize(("change", "reason"), WRONG)
def test_wrong_rows(change: dict[str, Any], reason: str) -> None:
    for read in (llava_sft.prompt, llava_sft.example):
        with pytest.raises(BadRow) as error:
            read(ROW | change)
        assert error.value.reason == reason


def test_wrong_examples() -> None:
    assert llava_sft.prompt({**ROW, "conversations": said("a", "")}).question == "a"
    for change, reason in [
        ({"conversations": said("a", "")}, "field 'conversations': empty"),
        ({"conversations": said("a", "b", "c")}, "field 'conversations': wrong turns"),
        ({"rating": {"helpfulness": "3"}}, "field 'rating': wrong type"),
    ]:
        with pytest.raises(BadRow) as error:
            llava_sft.example(ROW | change)
        assert error.value.reason == reason


@pytest.mark.parametrize("suffix", ["json", "jsonl"])
@given(examples=st.lists(EXAMPLES, max_size=3))
def test_written_examples_come_back(
    tmp_path_factory: pytest.TempPathFactory, suffix: str, examples: list[SftExample]
) -> None:
    path = tmp_path_factory.mktemp("sft") / f"a.{suffix}"
    assert llava_sft.write(iter(examples), path) == len(examples)
    assert [llava_sft.example(row) for _, row in tables.rows(path, "x")] == examples


@pytest.mark.parametrize("field", ["question", "answer"])
def test_a_text_with_a_marker_is_not_written(tmp_path: Path, field: str) -> None:
    one = SftExample("a7", **({"question": "q", "answer": "a"} | {field: "say <image>"}))
    with pytest.raises(UserError, match="'a7': its text holds <image>"):
        llava_sft.write([one], tmp_path / "a.json")
    assert not any(tmp_path.iterdir())


def test_a_file_of_answers_is_learnt_by_sft(tmp_path: Path) -> None:
    from mmdpo.entry.compose import compose_config
    from mmdpo.pipeline.training_sets import training_set

    turns = [{"from": "human", "value": "<image>\nWhat is it?"}, {"from": "gpt", "value": "A square."}]
    Image.new("RGB", (8, 8)).save(tmp_path / "a.png")
    rows = [{"id": "1", "image": "a.png", "conversations": turns}] * 2  # LLaVA's ids name photographs
    rows.append({"id": "2", "image": "gone.png", "conversations": turns})
    (tmp_path / "llava.json").write_text(json.dumps(rows))
    line = ["data=llava_sft", "method=sft", f"data.path={tmp_path / 'llava.json'}"]
    with pytest.raises(UserError, match="row 3: .*image"):
        training_set(compose_config([*line, f"data.image_root={tmp_path}"]))
    found = training_set(compose_config([*line, f"data.image_root={tmp_path}", "data.on_bad_row=drop"]))
    assert [(one.id, one.answer) for one in found.examples] == [("1", "A square."), ("1-2", "A square.")]
    assert found.counts["rows"] == 3
