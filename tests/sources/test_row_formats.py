"""Formats that convert one row at a time: LRV-Instruction, SciGraphQA and LLaVA's conversations."""

import json
from pathlib import Path
from typing import Any

import pytest

from mmdpo.records import Prompt, SftExample, Turn
from mmdpo.sources import llava_sft, lrv, scigraphqa, tables
from mmdpo.sources.bad_rows import BadRow
from mmdpo.sources.formats import Format
from tests.sources.files import as_parquet


def said(*texts: str) -> list[dict[str, str]]:
    return [{"from": ("human", "gpt")[index % 2], "value": words} for index, words in enumerate(texts)]


def convert(form: Format[Any], *rows: Any) -> list[Any]:
    """Convert rows by a format; they are numbered from 1."""
    items = list(form.convert(iter(enumerate(rows, 1)), 0))
    assert [number for number, _ in items] == list(range(1, len(rows) + 1))
    return [item for _, item in items]


LRV = {"image_id": "2345467", "question": "Is there a dog?", "answer": "No.", "task": "existence"}
SCIGRAPHQA = {
    "image_file": "1709.07871v2-Figure3-1.png",
    "id": "1709.07871v2-3",
    "caption": "Loss over time.",
    "conversations": [{"from": "human", "value": "<image>\nWhat falls?"}, {"from": "gpt", "value": "Loss."}],
    "first_mention": None,
    "response": "…",
    "title": "A title",
    "abstract": "An abstract",
    "q_a_pairs": [["What falls?", "The loss."], ["How fast?", "Slowly."]],
}
LLAVA = {
    "id": "000000033471",
    "image": "coco/train2017/000000033471.jpg",
    "conversations": said("<image>\nWhat colours?", "White and red.", "Why?", "Paint."),
}
FORMATS: dict[str, tuple[Format[Any], dict[str, Any], Any]] = {
    "lrv": (lrv.PROMPTS, LRV, ("Is there a dog?", "2345467.jpg")),
    "scigraphqa": (scigraphqa.PROMPTS, SCIGRAPHQA, ("What falls?", "1709.07871v2-Figure3-1.png")),
    "llava_sft prompts": (llava_sft.PROMPTS, LLAVA, ("What colours?", LLAVA["image"])),
    "llava_sft examples": (llava_sft.EXAMPLES, LLAVA, ("Why?", LLAVA["image"])),
}
CONVERSATIONS: list[tuple[dict[str, Any], str]] = [
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
    ({"conversations": said("x", "y")[1:]}, "field 'conversations': wrong turns"),
    ({"conversations": said("a") * 2}, "field 'conversations': wrong turns"),
    ({"conversations": [{"from": "system", "value": "x"}]}, "field 'conversations': wrong turns"),
    ({"conversations": [{"from": "human", "value": None}]}, "field 'conversations': wrong type"),
    ({"conversations": said("<image>\n", "x")}, "field 'conversations': empty"),
]
WRONG: dict[str, list[tuple[dict[str, Any], str]]] = {
    "lrv": [
        ({"question": ""}, "field 'question': empty"),
        ({"question": None}, "field 'question': missing"),
        ({"image_id": None}, "field 'image_id': missing"),
        ({"image_id": ["a"]}, "field 'image_id': wrong type"),
        ({"task": 3}, "field 'task': wrong type"),
    ],
    "scigraphqa": [
        ({"q_a_pairs": None}, "no question"),
        ({"q_a_pairs": []}, "no question"),
        ({"q_a_pairs": "What?"}, "field 'q_a_pairs': wrong type"),
        ({"q_a_pairs": ["What?"]}, "field 'q_a_pairs': wrong type"),
        ({"q_a_pairs": [[]]}, "field 'q_a_pairs': wrong type"),
        ({"q_a_pairs": [[None, "x"]]}, "field 'q_a_pairs': missing"),
        ({"q_a_pairs": [["  ", "x"]]}, "field 'q_a_pairs': empty"),
        ({"image_file": None}, "field 'image_file': missing"),
        ({"id": None}, "field 'id': missing"),
    ],
    "llava_sft prompts": CONVERSATIONS,
    "llava_sft examples": [
        *CONVERSATIONS,
        ({"conversations": said("a", "")}, "field 'conversations': empty"),
        ({"conversations": said("a", "b", "c")}, "field 'conversations': wrong turns"),
        ({"rating": {"helpfulness": "3"}}, "field 'rating': wrong type"),
    ],
}


