"""Disks that are full or cannot be written."""

from __future__ import annotations

import errno
import os
import shutil
import sqlite3
from pathlib import Path

import pytest

from mmdpo.__main__ import main
from mmdpo.cache import cached, read_memo, write_memo
from mmdpo.entry.compose import compose_config
from mmdpo.errors import UserError
from mmdpo.files import atomic_write
from mmdpo.pipeline import point_stages as stages
from mmdpo.points import status
from mmdpo.points.point import point
from mmdpo.storage import storage_advice
from mmdpo.sweep.run_point import run_point


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("MMDPO_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def failure(number: int, place: Path | None = None) -> OSError:
    return OSError(number, os.strerror(number), str(place) if place else None)


def test_advice_names_what_to_type(tmp_path: Path, cache: Path) -> None:
    full, read_only = errno.ENOSPC, errno.EROFS
    assert "out=FOLDER" in str(storage_advice(failure(full, tmp_path / "out")))
    assert "out=FOLDER" in str(storage_advice(failure(full)))
    assert "MMDPO_CACHE=FOLDER" in str(storage_advice(failure(full, cache / "digests")))
    assert "MMDPO_CACHE=FOLDER" in str(storage_advice(failure(read_only, cache)))
    assert "out=FOLDER" in str(storage_advice(failure(read_only, tmp_path / "out")))
    assert "disk is full" in str(storage_advice(sqlite3.OperationalError("database or disk is full")))
    copied = shutil.Error([("a", "b", str(failure(full)))])
    assert "disk is full" in str(storage_advice(copied))
    assert storage_advice(failure(errno.EACCES, tmp_path / "data.jsonl")) is None
    assert storage_advice(ValueError("No space left on device")) is None


def test_a_cache_that_cannot_be_written_is_named_with_its_variable(cache: Path) -> None:
    cache.write_text("a file where the folder belongs")
    with pytest.raises(UserError, match="MMDPO_CACHE=FOLDER"):
        cached("thing", {}, lambda folder: None)
    write_memo(cache / "digests" / "a.json", "abc")  # what can be computed again is not kept
    assert read_memo(cache / "digests" / "a.json", str) is None


def test_a_damaged_memo_is_computed_again(cache: Path) -> None:
    path = cache / "a.json"
    for content in ("", "[1", "[]", "[" * 100_000):
        path.parent.mkdir(exist_ok=True)
        path.write_text(content)
        assert read_memo(path, str) is None


def test_a_full_disk_is_the_reason_although_the_status_cannot_be_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    p = point(compose_config([f"out={tmp_path}", "study=s", "data_scale=0"]))

    def full(*_: object) -> None:
        raise failure(errno.ENOSPC)

    def measured(_: object) -> None:
        monkeypatch.setattr("mmdpo.points.status.write_json", full)
        with atomic_write(p.folder / "answers"):
            full()

    monkeypatch.setattr(stages, "experiment", measured)
    reason = run_point(p, p.config.stage)
    assert "the disk is full" in str(reason)
    assert str(p.folder / "answers") in str(reason)
    assert "Traceback" not in capsys.readouterr().err


def test_a_report_that_finds_no_space_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def full(*_: object) -> None:
        raise failure(errno.ENOSPC, tmp_path / "report.html")

    monkeypatch.setattr("mmdpo.analysis.report.write_report", full)
    (tmp_path / "s").mkdir()
    assert main(["report", str(tmp_path / "s")]) == 2
    assert "out=FOLDER" in capsys.readouterr().err
    assert status.read_status(tmp_path) == status.Status()
