"""The user's own pairs: every form that is read, and every wrong row named by number and field."""

import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mmdpo.config.choices import OnBadRow
from mmdpo.errors import UserError
from mmdpo.images import open_image
from mmdpo.records import Turn
from mmdpo.sources.pair_reader import ReadPairs, pair_image_names, read_pairs
from tests.sources.photographs import photograph

GOOD = {"prompt": "What is on the table?", "chosen": "A cup of coffee.", "rejected": "A dog."}


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """A folder of photographs in the forms that users have."""
    root = tmp_path / "photos"
    root.mkdir()
    coffee = photograph("coffee.png").convert("RGB")
    coffee.save(root / "coffee.png")
    coffee.save(root / "coffee.jpg")
    coffee.convert("CMYK").save(root / "print.jpg")
    photograph("camera.png").convert("L").save(root / "grey.png")
    photograph("astronaut.png").convert("RGBA").save(root / "clear.png")
    photograph("china.jpg").save(
        root / "phone.jpg", exif=b"Exif\0\0MM\0*\0\0\0\x08\0\1\1\x12\0\3\0\0\0\1\0\6\0\0\0\0\0\0"
    )
    (root / "torn.jpg").write_bytes((root / "coffee.jpg").read_bytes()[:900])
    return root


def lines(path: Path, *rows: Any) -> Path:
    path.write_text("".join((row if isinstance(row, str) else json.dumps(row)) + "\n" for row in rows), "utf-8")
    return path


def read(path: Path, root: Path | None = None, on: OnBadRow = OnBadRow.error) -> ReadPairs:
    return read_pairs(path, root, on, path.parent / "embedded")


def complaint(path: Path, root: Path | None = None, on: OnBadRow = OnBadRow.error) -> str:
    with pytest.raises(UserError) as error:
        read(path, root, on)
    return str(error.value)


def as_parquet(path: Path, rows: list[dict[str, Any]]) -> Path:
    pq.write_table(pa.Table.from_pylist(rows), path)
    return path


WRITERS: dict[str, Callable[[Path, list[dict[str, Any]]], object]] = {
    "jsonl": lambda path, rows: lines(path, *rows),
    "json": lambda path, rows: path.write_text(json.dumps(rows), "utf-8"),
    "parquet": as_parquet,
}


@pytest.mark.parametrize("suffix", WRITERS)
def test_three_kinds_of_file_give_the_same_pairs(tmp_path: Path, photos: Path, suffix: str) -> None:
    names = ["coffee.png", "coffee.jpg", "print.jpg", "grey.png", "clear.png", "phone.jpg", None]
    rows = [
        {**GOOD, "image": name, "id": f"row{index}" if index else None, "source": "me"}
        for index, name in enumerate(names)
    ]
    WRITERS[suffix](tmp_path / f"pairs.{suffix}", rows)
    result = read(tmp_path / f"pairs.{suffix}", photos)
    assert (result.read, result.dropped, result.image_root) == (7, {}, photos)
    assert [pair.images for pair in result.pairs] == [(name,) if name else () for name in names]
    assert [pair.id for pair in result.pairs][1:] == [f"row{index}" for index in range(1, 7)]
    assert result.pairs[0].id == read(lines(tmp_path / "one.jsonl", rows[0]), photos).pairs[0].id
    assert result.pairs[0].question == GOOD["prompt"]
    assert result.pairs[0].chosen == GOOD["chosen"]


def test_question_is_another_name_of_prompt(tmp_path: Path) -> None:
    row = {"question": "Who?", "chosen": "Me.", "rejected": "You.", "id": 7}
    (pair,) = read(lines(tmp_path / "a.jsonl", row)).pairs
    assert (pair.id, pair.question) == ("7", "Who?")


@pytest.mark.parametrize("suffix", WRITERS)
def test_conversations_of_trl(tmp_path: Path, suffix: str) -> None:
    row = {
        "prompt": [
            {"role": "user", "content": "Hello."},
            {"role": "assistant", "content": "Good day."},
            {"role": "user", "content": "What is it?"},
        ],
        "chosen": [{"role": "assistant", "content": "A cup."}],
        "rejected": [{"role": "assistant", "content": "A dog."}],
    }
    WRITERS[suffix](tmp_path / f"a.{suffix}", [row])
    (pair,) = read(tmp_path / f"a.{suffix}").pairs
    assert (pair.question, pair.chosen, pair.rejected) == ("What is it?", "A cup.", "A dog.")
    assert pair.history == (Turn("Hello.", "Good day."),)


def test_vision_conversations_of_trl(tmp_path: Path, photos: Path) -> None:
    parts = [{"type": "image"}, {"type": "text", "text": "What is it?"}]
    row = {**GOOD, "prompt": [{"role": "user", "content": parts}], "images": ["coffee.png"]}
    (pair,) = read(lines(tmp_path / "a.jsonl", row), photos).pairs
    assert (pair.question, pair.images) == ("What is it?", ("coffee.png",))


