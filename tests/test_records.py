"""Reading of written records, for every kind and any text."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmdpo.records import (
    Annotation,
    Completion,
    ImagePosition,
    PreferencePair,
    Prompt,
    SftExample,
    Turn,
    from_dict,
    quality,
    read_records,
    to_json,
    write_records,
)

TEXT = st.text(st.characters(codec="utf-8"))
HISTORY = st.lists(st.builds(Turn, TEXT, TEXT), max_size=3).map(tuple)
IMAGES = st.lists(TEXT, max_size=3).map(tuple)
PLACES = st.lists(st.builds(ImagePosition, st.integers(0), st.integers(0)), max_size=3).map(tuple)
SCORE = st.integers(0, 4)
FACTS = st.dictionaries(TEXT, st.none() | st.booleans() | st.integers() | TEXT | st.lists(TEXT), max_size=3)
RATING = st.dictionaries(TEXT, SCORE, max_size=5)
RECORDS = st.one_of(
    st.builds(Prompt, TEXT, TEXT, IMAGES, HISTORY, TEXT, FACTS, TEXT, PLACES),
    st.builds(Completion, TEXT, st.integers(0), TEXT, st.sampled_from(["", "stop", "length"])),
    st.builds(Annotation, TEXT, st.lists(RATING, max_size=4).map(tuple), TEXT),
    st.builds(PreferencePair, TEXT, TEXT, TEXT, TEXT, IMAGES, HISTORY),
    st.builds(SftExample, TEXT, TEXT, TEXT, IMAGES, HISTORY, st.none() | RATING),
)


@given(RECORDS)
def test_a_line_gives_its_record_back(record: Any) -> None:
    line = to_json(record)
    assert "\n" not in line
    assert from_dict(type(record), json.loads(line)) == record


@pytest.mark.parametrize(("image", "images"), [(None, ()), ("a.png", ("a.png",))])
def test_the_single_image_of_earlier_files_is_read(image: str | None, images: tuple[str, ...]) -> None:
    found = from_dict(Prompt, {"id": "1", "question": "What?", "image": image, "history": []})
    assert found == Prompt("1", "What?", images)


@settings(max_examples=25)
@given(st.lists(st.builds(PreferencePair, TEXT, TEXT, TEXT, TEXT, IMAGES, HISTORY), max_size=5))
def test_a_file_gives_its_records_back(tmp_path_factory: pytest.TempPathFactory, pairs: list[PreferencePair]) -> None:
    path = tmp_path_factory.mktemp("records") / "pairs.jsonl"
    write_records(path, pairs)
    assert list(read_records(path, PreferencePair)) == pairs
    first = path.read_bytes()
    write_records(path, pairs)
    assert path.read_bytes() == first


def test_a_failed_writer_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "pairs.jsonl"
    write_records(path, [Completion("a", 0, "old")])

    def broken() -> Any:
        yield Completion("a", 0, "new")
        raise RuntimeError

    with pytest.raises(RuntimeError):
        write_records(path, broken())
    assert [record.text for record in read_records(path, Completion)] == ["old"]
    assert list(tmp_path.iterdir()) == [path]


def test_quality_sums_the_named_attributes() -> None:
    assert quality({"good": 4, "right": 3, "long": 1}, ["good", "right"]) == 7
    assert quality({"good": 4, "right": 3, "long": 1}, []) == 0


def test_annotations_of_earlier_versions_are_read() -> None:
    old = {"prompt_id": "p", "ratings": [{"good": 1}, {"good": 4}], "judge": "gemini", "shown": [1, 0], "step": "text"}
    assert from_dict(Annotation, old) == Annotation("p", ({"good": 1}, {"good": 4}), "gemini", (1, 0), "text")
