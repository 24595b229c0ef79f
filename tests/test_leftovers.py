"""Removal of incomplete and temporary files of processes that were killed, and of no others."""

from __future__ import annotations

import os
import tempfile
import time
from pathlib import Path

import pytest

from mmdpo import leftovers
from mmdpo.files import atomic_write, process_space
from mmdpo.leftovers import OLD_SECONDS, remove_leftovers, temporary_prefix, use_own_temporary_folder


@pytest.fixture
def gone() -> int:
    """The id of a process that has ended."""
    child = os.fork()
    if child == 0:
        os._exit(0)
    os.waitpid(child, 0)
    return child


def left(path: Path, age: float = 0.0) -> Path:
    path.mkdir(parents=True)
    (path / "adapter_model.safetensors").write_bytes(b"half")
    for one in (path / "adapter_model.safetensors", path):
        os.utime(one, (time.time() - age,) * 2)
    return path


def test_what_a_killed_process_has_left_in_a_study_is_removed(tmp_path: Path, gone: int) -> None:
    own = process_space()
    study = tmp_path / "study"
    removed = [
        left(study / "p-1" / f".adapter.{own}-{gone}.tmp"),
        left(study / "jobs" / f".code-1.{own}-{gone}.tmp"),
        left(study / "p-1" / f".adapter.{gone}.tmp", OLD_SECONDS + 60),  # of an earlier version
        left(study / "p-2" / f".adapter.ffffff-{gone}.tmp", OLD_SECONDS + 60),  # of another machine
    ]
    kept = [
        left(study / "p-1" / f".adapter.ffffff-{gone}.tmp"),
        left(study / "p-2" / f".adapter.{gone}.tmp"),
        left(study / "p-2" / "notes.tmp", OLD_SECONDS + 60),
        left(tmp_path / "other" / f".adapter.{own}-{gone}.tmp"),
    ]
    (study / "p-linked").symlink_to(tmp_path / "other")
    with atomic_write(study / "p-1" / "result.json") as aside:
        aside.write_text("{}")
        remove_leftovers(study)
    assert not [path for path in removed if path.exists()]
    assert not [path for path in kept if not path.exists()]
    assert (study / "p-1" / "result.json").exists()


def test_temporary_files_of_killed_processes_are_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, gone: int
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(leftovers, "LONGEST", 1000)
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    old = left(tmp_path / f"mmdpo-{process_space()}-{gone}-abc")
    others = [
        left(tmp_path / name) for name in (f"mmdpo-ffffff-{gone}-abc", "mmdpo-slurm-abc", f"{temporary_prefix()}x")
    ]
    use_own_temporary_folder()
    assert not old.exists()
    assert all(path.exists() for path in others)
    own = Path(tempfile.mkdtemp()).parent
    assert own.name.startswith(temporary_prefix())
    assert os.environ["TMPDIR"] == str(own)
    use_own_temporary_folder()  # as in a second command of this process
    assert Path(tempfile.mkdtemp()).parent == own
    leftovers._remove_own(str(own), gone)  # in a fork
    assert own.exists()
    leftovers._remove_own(str(own), os.getpid())
    assert not own.exists()


def test_the_folder_of_another_process_is_not_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, gone: int) -> None:
    """A job inherits the variables of the command that submits it, and outlives that command."""
    inherited = left(tmp_path / f"mmdpo-{process_space()}-{os.getppid()}-abc" / "file").parent
    monkeypatch.setattr(tempfile, "tempdir", str(inherited))
    monkeypatch.setattr(leftovers, "LONGEST", 1000)
    monkeypatch.setenv("TMPDIR", str(inherited))
    use_own_temporary_folder()
    own = Path(os.environ["TMPDIR"])
    assert own.parent == tmp_path
    assert own.name.startswith(temporary_prefix())
    assert Path(tempfile.mkdtemp()).parent == own
    assert inherited.exists()
    leftovers._remove_own(str(own), os.getpid())
