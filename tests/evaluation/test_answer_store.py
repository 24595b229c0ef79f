"""Answers of an unfinished evaluation on disk."""

import errno
import os

import pytest

from mmdpo.evaluation.answer_store import AnswerStore
from mmdpo.records import Completion

ONE, TWO = Completion("1", 0, "Yes – \ud83d.", "stop"), Completion("2", 0, "No.", "length")


def test_an_answer_is_on_disk_as_soon_as_it_is_added(tmp_path):
    with AnswerStore(tmp_path) as store:
        store.add("a", ONE)
        with AnswerStore(tmp_path, "another") as other:
            assert other.get("a") == ONE
            assert other.get("b") is None
            store.add("b", TWO)
            other.read()
            assert other.get("b") == TWO
    store.discard()
    assert AnswerStore(tmp_path).get("a") is None


@pytest.mark.parametrize(
    "torn", [b'{"key": "c", "ans', b"\xff\xfe\n", b"[1]\n", b'{"key": "c", "answer": {"x": 1}}\n', b"\n"]
)
def test_torn_lines_are_left_out_and_later_ones_are_read(tmp_path, torn):
    with AnswerStore(tmp_path) as store:
        store.add("a", ONE)
    with store.path.open("ab") as file:
        file.write(torn)
    with AnswerStore(tmp_path) as store:
        assert (store.get("a"), store.get("c")) == (ONE, None)
        store.add("b", TWO)
    found = AnswerStore(tmp_path)
    assert (found.get("a"), found.get("b")) == (ONE, TWO)


def test_what_is_no_file_is_left_out(tmp_path):
    (tmp_path / ".unfinished" / "folder.jsonl").mkdir(parents=True)
    os.mkfifo(tmp_path / ".unfinished" / "pipe.jsonl")
    with AnswerStore(tmp_path) as store:
        store.add("a", ONE)
    assert AnswerStore(tmp_path).get("a") == ONE


def test_a_full_disk_names_the_file(tmp_path, monkeypatch):
    def full(*given):
        raise OSError(errno.ENOSPC, "No space left on device")

    with AnswerStore(tmp_path) as store:
        store.begin()
        monkeypatch.setattr("mmdpo.evaluation.answer_store.os.write", full)
        with pytest.raises(OSError, match=r"all\.jsonl"):
            store.add("a", ONE)
        monkeypatch.undo()
        assert store.get("a") is None
