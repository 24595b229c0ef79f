"""The miniature's preference prompts."""

from __future__ import annotations

from pathlib import Path

import pytest

from mmdpo.nano.splits import content, split_of
from mmdpo.records import Prompt, from_dict, read_records, write_records
from mmdpo.sources.nano import prompts


def files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted((folder / "images").iterdir())}


def test_equal_bytes_twice(tmp_path: Path) -> None:
    one, two = (prompts("preference", 30, 5, tmp_path / name) for name in ("one", "two"))
    assert one == two
    assert files(tmp_path / "one") == files(tmp_path / "two")
    assert prompts("preference", 30, 6, tmp_path / "one") != one


def test_half_scenes_half_charts_with_traps(tmp_path: Path) -> None:
    made = prompts("preference", 200, 0, tmp_path)
    assert sum(prompt.category.startswith("scene-") for prompt in made) == 100
    assert {"scene-absent", "chart-absent"} <= {prompt.category for prompt in made}
    assert {split_of(content(prompt)) for prompt in made} == {"preference"}
    assert all(prompt.images and (tmp_path / prompt.images[0]).is_file() for prompt in made)
    assert len({prompt.id for prompt in made}) == 200


def test_they_survive_a_file(tmp_path: Path) -> None:
    made = prompts("dev", 5, 0, tmp_path)
    write_records(tmp_path / "prompts.jsonl", made)
    assert list(read_records(tmp_path / "prompts.jsonl", Prompt)) == made
    assert from_dict(Prompt, {"id": "x", "question": "y"}) == Prompt("x", "y")


def test_an_unknown_split_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no split"):
        prompts("train", 1, 0, tmp_path)
