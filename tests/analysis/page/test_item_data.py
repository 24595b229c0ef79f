"""Data files of the item browser."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from mmdpo.analysis.page import item_data
from mmdpo.analysis.page.item_data import write_task
from mmdpo.analysis.page.stored_samples import StoredSamples
from mmdpo.analysis.study import read_study
from tests.support.studies import make_point, write_answers


def read(path: Path) -> Any:
    """Return the data of a file, which must be a single call."""
    return json.loads(re.fullmatch(r'receive\("([^"]+)",(.*)\);\n', path.read_text(), re.S)[2])


def test_points_are_written_in_pieces_with_an_index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(item_data, "PIECE", 2)
    base = make_point(tmp_path / "s", {"data_scale": 0.0}, role="base", n=1)
    point = make_point(tmp_path / "s", {}, n=1)

    def item(number: int, score: float | None, answer: str = "red", **more: Any) -> dict[str, Any]:
        return {"id": f"i{number}", "question": f"Q{number}", "answer": answer, "score": score, **more}

    write_answers(base, "text", [item(0, 0.0, groups={"": ["rec", "ocr"]}), item(1, None, reason="refused")])
    later = [item(1, 2.0), item(0, 1.0, "blue", replies=["Rating: 1"]), item(2, 3.0, category="math")]
    write_answers(point, "text", later)
    rows = read_study(tmp_path / "s").rows
    about, files = write_task("text", 0, rows, StoredSamples(tmp_path))
    assert (about["items"], about["sign"], about["samples"]) == (3, 1, "unknown")
    data = tmp_path / "data"
    assert {path.name for path in data.iterdir()} == files
    index = read(data / "0-text-index.js")
    assert index["ids"] == ["i0", "i1", "i2"]
    assert index["scores"] == [[0.0, None, None], [1.0, 2.0, 3.0]]
    assert index["answers"] == [[0, 0, None], [1, 0, 0]]
    assert index["groups"] == [
        {"kind": "", "names": ["rec", "ocr"], "of": [[0, 1], [], []]},
        {"kind": "category", "names": ["math"], "of": [[], [], [0]]},
    ]
    first, second = read(data / "0-text-0-p0.js")
    assert first == {"answer": "red", "score": 0.0, "judged": True}  # a score of 0 is a score
    assert second == {"answer": "red", "judged": True, "reason": "refused"}
    assert read(data / "0-text-0-p1.js")[0]["replies"] == ["Rating: 1"]
    assert read(data / "0-text-1.js") == [{"question": "Q2"}]
    assert read(data / "0-text-1-p1.js")[0]["score"] == 3.0
