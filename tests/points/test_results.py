"""The files that show that a point's work is done: a damaged one shows nothing."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from mmdpo.files import is_whole_safetensors, write_json
from mmdpo.points.records import read_record, write_values
from mmdpo.points.results import has_answers, has_result, is_exported, read_training
from tests.support.adapters import safetensors_bytes, write_adapter, write_answers

WEIGHTS = Path("adapter", "adapter_model.safetensors")
TRAINED: dict[str, Callable[[Path], object]] = {
    "no summary": lambda folder: (folder / "training.json").unlink(),
    "empty summary": lambda folder: (folder / "training.json").write_text(""),
    "torn summary": lambda folder: (folder / "training.json").write_text('{"steps": 3'),
    "list": lambda folder: (folder / "training.json").write_text("[1]"),
    "text for seconds": lambda folder: write_json(folder / "training.json", {"seconds": "x"}),
    "empty weights": lambda folder: (folder / WEIGHTS).write_bytes(b""),
    "torn weights": lambda folder: (folder / WEIGHTS).write_bytes(safetensors_bytes("x")[:-3]),
    "zeros": lambda folder: (folder / WEIGHTS).write_bytes(bytes(100)),
    "longer weights": lambda folder: (folder / WEIGHTS).write_bytes(safetensors_bytes() + b"x"),
    "no weights": lambda folder: (folder / WEIGHTS).unlink(),
    "empty config": lambda folder: (folder / "adapter" / "adapter_config.json").write_text(""),
}


@pytest.mark.parametrize("damage", TRAINED.values(), ids=TRAINED)
def test_a_training_with_a_damaged_file_is_not_done(tmp_path: Path, damage: Callable[[Path], object]) -> None:
    write_json(tmp_path / "training.json", {"steps": 3, "seconds": 1.5})
    write_adapter(tmp_path / "adapter")
    assert read_training(tmp_path) == {"steps": 3, "seconds": 1.5}
    damage(tmp_path)
    assert read_training(tmp_path) is None


@pytest.mark.parametrize("content", ["", "{}", "[]", '{"scores": [1]}', '{"scores": {"text"', "null"])
def test_a_damaged_result_is_none(tmp_path: Path, content: str) -> None:
    write_json(tmp_path / "result.json", {"scores": {"text": {"value": 1.0}}})
    assert has_result(tmp_path)
    (tmp_path / "result.json").write_text(content)
    assert not has_result(tmp_path)


def test_answers_are_there_while_they_are_as_written(tmp_path: Path) -> None:
    write_answers(tmp_path, "text", "visual")
    assert has_answers(tmp_path, ["text", "visual"])
    (tmp_path / "answers" / "visual.jsonl").write_text("{}\n")
    assert not has_answers(tmp_path, ["text", "visual"])
    assert has_answers(tmp_path, ["text"])
    (tmp_path / "answers" / "text.json").write_text("")
    assert not has_answers(tmp_path, ["text"])


def test_a_merged_model_with_a_torn_file_is_not_exported(tmp_path: Path) -> None:
    merged = tmp_path / "merged"
    write_json(merged / "config.json", {"model_type": "llava"})
    (merged / "model.safetensors").write_bytes(safetensors_bytes())
    assert is_exported(tmp_path)
    (merged / "model.safetensors").write_bytes(safetensors_bytes()[:9])
    assert not is_exported(tmp_path)


def test_what_is_no_file_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "result.json")
    os.mkfifo(tmp_path / "model.safetensors")
    assert not has_result(tmp_path)
    assert not is_whole_safetensors(tmp_path / "model.safetensors")
    assert not is_whole_safetensors(tmp_path)


@pytest.mark.parametrize("contents", [[], {"a": 1}, {"a": {"fingerprint": 1, "path": None}}, {"a": {"x": ""}}])
def test_a_damaged_record_is_none(tmp_path: Path, contents: object) -> None:
    write_values(tmp_path, "abc", {}, {})
    assert read_record(tmp_path) is not None
    write_json(tmp_path / "fingerprints.json", {"identity": "abc", "contents": contents})
    assert read_record(tmp_path) is None