@pytest.mark.parametrize("name", FORMATS)
def test_a_row_decoded_or_as_a_line(name: str) -> None:
    form, row, (question, image) = FORMATS[name]
    decoded, line, reduced = convert(
        form, row, json.dumps(row).encode(), {column: row.get(column) for column in form.columns}
    )
    assert (decoded.question, decoded.images[0]) == (question, image)
    assert decoded == line == reduced  # no column is read that the format does not list


@pytest.mark.parametrize("name", FORMATS)
def test_wrong_rows_keep_their_numbers(name: str) -> None:
    form, row, _ = FORMATS[name]
    changes, reasons = zip(*WRONG[name], strict=True)
    *bad, no_json, no_object, good = convert(form, *(row | change for change in changes), b"{", [1], row)
    assert [item.reason for item in bad] == list(reasons)
    assert (no_json.reason, no_object.reason) == ("not JSON", "not an object")
    assert not isinstance(good, BadRow)


def test_lrv_ids_depend_on_image_and_question() -> None:
    rows = [LRV, {**LRV, "image_id": 2345467, "answer": "Yes."}, {**LRV, "image_id": "1"}, {**LRV, "question": "A?"}]
    first, same, *others = convert(lrv.PROMPTS, *rows)
    assert first == same
    assert first.category == "existence"
    assert len({first.id, *(prompt.id for prompt in others)}) == 3
    assert convert(lrv.PROMPTS, {**LRV, "task": None})[0].category == ""


def test_only_the_columns_of_scigraphqa_are_loaded(tmp_path: Path) -> None:
    as_parquet(tmp_path / "a.parquet", [SCIGRAPHQA, {**SCIGRAPHQA, "id": "b", "q_a_pairs": None}])
    rows = [row for _, row in tables.rows(tmp_path / "a.parquet", "x", scigraphqa.PROMPTS.columns)]
    assert set(rows[0]) == scigraphqa.PROMPTS.columns
    prompt, bad = convert(scigraphqa.PROMPTS, *rows)
    assert prompt == Prompt("1709.07871v2-3", "What falls?", ("1709.07871v2-Figure3-1.png",))
    assert bad.reason == "no question"


def test_the_first_turn_of_a_conversation_is_the_prompt() -> None:
    text = {"id": 5, "conversations": said("Who?", "Me.")}
    empty_answer = {**LLAVA, "conversations": said("a", "")}
    prompts = convert(llava_sft.PROMPTS, LLAVA, text, empty_answer)
    assert prompts[:2] == [Prompt("000000033471", "What colours?", (LLAVA["image"],)), Prompt("5", "Who?")]
    assert prompts[2].question == "a"


@pytest.mark.parametrize("words", ["<image>\nWhat?", "What?\n<image>", "<image> What?", "What? <image>", "What?"])
def test_the_marker_is_removed(words: str) -> None:
    row = {**LLAVA, "conversations": said(words, "That.")}
    for form in (llava_sft.PROMPTS, llava_sft.EXAMPLES):
        assert convert(form, row)[0].question == "What?"


def test_turns_of_the_model_before_the_first_question_are_left_out() -> None:
    row = {**LLAVA, "conversations": [{"from": "gpt", "value": "Hello."}, *LLAVA["conversations"]]}
    for form in (llava_sft.PROMPTS, llava_sft.EXAMPLES):
        assert convert(form, row) == convert(form, LLAVA)


def test_the_last_answer_is_the_example() -> None:
    history = (Turn("What colours?", "White and red."),)
    (example,) = convert(llava_sft.EXAMPLES, LLAVA)
    assert example == SftExample(LLAVA["id"], "Why?", "Paint.", (LLAVA["image"],), history)
