"""Tables of answers."""

import json
from pathlib import Path

import pytest

from mmdpo.analysis.page.stored_samples import StoredSamples
from mmdpo.analysis.study import read_study
from mmdpo.dashboard.answers import answer_table, base_row
from tests.support.studies import make_study


def test_an_item_without_a_score_has_no_difference(tmp_path: Path) -> None:
    study = make_study(tmp_path / "nano", [{}], n=3)
    (point,) = study.glob("dpo-*")
    path = point / "judgments" / "text.jsonl"
    judged = [json.loads(line) for line in path.read_text().splitlines()]
    judged[0]["score"] = None
    judged[1] |= {"reason": "", "replies": ["Rating: [[7]]"]}
    judged[2]["reason"] = "Correct."
    path.write_text("".join(json.dumps(line) + "\n" for line in judged))
    read = read_study(study)
    row = read.trained[0]
    headings, rows = answer_table(row, base_row(read, row), "text", StoredSamples(study / "report"))
    assert "reference" not in headings  # the samples of a made-up study are nowhere
    cells = [dict(zip(headings, one, strict=True)) for one in rows]
    assert (cells[0]["score"], cells[0]["difference"]) == (None, None)
    assert cells[0]["base_score"] is not None
    assert [one["judge"] for one in cells] == ["", "Rating: [[7]]", "Correct."]
    assert base_row(read, read.rows[0]) is None


def test_the_reference_answer_of_an_item_stands_beside_its_answer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    study = make_study(tmp_path / "nano", [], n=2)
    monkeypatch.setattr(StoredSamples, "of", lambda *_: {"text-1": {"reference": "left"}})
    row = read_study(study).rows[0]
    headings, rows = answer_table(row, None, "text", StoredSamples(study / "report"))
    assert [dict(zip(headings, one, strict=True))["reference"] for one in rows] == ["", "left"]
