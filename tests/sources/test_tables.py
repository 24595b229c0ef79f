"""Rows of every kind of file, one at a time; errors name the damaged file and its setting."""

import gzip
import json
import tracemalloc
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmdpo.errors import UserError
from mmdpo.sources import tables
from mmdpo.sources.rows import fields
from tests.sources.files import WRITERS, as_lines, as_list, as_parquet, tear

ROWS = [{"a": index, "b": f"text {index}"} for index in range(200)]
FINITE = {"allow_nan": False, "allow_infinity": False}  # which JSON has no words for
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(**FINITE) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)


def read(path: Path, columns: tuple[str, ...] | None = None) -> list[tuple[int, Any]]:
    return [(number, fields(row)) for number, row in tables.rows(path, "data.path", columns)]


def complaint(path: Path) -> str:
    with pytest.raises(UserError) as error:
        list(tables.rows(path, "data.sources.x.path"))
    assert str(error.value).startswith(f"data.sources.x.path={path}")
    return str(error.value)


@pytest.mark.parametrize("suffix", WRITERS)
def test_every_kind_of_file_gives_the_same_rows(tmp_path: Path, suffix: str) -> None:
    path = WRITERS[suffix](tmp_path / f"a.{suffix}", ROWS)
    assert read(path) == list(enumerate(ROWS, 1))


def test_the_content_of_a_json_file_decides_how_it_is_read(tmp_path: Path) -> None:
    as_lines(tmp_path / "lines.json", ROWS)
    as_list(tmp_path / "list.jsonl", ROWS)
    (tmp_path / "packed.jsonl.gz").write_bytes(gzip.compress((tmp_path / "lines.json").read_bytes()))
    for name in ("lines.json", "list.jsonl", "packed.jsonl.gz"):
        assert read(tmp_path / name) == list(enumerate(ROWS, 1))


def test_a_torn_packed_file(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl.gz"
    path.write_bytes(gzip.compress(b'{"a": 1}\n' * 9)[:-9])
    assert "damaged, or torn" in complaint(path)


def test_cells_of_csv(tmp_path: Path) -> None:
    turns = '[{""role"": ""user"", ""content"": ""Q?""}]'
    lines = [
        "\ufeffprompt,chosen,images",
        f'"{turns}","[1, 2], ""x""","[""a.png""]"',
        "",
        'a,"b\nc",',
        "only",
        "a,,x,y",
    ]
    lines.append("[{'role': 'user'}],b,")  # as pandas writes a list
    (tmp_path / "a.csv").write_text("\n".join(lines), "utf-8")
    first, second, *wrong = tables.rows(tmp_path / "a.csv", "x")
    turn = {"role": "user", "content": "Q?"}
    assert first == (1, {"prompt": [turn], "chosen": '[1, 2], "x"', "images": ["a.png"]})
    assert second == (2, {"prompt": "a", "chosen": "b\nc"})
    reasons = {number: error.reason for number, error in wrong}
    assert reasons == {
        3: "wrong number of cells",
        4: "wrong number of cells",
        5: "field 'prompt': turns that are not JSON",
    }
    (tmp_path / "a.tsv").write_text("a\tb\n1\t2,3\n")
    assert read(tmp_path / "a.tsv") == [(1, {"a": "1", "b": "2,3"})]


def test_only_the_columns_of_parquet(tmp_path: Path) -> None:
    path = as_parquet(tmp_path / "a.parquet", [{"a": 1, "b": [["q", "a"]], "c": 3}])
    assert read(path, ("b", "absent")) == [(1, {"b": [["q", "a"]]})]


def test_lines_are_numbered_as_an_editor_does(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_bytes(b'\xef\xbb\xbf\n{"a": 1}\r\n\n  \n{"a": 2}')
    assert read(path) == [(2, {"a": 1}), (5, {"a": 2})]


def test_a_folder_gives_its_files_by_name(tmp_path: Path) -> None:
    as_lines(tmp_path / "c.jsonl", [{"a": 4}])
    as_parquet(tmp_path / "a.parquet", [{"a": 1}, {"a": 2}])
    as_list(tmp_path / "b.json", [{"a": 3}])
    (tmp_path / "README.md").write_text("not data")
    (tmp_path / ".hidden.json").write_text("torn [")
    (tmp_path / "d.json").mkdir()
    table = tables.Table(tmp_path, "data.path")
    rows = [(number, fields(row)["a"]) for number, row in table.rows()]
    assert rows == [(1, 1), (2, 2), (3, 3), (4, 4)]
    places = [table.place(number) for number, _ in rows]
    assert places == ["a.parquet row 1", "a.parquet row 2", "b.json row 1", "c.jsonl row 1"]


def test_places_with_an_empty_file_between(tmp_path: Path) -> None:
    as_list(tmp_path / "a.json", [{"a": 1}])
    as_list(tmp_path / "b.json", [])
    (tmp_path / "c.jsonl").write_text('\n\n{"a": 2}\n')
    table = tables.Table(tmp_path, "data.path")
    assert [table.place(number) for number, _ in table.rows()] == ["a.json row 1", "c.jsonl row 3"]


@given(st.lists(JSON, max_size=5))
def test_a_json_list_reads_as_json_does(tmp_path_factory: pytest.TempPathFactory, rows: list[Any]) -> None:
    path = tmp_path_factory.mktemp("list") / "a.json"
    path.write_text(json.dumps(rows), "utf-8")
    assert [row for _, row in tables.rows(path, "x")] == rows


@pytest.mark.parametrize("suffix", WRITERS)
def test_torn(tmp_path: Path, suffix: str) -> None:
    path = WRITERS[suffix](tmp_path / f"a.{suffix}", ROWS)
    tear(path)
    if suffix == "jsonl":  # a torn line is a wrong row, not a wrong file
        assert isinstance(list(tables.rows(path, "x"))[-1][1], bytes)
    else:
        assert {"json": "not JSON, or torn", "parquet": "not a parquet file"}[suffix] in complaint(path)


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        ("a.xls", b"x", "suffix '.xls'; allowed: .jsonl, .json, .csv, .tsv, .parquet, and .gz after"),
        ("a.parquet.gz", b"x", "suffix '.gz'; allowed: .jsonl"),
        ("a.jsonl.gz", b"{}", "damaged, or torn"),
        ("a.csv", b'a,b\n"x', "not CSV, or torn"),
        ("a.csv", b"a,b\n\xff,1", "not CSV, or torn"),
        ("a.csv", b"a,a\n1,2", "two columns have one name"),
        ("a.json", b'{\n "a": 1\n}', "one object over several lines"),
        ("a.json", b'{"a": 1', "not JSON"),
        ("a.jsonl", b'[{"a": 1}', "not JSON, or torn"),
        ("a.json", b"", "not JSON"),
        ("a.json", b'"text"', "holds one str; allowed: a list of objects"),
        ("a.json", b"nonsense", "a list of objects"),
        ("a.json", b"[1, 2] 3", "not JSON"),
        ("a.json", b'["\xff"]', "not JSON"),
        ("a.json", b'[{"a": NaN}]', 'invalid char in json text. near [{"a": NaN}]'),
        ("a.parquet", b"PAR1", "not a parquet file"),
    ],
)
def test_wrong_files(tmp_path: Path, name: str, content: bytes, expected: str) -> None:
    (tmp_path / name).write_bytes(content)
    assert expected in complaint(tmp_path / name)


