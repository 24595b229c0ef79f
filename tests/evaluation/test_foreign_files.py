import json

import pytest

from mmdpo.errors import UserError
from mmdpo.evaluation.foreign_files import answer_text, id_text, model_names, read_rows, rows_by_id

ROWS = [{"question_id": "7", "text": "a\n=b"}, {"question_id": "8", "text": "two, or 3"}]


def write(path, rows=ROWS):
    suffix = path.suffix
    if suffix == ".xlsx":
        from openpyxl import Workbook

        book = Workbook()
        for cells in [list(rows[0]), *([*row.values()] for row in rows)]:
            book.active.append(cells)
        book.save(path)
    elif suffix in (".csv", ".tsv"):
        import csv

        with path.open("w", newline="", encoding="utf-8") as out:
            writer = csv.writer(out, delimiter="\t" if suffix == ".tsv" else ",")
            writer.writerows([list(rows[0]), *([*row.values()] for row in rows)])
    elif suffix == ".json":
        path.write_text("\ufeff" + json.dumps(rows, indent=1), encoding="utf-8")
    else:
        path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


@pytest.mark.parametrize("name", ["a.jsonl", "a.json", "a.csv", "a.TSV", "a.xlsx"])
def test_every_format_gives_the_same_rows(tmp_path, name):
    path = tmp_path / name
    assert read_rows(write(path.with_suffix(path.suffix.lower())).rename(path)) == ROWS


def test_an_answer_that_begins_like_a_formula_is_text(tmp_path):
    rows = read_rows(write(tmp_path / "a.xlsx", [{"index": 1, "prediction": "=SUM(A1)"}]))
    assert answer_text(rows[0]) == "=SUM(A1)"


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("a.json", '{"v1_0": "x", "v1_1": "", "v1_2": {"score": [1]}}', [{"id": "v1_0", "text": "x"}, {"id": "v1_1"}]),
        (
            "a.json",
            '{"id": 1, "text": "x"}\n{"id": 2, "text": "y"}\n',
            [{"id": 1, "text": "x"}, {"id": 2, "text": "y"}],
        ),
        ("a.jsonl", '{"id": 1, "text": "x"}', [{"id": 1, "text": "x"}]),
        ("a.jsonl", '[{"id": 1}]', [{"id": 1}]),
    ],
)
def test_the_content_of_json_decides(tmp_path, name, text, expected):
    path = tmp_path / name
    path.write_text(text, encoding="utf-8")
    assert read_rows(path)[: len(expected)] == expected


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("a.txt", b"x", ".jsonl"),
        ("a.jsonl", b" \n", "no rows"),
        ("a.jsonl", b'{"id": 1}\n{"id": 2, "te', "line 2"),
        ("a.jsonl", b'{"id": 1}\n7\n', "line 2"),
        ("a.jsonl", b'{"id": "\\ud83d"}\n{"id": 1}\n', "line 1"),
        ("a.json", b'{"id": 1,\n "text"', "torn"),
        ("a.json", b'["x"]', "list of objects"),
        ("a.json", b"\xff\xfe", "UTF-8"),
        ("a.json", b"[" * 100_000, "nested"),
        ("a.csv", b"a,b\n1\n", "row 1"),
        ("a.csv", b"a,a\n1,2\n", "different names"),
        ("a.xlsx", b"PK\x03\x04 torn", "Excel"),
        ("a.xlsx", b"text", "Excel"),
    ],
)
def test_a_damaged_file_is_named_with_its_reason(tmp_path, name, content, said):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(UserError, match=said) as error:
        read_rows(tmp_path / name)
    assert name in str(error.value)


def test_a_missing_file_and_a_folder_are_named(tmp_path):
    (tmp_path / "b.jsonl").mkdir()
    for name in ("a.xlsx", "a.csv", "a.json", "b.jsonl"):
        with pytest.raises(UserError, match=name):
            read_rows(tmp_path / name)


def test_the_last_answer_counts_and_no_failure_replaces_one():
    rows = [
        {"index": 1, "answer": "A", "prediction": "old"},
        {"index": 1.0, "answer": "A", "prediction": "new"},
        {"index": "1", "prediction": "Failed to obtain answer via API. "},
        {"index": 2, "prediction": "$ERROR$"},
        {"prediction": "without an id"},
    ]
    found = rows_by_id(rows)
    assert {key: answer_text(row) for key, row in found.items()} == {"1": "new", "2": None}


@pytest.mark.parametrize(
    ("value", "text"), [(7, "7"), (7.0, "7"), (" 7", "7"), (float("nan"), ""), (None, ""), (0, "0")]
)
def test_ids_are_compared_as_text(value, text):
    assert id_text(value) == text


def test_model_names_are_listed_once():
    assert model_names([{"model_id": "b"}, {"generator": "a"}, {"model_id": "b"}, {"model": ["gpt-4"]}]) == ["b", "a"]
