"""The cache: complete artifacts only, each made once, without waiting for a dead process."""

import os
from pathlib import Path

import pytest

from mmdpo.cache import cache_root, cached, cached_path, code_fingerprint, source_fingerprint
from mmdpo.files import read_json
from tests.support.processes import killed_when, start, until, waiting_for

KEY = {"model": "m", "seed": 0}


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("MMDPO_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def maker(tmp_path: Path, name: str, before_the_end: str = "pass") -> str:
    """Return code that asks for an artifact; each making adds a line to the file `made`."""
    return f"""
from mmdpo.cache import cached
def make(folder):
    with open({str(tmp_path / "made")!r}, "a") as file: file.write("{name}\\n")
    (folder / "half").write_text("{name}")
    {before_the_end}
    (folder / "whole").write_text("{name}")
assert (cached("thing", {KEY!r}, make) / "whole").exists()
"""


def test_made_once_and_kept_with_its_key(cache: Path) -> None:
    calls: list[Path] = []

    def make(folder: Path) -> None:
        calls.append(folder)
        (folder / "content").write_text("x")

    first = cached("thing", KEY, make)
    assert cached("thing", dict(reversed(KEY.items())), make) == first == cached_path("thing", KEY)
    assert len(calls) == 1
    assert calls[0] != first
    assert (first / "content").read_text() == "x"
    assert read_json(first / "key.json") == KEY
    assert cached("thing", {**KEY, "seed": 1}, make) != first
    assert cached("other", KEY, make) != first
    assert first.is_relative_to(cache)


@pytest.mark.parametrize(
    ("damage", "another_process"),
    [*((damage, other) for damage in ("swapped", "torn", "digests") for other in (False, True)), ("gone", True)],
)
def test_an_artifact_that_has_changed_is_made_again(
    damage: str, another_process: bool, cache: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def make(folder: Path) -> None:
        (folder / "images").mkdir()
        for name in ("content", "images/a.png"):
            (folder / name).write_text("right")

    made = cached("thing", KEY, make)
    assert cached("thing", KEY, lambda folder: pytest.fail("it was made again")) == made
    if another_process:
        monkeypatch.setattr("mmdpo.cache._verified", {})
    file = made / {"gone": "images/a.png", "digests": "digests.json"}.get(damage, "content")
    before = file.stat()
    if damage == "gone":
        file.unlink()
    else:
        file.write_text({"swapped": "wrong", "torn": "", "digests": "{"}[damage])
        os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert cached("thing", KEY, make) == made
    assert {(made / name).read_text() for name in ("content", "images/a.png")} == {"right"}
    assert capsys.readouterr().out.count(f"changed since it was made ({file.relative_to(made)})") == 1
    assert cached("thing", KEY, lambda folder: pytest.fail("it was made again")) == made


def test_a_failed_make_leaves_nothing_and_is_tried_again(cache: Path) -> None:
    def broken(folder: Path) -> None:
        (folder / "half").touch()
        raise RuntimeError

    with pytest.raises(RuntimeError):
        cached("thing", KEY, broken)
    assert not cached_path("thing", KEY).exists()
    assert not [path for path in (cache / "thing").iterdir() if path.is_dir()]
    assert (cached("thing", KEY, lambda folder: (folder / "whole").touch()) / "whole").exists()


def test_a_killed_maker_leaves_nothing_half_and_blocks_nobody(tmp_path: Path) -> None:
    wait = waiting_for(tmp_path / "never", tmp_path / "started")
    killed_when(maker(tmp_path, "killed", wait), tmp_path / "started")
    assert not cached_path("thing", KEY).exists()
    process = start(maker(tmp_path, "next"))
    assert process.wait(30) == 0
    assert (cached_path("thing", KEY) / "half").read_text() == "next"
    assert (tmp_path / "made").read_text() == "killed\nnext\n"


def test_two_that_ask_at_once_make_it_once(tmp_path: Path) -> None:
    first = start(maker(tmp_path, "first", waiting_for(tmp_path / "go", tmp_path / "started")))
    until(tmp_path / "started")
    second = start(f"Path({str(tmp_path / 'second')!r}).touch()" + maker(tmp_path, "second"))
    until(tmp_path / "second")
    assert not cached_path("thing", KEY).exists()
    assert second.poll() is None
    (tmp_path / "go").touch()
    assert first.wait(30) == 0
    assert second.wait(30) == 0
    assert (tmp_path / "made").read_text() == "first\n"


def test_one_that_waits_for_a_killed_maker_makes_it(tmp_path: Path) -> None:
    first = start(maker(tmp_path, "first", waiting_for(tmp_path / "never", tmp_path / "started")))
    until(tmp_path / "started")
    second = start(f"Path({str(tmp_path / 'second')!r}).touch()" + maker(tmp_path, "second"))
    until(tmp_path / "second")
    first.kill()
    assert first.wait(30) != 0
    assert second.wait(30) == 0
    assert (tmp_path / "made").read_text() == "first\nsecond\n"


def test_where_the_cache_lies(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert cache_root() == cache
    monkeypatch.setenv("MMDPO_CACHE", "")
    assert cache_root().name == "mmdpo"


def test_the_fingerprint_of_sources() -> None:
    assert source_fingerprint("mmdpo.sources") == source_fingerprint("mmdpo.sources")
    assert source_fingerprint("mmdpo.sources") != source_fingerprint("mmdpo.judge")


def test_comments_and_docstrings_are_no_part_of_the_fingerprint_of_sources(tmp_path: Path) -> None:
    file = tmp_path / "one.py"
    file.write_text('"""A file."""\n\n\ndef f():\n    """A function."""\n    return 1\n')
    before = code_fingerprint(file)
    file.write_text('"""Another text."""\n\n\ndef f():\n    # a comment\n    return 1\n')
    assert code_fingerprint(file) == before
    file.write_text("def f():\n    return 2\n")
    assert code_fingerprint(file) != before
    text = tmp_path / "one.md"
    text.write_text("# a")
    assert code_fingerprint(text) != code_fingerprint(file)
