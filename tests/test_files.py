"""Atomic writing, also when the writer is killed, and fingerprints."""

import json
import math
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmdpo.files import atomic_write, file_fingerprint, fingerprint, read_json, write_json
from tests.support.processes import killed_when, waiting_for

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(st.characters(codec="utf-8")),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(st.characters(codec="utf-8")), inner, max_size=3)
    ),
    max_leaves=8,
)


@given(JSON)
def test_json_comes_back(tmp_path_factory: pytest.TempPathFactory, data: Any) -> None:
    path = tmp_path_factory.mktemp("json") / "deep" / "a.json"
    write_json(path, data)
    assert read_json(path) == data


@given(st.dictionaries(st.text(st.characters(codec="utf-8")), JSON, max_size=5))
def test_the_order_of_keys_does_not_matter(data: dict[str, Any]) -> None:
    assert fingerprint(data) == fingerprint(dict(reversed(data.items())))
    assert fingerprint(data) != fingerprint([data])


def test_fingerprints_are_fixed_from_version_to_version(tmp_path: Path) -> None:
    assert fingerprint({"beta": 0.1}) == "e3840e23f8b36bc8"
    assert len(fingerprint({}, 8)) == 8
    (tmp_path / "a").write_bytes(b"abc")
    assert file_fingerprint(tmp_path / "a") == "ba7816bf8f01cfea"


def test_a_file_and_a_folder_replace_what_was_there(tmp_path: Path) -> None:
    for text in ("first", "second"):
        with atomic_write(tmp_path / "file") as aside:
            aside.write_text(text)
        with atomic_write(tmp_path / "folder") as aside:
            aside.mkdir()
            (aside / text).touch()
    assert (tmp_path / "file").read_text() == "second"
    assert [path.name for path in (tmp_path / "folder").iterdir()] == ["second"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "folder"]


def _fail_halfway(folder: Path) -> None:
    with atomic_write(folder) as aside:
        aside.mkdir()
        (aside / "half").touch()
        raise RuntimeError


def test_an_error_leaves_what_was_there(tmp_path: Path) -> None:
    write_json(tmp_path / "a.json", 1)
    with pytest.raises(TypeError):
        write_json(tmp_path / "a.json", object())
    with pytest.raises(RuntimeError):
        _fail_halfway(tmp_path / "folder")
    assert read_json(tmp_path / "a.json") == 1
    assert [path.name for path in tmp_path.iterdir()] == ["a.json"]


def test_a_killed_writer_leaves_what_was_there(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    write_json(path, "old")
    code = f"""
from mmdpo.files import atomic_write
with atomic_write(Path({str(path)!r})) as aside:
    aside.write_text('"ne')
    {waiting_for(tmp_path / "never", tmp_path / "started")}
"""
    killed_when(code, tmp_path / "started")
    assert read_json(path) == "old"
    write_json(path, "new")
    assert read_json(path) == "new"


def test_numbers_that_json_lacks_are_readable(tmp_path: Path) -> None:
    write_json(tmp_path / "a.json", [math.inf])
    assert json.loads((tmp_path / "a.json").read_text()) == [math.inf]
