"""Reading and writing of the authors' pairs."""

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmdpo.config.choices import OnBadRow
from mmdpo.errors import UserError
from mmdpo.records import PreferencePair, Turn
from mmdpo.sources import authors, tables
from mmdpo.sources.bad_rows import BadRow
from mmdpo.sources.conversations import MARKER
from mmdpo.sources.pair_reader import ReadPairs, read_pairs
from mmdpo.sources.pairs import parse
from tests.sources.files import as_lines, as_list, photos

ROW = {
    "image": "a.png",
    "question": {"from": "human", "value": "<image>\nWhat is on the table?"},
    "chosen": {"from": "gpt", "value": "A cup."},
    "rejected": {"from": "gpt", "value": "A dog."},
    "ref_win_logp": -3.5,
    "ref_rej_logp": -9.25,
}
TEXT = st.text(min_size=1, max_size=20).filter(lambda words: words.strip() and MARKER not in words)
PAIRS = st.builds(
    PreferencePair,
    id=TEXT,
    question=TEXT,
    chosen=TEXT,
    rejected=TEXT,
    images=st.just(()) | st.tuples(TEXT),
    history=st.lists(st.builds(Turn, TEXT, TEXT), max_size=2).map(tuple),
).filter(lambda pair: pair.chosen.strip() != pair.rejected.strip())


def read(path: Path, root: Path | None = None, on: OnBadRow = OnBadRow.error) -> ReadPairs:
    return read_pairs(path, root, on, path.parent / "embedded", "authors")


def test_their_file(tmp_path: Path) -> None:
    root = photos(tmp_path / "photos", "a.png")
    (pair,) = read(as_list(tmp_path / "a.json", [ROW]), root).pairs
    assert (pair.question, pair.chosen, pair.rejected) == ("What is on the table?", "A cup.", "A dog.")
    assert (pair.images, pair.history, len(pair.id)) == (("a.png",), (), 16)


def test_our_keys(tmp_path: Path) -> None:
    root = photos(tmp_path / "photos", "a.png")
    history = [{"from": "human", "value": "Hello."}, {"from": "gpt", "value": "Good day."}]
    (pair,) = read(as_list(tmp_path / "a.json", [{**ROW, "id": 7, "history": history}]), root).pairs
    assert (pair.id, pair.history) == ("7", (Turn("Hello.", "Good day."),))
    assert pair.question == "What is on the table?"


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"image": None}, "field 'question': image marker without image"),
        ({"question": {"from": "human", "value": "<image><image>?"}}, "field 'question': 2 image markers"),
        ({"question": None}, "field 'question': missing"),
        ({"question": 3}, "field 'question': wrong type"),
        ({"question": {"from": "human", "value": "<image>\n"}}, "field 'prompt': empty"),
        ({"chosen": {"from": "gpt"}}, "field 'chosen': missing"),
        ({"chosen": {"from": "gpt", "value": " "}}, "field 'chosen': empty"),
        ({"rejected": ROW["chosen"]}, "field 'rejected': equal to 'chosen'"),
        ({"history": [{"from": "human", "value": "x"}]}, "field 'history': wrong turns"),
        ({"image": "absent.png"}, "field 'image': no such file"),
        ({"image": "../a.png"}, "field 'image': not usable"),
    ],
)
def test_wrong_rows_are_counted_and_named(tmp_path: Path, change: dict[str, Any], reason: str) -> None:
    root = photos(tmp_path / "photos", "a.png")
    path = as_lines(tmp_path / "a.jsonl", [ROW, ROW | change])
    with pytest.raises(UserError) as error:
        read(path, root)
    assert f"a.jsonl row 2: {reason}" in str(error.value)
    result = read(path, root, OnBadRow.drop)
    assert (len(result.pairs), result.read, result.dropped) == (1, 2, {reason: 1})


@pytest.mark.parametrize("suffix", ["json", "jsonl"])
@given(pairs=st.lists(PAIRS, max_size=3))
def test_written_pairs_come_back(
    tmp_path_factory: pytest.TempPathFactory, suffix: str, pairs: list[PreferencePair]
) -> None:
    path = tmp_path_factory.mktemp("pairs") / f"a.{suffix}"
    assert authors.write(iter(pairs), path) == len(pairs)
    rows = [parse(row) for _, row in authors.PAIRS.convert(tables.rows(path, "x"), 0)]
    assert [
        PreferencePair(str(row.id), row.question, row.chosen, row.rejected, row.images, row.history)  # type: ignore[arg-type]
        for row in rows
    ] == pairs


def test_written_pairs_look_like_theirs(tmp_path: Path) -> None:
    pair = PreferencePair("p", "What is on the table?", "A cup.", "A dog.", ("a.png",))
    authors.write([pair], tmp_path / "a.json")
    ((_, row),) = tables.rows(tmp_path / "a.json", "x")
    assert row == {"id": "p"} | {name: ROW[name] for name in ("image", "question", "chosen", "rejected")}


def test_a_text_with_a_marker_is_not_written(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="'p': its text contains <image>"):
        authors.write([PreferencePair("p", "q", "<image>", "r")], tmp_path / "a.json")


def test_a_line_that_is_no_json_keeps_its_number(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text('{"question"\n')
    ((number, row),) = authors.PAIRS.convert(tables.rows(path, "x"), 0)
    assert number == 1
    assert isinstance(row, BadRow)
    assert row.reason == "not JSON"