def test_missing_file_and_empty_folder(tmp_path: Path) -> None:
    assert "no such file; type data.sources.x.path=FILE" in complaint(tmp_path / "absent.json")
    (tmp_path / "empty").mkdir()
    assert "a folder without files to read; allowed: files with .jsonl" in complaint(tmp_path / "empty")


@pytest.mark.parametrize("suffix", WRITERS)
def test_memory_stays_flat(tmp_path: Path, suffix: str) -> None:
    path = WRITERS[suffix](tmp_path / f"a.{suffix}", [{"a": f"{i} " * 200} for i in range(5_000)])
    tracemalloc.start()
    try:
        count = sum(1 for _ in tables.rows(path, "x"))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert count == 5_000
    assert peak < 1_500_000


@pytest.mark.parametrize("suffix", ["json", "jsonl"])
@given(rows=st.lists(st.dictionaries(st.text(), st.text(), min_size=1), max_size=4))
def test_written_rows_come_back(
    tmp_path_factory: pytest.TempPathFactory, suffix: str, rows: list[dict[str, str]]
) -> None:
    path = tmp_path_factory.mktemp("written") / f"a.{suffix}"
    assert tables.write_rows(path, rows) == len(rows)
    assert [row for _, row in read(path)] == rows
    assert suffix == "jsonl" or json.loads(path.read_text("utf-8")) == rows


def test_a_write_that_fails_leaves_the_old_file(tmp_path: Path) -> None:
    def rows() -> Iterator[dict[str, Any]]:
        yield {"a": 1}
        raise RuntimeError("killed")

    path = as_lines(tmp_path / "a.jsonl", [{"old": 1}])
    with pytest.raises(RuntimeError):
        tables.write_rows(path, rows())
    assert read(path) == [(1, {"old": 1})]
    assert len(list(tmp_path.iterdir())) == 1
    with pytest.raises(UserError, match=r"suffix '\.csv'; allowed: \.json, \.jsonl"):
        tables.write_rows(tmp_path / "a.csv", [])