@pytest.mark.parametrize("column", ["image", "images"])
def test_images_inside_a_parquet_file(tmp_path: Path, photos: Path, column: str) -> None:
    content = (photos / "coffee.jpg").read_bytes()
    images = [{"bytes": content, "path": "x.jpg"}, {"bytes": content, "path": "x.jpg"}, None]
    images.append({"bytes": None, "path": "grey.png"})
    rows = [
        {**GOOD, "id": str(index), column: [image] if column == "images" and image else image}
        for index, image in enumerate(images)
    ]
    result = read(as_parquet(tmp_path / "a.parquet", rows), photos)
    names = [next(iter(pair.images), None) for pair in result.pairs]
    assert names[0] == names[1]
    assert names[2] is None
    assert result.image_root == tmp_path / "embedded"
    assert (result.image_root / str(names[0])).read_bytes() == content
    assert open_image(result.image_root / str(names[3])).size == open_image(photos / "grey.png").size
    assert len(list(result.image_root.iterdir())) == 2
    again = read(tmp_path / "a.parquet", photos)
    assert again.pairs == result.pairs


def test_damaged_image_inside_a_parquet_file(tmp_path: Path, photos: Path) -> None:
    rows = [{**GOOD, "image": {"bytes": (photos / "torn.jpg").read_bytes(), "path": None}}]
    assert "a.parquet row 1: field 'image': not usable; the embedded image: damaged" in complaint(
        as_parquet(tmp_path / "a.parquet", rows)
    )
    assert not any((tmp_path / "embedded").iterdir())


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        ({"prompt": "a", "rejected": "c"}, "field 'chosen': missing; allowed: non-empty text"),
        ({"chosen": "a", "rejected": "c"}, "field 'prompt': missing"),
        ({**GOOD, "rejected": None}, "field 'rejected': missing"),
        ({**GOOD, "prompt": None, "question": 3}, "field 'question': wrong type; it is a number"),
        ({**GOOD, "chosen": 5}, "field 'chosen': wrong type; it is a number"),
        ({**GOOD, "chosen": {"value": "x"}}, "field 'chosen': wrong type; it is an object"),
        ({**GOOD, "chosen": " \n"}, "field 'chosen': empty"),
        ({**GOOD, "rejected": GOOD["chosen"] + " "}, "field 'rejected': equal to 'chosen'"),
        ({**GOOD, "chosen": "\ud800"}, "field 'chosen': not Unicode"),
        ({**GOOD, "id": [1]}, "field 'id': wrong type; it is a list"),
        ({**GOOD, "id": True}, "field 'id': wrong type; it is true or false"),
        ({**GOOD, "prompt": []}, "field 'prompt': wrong turns; roles are none"),
        ({**GOOD, "prompt": ["hello"]}, "field 'prompt': wrong type; a turn is str"),
        ({**GOOD, "prompt": [{"role": "system", "content": "x"}]}, "wrong turns; roles are system"),
        ({**GOOD, "prompt": [{"role": "user", "content": ""}]}, "field 'prompt': empty"),
        (
            {**GOOD, "chosen": [{"role": "user", "content": "x"}]},
            "field 'chosen': wrong turns; roles are user",
        ),
        ({**GOOD, "images": ["a.png", "b.png"]}, "field 'images': 2 images; allowed: one image per row"),
        ({**GOOD, "image": 3}, "field 'image': wrong type; it is a number"),
        ({**GOOD, "image": {}}, "field 'image': missing"),
        ({**GOOD, "image": "absent.png"}, "field 'image': no such file; image 'absent.png': no such file"),
        ({**GOOD, "image": "torn.jpg"}, "damaged"),
        ({**GOOD, "image": "../secret.png"}, "is outside the image root"),
        ({**GOOD, "image": "/etc/passwd"}, "is outside the image root"),
        ([1], "not an object; it is a list"),
        ("null", "not an object; it is null"),
        ('{"prompt": "a", "cho', "not JSON"),
    ],
)
def test_wrong_rows_are_named(tmp_path: Path, photos: Path, row: Any, expected: str) -> None:
    path = lines(tmp_path / "pairs.jsonl", {**GOOD, "id": "a"}, "", row, {**GOOD, "id": "b"})
    said = complaint(path, photos)
    assert said.startswith("1 of 3 rows are wrong")
    assert "data.on_bad_row=drop" in said
    assert "pairs.jsonl row 3: " in said
    assert expected in said
    result = read(path, photos, OnBadRow.drop)
    assert [pair.id for pair in result.pairs] == ["a", "b"]
    assert result.read == 3
    assert sum(result.dropped.values()) == 1


def test_many_wrong_rows_are_counted(tmp_path: Path) -> None:
    path = lines(tmp_path / "pairs.jsonl", GOOD, *[{"prompt": "a"}] * 20, *[{**GOOD, "chosen": ""}] * 3)
    said = complaint(path)
    assert said.startswith("23 of 24 rows are wrong")
    assert said.endswith("... and 13 more")
    assert said.count("pairs.jsonl row ") == 10
    assert "row 11:" in said
    assert read(path, on=OnBadRow.drop).dropped == {"field 'chosen': missing": 20, "field 'chosen': empty": 3}


