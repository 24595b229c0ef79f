"""SciGraphQA's rows become the first question about each figure."""

from pathlib import Path
from typing import Any

import pytest

from mmdpo.records import Prompt
from mmdpo.sources import tables
from mmdpo.sources.rows import BadRow
from mmdpo.sources.scigraphqa import COLUMNS, prompt
from tests.sources.files import as_parquet

ROW = {
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


def test_the_first_question(tmp_path: Path) -> None:
    other = {**ROW, "id": "b", "q_a_pairs": None}
    as_parquet(tmp_path / "a.parquet", [ROW, other])
    (_, first), (_, second) = tables.rows(tmp_path / "a.parquet", "x", COLUMNS)
    assert set(first) == COLUMNS
    assert prompt(first) == Prompt("1709.07871v2-3", "What falls?", "1709.07871v2-Figure3-1.png")
    with pytest.raises(BadRow, match="no question"):
        prompt(second)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
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
)
def test_wrong_rows(change: dict[str, Any], reason: str) -> None:
    with pytest.raises(BadRow) as error:
        prompt(ROW | change)
    assert error.value.reason == reason
