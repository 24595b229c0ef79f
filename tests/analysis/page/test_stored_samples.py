"""Samples behind the answers of a study."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from mmdpo.analysis.page.stored_samples import StoredSamples, reference_of
from mmdpo.analysis.study import Row, read_study
from mmdpo.records import Prompt
from tests.support.answered import make_answered_study


@pytest.fixture
def row(tmp_path: Path) -> Row:
    return read_study(make_answered_study(tmp_path / "s", {"base": [5.0, 5.0]})).rows[0]


def test_samples_are_collected_once_and_then_read_from_the_page(
    row: Row, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    found = StoredSamples(tmp_path / "report").of(row, "visual")
    sample = found["visual-test-00000"]
    assert sample["reference"]
    assert (tmp_path / "report" / "images" / sample["images"][0]).exists()
    monkeypatch.setattr("mmdpo.evaluation.samples.sample_sets", None)  # there is nothing to make them of
    again = StoredSamples(tmp_path / "report")
    assert again.of(row, "visual") == found
    assert not again.missing
    (tmp_path / "report" / "images" / sample["images"][0]).unlink()
    with pytest.raises(TypeError):
        StoredSamples(tmp_path / "report").of(row, "visual")


def test_samples_that_changed_since_are_not_shown(row: Row, tmp_path: Path):
    card = row.folder / "answers" / "visual.json"
    card.write_text(json.dumps(json.loads(card.read_text()) | {"samples": "0123456789abcdef"}))
    samples = StoredSamples(tmp_path / "report")
    assert samples.of(row, "visual") == {}
    assert samples.missing == {"visual"}
    card.unlink()
    unnamed = StoredSamples(tmp_path / "report")
    assert unnamed.of(row, "visual") == {}
    assert not unnamed.missing


def test_unused_samples_and_images_are_deleted(row: Row, tmp_path: Path):
    samples = StoredSamples(tmp_path / "report")
    samples.of(row, "visual")
    (stored,) = (tmp_path / "report" / "samples").iterdir()
    shutil.copy(stored, stored.with_name("visual-old.json"))
    samples.remove_unused()
    assert [*stored.parent.iterdir()] == [stored]
    StoredSamples(tmp_path / "report").remove_unused()
    assert not [*(tmp_path / "report" / "images").iterdir()]


@pytest.mark.parametrize(
    ("facts", "expected"),
    [
        ({"references": ["one", "two"]}, "one\n\ntwo"),
        ({"truth": "<AND>a", "capability": ["rec"]}, "<AND>a"),
        ({"full": "It is red.", "answer": ["red"]}, "It is red."),
        ({"answer": ["yes"]}, "yes"),
        ({"row": {"gt_answer": "A cat."}}, "A cat."),
        ({"view": "scene"}, ""),
    ],
)
def test_reference_answers_of_the_tasks(facts: dict, expected: str):
    assert reference_of(Prompt("1", "?", facts=facts)) == expected


def test_samples_of_imported_answers_are_found_by_their_questions_and_missing_images_are_counted(
    row: Row, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    (row.folder / "answers" / "visual.json").write_text("{}")
    imported = replace(row, role="imported")
    samples = StoredSamples(tmp_path / "report")
    with monkeypatch.context() as patch:
        patch.setattr("mmdpo.analysis.page.stored_samples.file_fingerprint", missing)
        found = samples.of(imported, "visual")
    assert [(sample["images"], sample["images_left_out"]) for sample in found.values()] == [([], 1)] * 2
    assert not samples.is_complete
    again = StoredSamples(tmp_path / "report")  # the images are there now
    assert all(sample["images"] for sample in again.of(imported, "visual").values())
    assert again.is_complete


def missing(path: Path) -> str:
    raise FileNotFoundError(path)
