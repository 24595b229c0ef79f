"""Locks between processes, which name their holder to those that wait."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest

from mmdpo import locks
from mmdpo.activity import recorded_by
from mmdpo.locks import hold_lock, holder


class Waits:
    """Recorder of what the work waits for, which lets the holder go on."""

    def __init__(self, go: threading.Event) -> None:
        self.reasons: list[str | None] = []
        self._go = go

    def waiting(self, reason: str | None) -> None:
        self.reasons.append(reason)
        self._go.set()

    def saved(self, kind: str, amount: int) -> None:
        raise AssertionError(kind)


def test_who_waits_says_for_whom(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(locks, "SILENT_SECONDS", 0)
    monkeypatch.setenv("SLURM_JOB_ID", "12")
    path, held, go = tmp_path / "a.lock", threading.Event(), threading.Event()

    def hold() -> None:
        with hold_lock(path, "makes the same thing"):
            held.set()
            go.wait(30)

    thread = threading.Thread(target=hold)
    thread.start()
    assert held.wait(30)
    waits = Waits(go)
    with recorded_by(waits), hold_lock(path, "makes the same thing"):
        thread.join()
    (reason, after) = waits.reasons
    assert after is None
    assert reason is not None
    for words in (f"process {os.getpid()} on ", "(job 12), which makes the same thing"):
        assert words in reason
    assert f"waiting for {reason} ({path})" in capsys.readouterr().out
    assert holder(path) == "another process"  # nobody is named after the release


def test_a_lock_that_is_free_is_taken_without_a_word(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with hold_lock(tmp_path / "a.lock", "works"):
        pass
    assert capsys.readouterr().out == ""
