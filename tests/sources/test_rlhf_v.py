"""RLHF-V's and RLAIF-V's parquet rows, with the images inside."""

import io
import json
from pathlib import Path
from typing import Any

import pytest

from mmdpo.config.choices import OnBadRow
from mmdpo.errors import UserError
from mmdpo.images import open_image
from mmdpo.sources.pair_reader import ReadPairs, read_pairs
from tests.sources.files import as_parquet, tear
from tests.sources.photographs import photograph

TEXTS = {"question": "What is it?", "chosen": "A cup.", "rejected": "A dog."}


def image(name: str = "coffee.png") -> dict[str, Any]:
    buffer = io.BytesIO()
    photograph(name, 32).convert("RGB").save(buffer, "JPEG")
    return {"bytes": buffer.getvalue(), "path": "a.jpg"}


def read(path: Path, on: OnBadRow = OnBadRow.error) -> ReadPairs:
    return read_pairs(path, None, on, path.parent / "embedded", "rlhf_v")


def test_texts_as_json(tmp_path: Path) -> None:
    rows = [{"ds_name": "RLHF-V", "image": image(), "text": json.dumps(TEXTS), "idx": 0, "image_path": "a.jpg"}]
    result = read(as_parquet(tmp_path / "a.parquet", rows))
    (pair,) = result.pairs
    assert (pair.id, pair.question, pair.chosen, pair.rejected) == ("0", *TEXTS.values())
    assert open_image(result.image_root / pair.images[0]).size[0] == 32


def test_texts_in_columns(tmp_path: Path) -> None:
    rows = [{**TEXTS, "image": image(), "ds_question_id": "q1"}, {**TEXTS, "image": image("china.jpg")}]
    first, second = read(as_parquet(tmp_path / "a.parquet", rows)).pairs
    assert first.id == "q1"
    assert len(second.id) == 16
    assert first.images != second.images


def test_a_folder_of_files(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    folder.mkdir()
    for index in (1, 2):
        as_parquet(folder / f"part-{index}.parquet", [{**TEXTS, "image": image(), "idx": index}])
    as_parquet(folder / "part-3.parquet", [{**TEXTS, "image": image(), "idx": 1}])
    as_parquet(folder / "part-4.parquet", [{**TEXTS, "image": image(), "idx": 1, "chosen": "Tea."}])
    result = read(folder, OnBadRow.drop)
    assert [pair.id for pair in result.pairs] == ["1", "2", "1-4"]
    assert result.image_root == tmp_path / "embedded"
    (stored,) = result.image_root.iterdir()
    content = stored.read_bytes()
    stored.write_bytes(content[:-9])  # torn after it was written
    read(folder, OnBadRow.drop)
    assert stored.read_bytes() == content
    with pytest.raises(UserError, match=r"part-3\.parquet row 1: .*those of part-1\.parquet row 1"):
        read(folder)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"text": "{"}, "field 'text': not JSON"),
        ({"text": "[]"}, "field 'text': not an object"),
        ({"text": json.dumps({**TEXTS, "chosen": ""})}, "field 'chosen': empty"),
        ({"text": json.dumps({"chosen": "a"})}, "field 'prompt': missing"),
        ({"image": {"bytes": b"not an image", "path": None}}, "field 'image': not usable"),
    ],
)
def test_wrong_rows(tmp_path: Path, change: dict[str, Any], reason: str) -> None:
    row = {"image": image(), "text": json.dumps(TEXTS), "idx": 1}
    path = as_parquet(tmp_path / "a.parquet", [row, {**row, "idx": 2} | change])
    with pytest.raises(UserError) as error:
        read(path)
    assert f"a.parquet row 2: {reason}" in str(error.value)
    assert read(path, OnBadRow.drop).dropped == {reason: 1}


def test_torn(tmp_path: Path) -> None:
    path = as_parquet(tmp_path / "a.parquet", [{**TEXTS, "idx": 1}])
    tear(path)
    with pytest.raises(UserError, match=r"data\.path=.*not a parquet file"):
        read(path)


def test_an_unknown_format_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"data\.format=x: .*allowed are authors, .*pairs"):
        read_pairs(tmp_path, None, OnBadRow.error, tmp_path, "x")