def test_duplicates(tmp_path: Path) -> None:
    path = lines(tmp_path / "a.jsonl", {**GOOD, "id": "x"}, {**GOOD, "id": "x", "prompt": "Another?"})
    assert "a.jsonl row 2: field 'id': duplicate; 'x' is the id of row 1 as well" in complaint(path)
    assert "duplicate" in complaint(lines(tmp_path / "b.jsonl", GOOD, GOOD))


def test_all_rows_wrong_is_an_error_also_on_drop(tmp_path: Path) -> None:
    said = complaint(lines(tmp_path / "a.jsonl", {"prompt": "a"}), on=OnBadRow.drop)
    assert said.startswith("1 of 1 rows are wrong")
    assert "on_bad_row" not in said


def test_byte_order_mark(tmp_path: Path) -> None:
    for name, rows in (("a.jsonl", GOOD), ("a.json", [GOOD])):
        (tmp_path / name).write_text(json.dumps(rows), "utf-8-sig")
        assert len(read(tmp_path / name).pairs) == 1
    (tmp_path / "b.jsonl").write_text(json.dumps(GOOD), "utf-16")
    assert "not UTF-8" in complaint(tmp_path / "b.jsonl")
    (tmp_path / "b.json").write_text(json.dumps([GOOD]), "utf-16")
    assert "not JSON" in complaint(tmp_path / "b.json")


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        ("a.csv", b"x", "suffix '.csv'; allowed: .jsonl, .json, .parquet"),
        ("a.jsonl", b"", "no rows"),
        ("a.jsonl", b"\n\n", "no rows"),
        ("a.json", b"[]", "no rows"),
        ("a.json", b"", "not JSON"),
        ("a.json", b'{"prompt": "a"}', "holds one dict; allowed: a list of objects"),
        ("a.json", b'{"prompt": "a"}\n{"prompt": "b"}', "is named .jsonl"),
        ("a.parquet", b"not parquet", "not a parquet file"),
        ("a.parquet", b"", "not a parquet file"),
    ],
)
def test_wrong_files(tmp_path: Path, name: str, content: bytes, expected: str) -> None:
    (tmp_path / name).write_bytes(content)
    said = complaint(tmp_path / name)
    assert expected in said
    assert f"data.path={tmp_path / name}" in said


def test_parquet_damaged_inside(tmp_path: Path) -> None:
    path = as_parquet(tmp_path / "a.parquet", [{**GOOD, "id": str(index)} for index in range(1000)])
    content = bytearray(path.read_bytes())
    content[4:400] = b"\xff" * 396
    path.write_bytes(content)
    assert "parquet file" in complaint(path)


def test_missing_things(tmp_path: Path, photos: Path) -> None:
    assert "no such file; type data.path=FILE" in complaint(tmp_path / "absent.jsonl")
    path = lines(tmp_path / "a.jsonl", {**GOOD, "image": "coffee.png"})
    for on in OnBadRow:
        assert "type data.image_root=DIR" in complaint(path, on=on)
    assert "no such folder; type data.image_root=DIR" in complaint(path, tmp_path / "absent")


def test_ids_from_content_are_stable_and_differ(tmp_path: Path, photos: Path) -> None:
    rows = [GOOD, {**GOOD, "prompt": "Else?"}, {**GOOD, "image": "coffee.png"}, {**GOOD, "chosen": "Tea."}]
    first = [pair.id for pair in read(lines(tmp_path / "a.jsonl", *rows), photos).pairs]
    second = [pair.id for pair in read(lines(tmp_path / "b.jsonl", *reversed(rows)), photos).pairs]
    assert first == second[::-1]
    assert len(set(first)) == 4


def test_unused_columns_are_mentioned(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    for suffix, write in WRITERS.items():
        write(tmp_path / f"a.{suffix}", [{**GOOD, "margin": 3}])
        with caplog.at_level("INFO", "mmdpo.sources.pair_reader"):
            caplog.clear()
            read(tmp_path / f"a.{suffix}")
        assert caplog.messages == [f"a.{suffix}: columns that are not used: margin"]


def test_an_image_column_of_plain_bytes(tmp_path: Path) -> None:
    buffer = io.BytesIO()
    photograph("flower.jpg").save(buffer, "PNG")
    result = read(as_parquet(tmp_path / "a.parquet", [{**GOOD, "image": buffer.getvalue()}]))
    assert open_image(result.image_root / result.pairs[0].images[0]).mode == "RGB"


def test_names_of_images_without_opening_them(tmp_path: Path) -> None:
    rows = [{**GOOD, "image": name} for name in ("b.png", "gone.png", "b.png", None)]
    path = lines(tmp_path / "a.jsonl", *rows, "{", {"image": "of a bad row.png"})
    assert pair_image_names(path) == ["b.png", "gone.png"]
    turns = [{"from": "human", "value": "<image>\nWhat?"}, {"from": "gpt", "value": "That."}]
    path = lines(tmp_path / "b.jsonl", {"id": 1, "image": "c.png", "conversations": turns}, {"id": 2})
    assert pair_image_names(path, "llava_sft") == ["c.png"]
