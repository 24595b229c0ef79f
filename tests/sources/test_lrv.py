"""LRV-Instruction's rows become prompts whose id comes from image and question."""

import json
from typing import Any

import pytest

from mmdpo.sources.lrv import prompt
from mmdpo.sources.rows import BadRow

ROW = {"image_id": "2345467", "question": "Is there a dog?", "answer": "No.", "task": "existence"}


def test_a_row() -> None:
    one = prompt(json.dumps(ROW).encode())
    assert (one.question, one.image, one.category) == ("Is there a dog?", "2345467.jpg", "existence")
    assert prompt({**ROW, "image_id": 2345467, "answer": "Yes."}) == one
    assert prompt({**ROW, "task": None}).category == ""


def test_ids_differ_by_image_and_question() -> None:
    rows = [ROW, {**ROW, "image_id": "1"}, {**ROW, "question": "A cat?"}]
    assert len({prompt(row).id for row in rows}) == 3


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"question": ""}, "field 'question': empty"),
        ({"question": None}, "field 'question': missing"),
        ({"image_id": None}, "field 'image_id': missing"),
        ({"image_id": ["a"]}, "field 'image_id': wrong type"),
        ({"task": 3}, "field 'task': wrong type"),
    ],
)
def test_wrong_rows(change: dict[str, Any], reason: str) -> None:
    with pytest.raises(BadRow) as error:
        prompt(ROW | change)
    assert error.value.reason == reason
