"""LLaVA-RLHF's rows: an output in the place of the model's last turn, the preferred one chosen."""

from pathlib import Path
from typing import Any

import pytest

from mmdpo.config.choices import OnBadRow
from mmdpo.errors import UserError
from mmdpo.records import Turn
from mmdpo.sources.pair_reader import ReadPairs, read_pairs
from tests.sources.files import as_list, photos

ROW = {
    "id": "000000438374",
    "image": "000000438374.jpg",
    "conversations": [
        {"from": "human", "value": "<image>\nWhat is it?"},
        {"from": "gpt", "value": "A table."},
        {"from": "human", "value": "What is on it?"},
        {"from": "gpt", "value": "to be replaced"},
    ],
    "output_1": {"from": "llava", "value": "A cup."},
    "output_2": {"from": "llava", "value": "A dog."},
    "preference": 1,
    "hallucination": False,
    "flip": False,
    "length_bias": False,
}


def read(tmp_path: Path, *rows: dict[str, Any], on: OnBadRow = OnBadRow.error) -> ReadPairs:
    root = photos(tmp_path / "train2017", "000000438374.jpg")
    path = as_list(tmp_path / "a.json", list(rows))
    return read_pairs(path, root, on, tmp_path / "embedded", "llava_rlhf")


@pytest.mark.parametrize(("preference", "order"), [(1, ("A cup.", "A dog.")), (2, ("A dog.", "A cup."))])
def test_the_preferred_output_is_chosen(tmp_path: Path, preference: int, order: tuple[str, str]) -> None:
    (pair,) = read(tmp_path, {**ROW, "preference": preference}).pairs
    assert (pair.chosen, pair.rejected) == order
    assert (pair.question, pair.history) == ("What is on it?", (Turn("What is it?", "A table."),))
    assert pair.images == ("000000438374.jpg",)
    assert pair.id.startswith("000000438374-")


def test_a_conversation_may_end_with_the_human(tmp_path: Path) -> None:
    assert read(tmp_path, {**ROW, "conversations": ROW["conversations"][:3]}).pairs == read(tmp_path, ROW).pairs


def test_a_photograph_has_many_pairs_but_none_twice(tmp_path: Path) -> None:
    other = {**ROW, "output_2": {"from": "llava", "value": "A cat."}}
    assert len(read(tmp_path, ROW, other).pairs) == 2
    result = read(tmp_path, ROW, other, ROW, on=OnBadRow.drop)
    assert (len(result.pairs), result.dropped) == (2, {"field 'id': duplicate": 1})


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"preference": 0}, "field 'preference': not 1 or 2; it is 0"),
        ({"preference": True}, "field 'preference': not 1 or 2"),
        ({"preference": "1"}, "field 'preference': not 1 or 2"),
        ({"output_1": None}, "field 'output_1': missing"),
        ({"output_2": ["x"]}, "field 'output_2': wrong type"),
        ({"output_2": ROW["output_1"]}, "field 'rejected': equal to 'chosen'"),
        ({"conversations": []}, "field 'conversations': wrong turns"),
        ({"image": None}, "field 'conversations': image marker without image"),
        ({"image": "1.jpg"}, "field 'image': no such file; image '1.jpg': no such file"),
    ],
)
def test_wrong_rows(tmp_path: Path, change: dict[str, Any], reason: str) -> None:
    with pytest.raises(UserError) as error:
        read(tmp_path, ROW, ROW | change)
    assert f"a.json row 2: {reason}" in str(error.value)
