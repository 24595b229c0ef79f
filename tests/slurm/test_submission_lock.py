"""The lock of a study's submissions, which two commands at once must not hold."""

import os
import subprocess
import sys

import pytest

from mmdpo.errors import UserError
from mmdpo.slurm import submit
from mmdpo.slurm.submission import JOBS
from mmdpo.slurm.submit import lock_submissions


def test_a_lock_that_another_machine_holds_is_named(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(submit, "LOCK_SECONDS", 0.2)
    lock = tmp_path / JOBS / ".lock"
    lock.parent.mkdir()
    lock.write_text("4711\nlogin7\n")
    with pytest.raises(UserError) as caught, lock_submissions(tmp_path):
        pass
    for words in ("process 4711 on login7", f"delete {lock}"):
        assert words in str(caught.value)
    assert "waiting for process 4711 on login7, which submits jobs" in capsys.readouterr().out
    assert lock.exists()
    lock.unlink()
    with lock_submissions(tmp_path):
        pass


def test_a_live_process_keeps_its_lock(tmp_path, monkeypatch):
    monkeypatch.setattr(submit, "LOCK_SECONDS", 0.2)
    with (
        lock_submissions(tmp_path),
        pytest.raises(UserError, match=f"process {os.getpid()} on "),
        lock_submissions(tmp_path),
    ):
        pass


def test_the_lock_of_a_dead_process_of_this_machine_is_broken(tmp_path):
    code = "import os, sys; from pathlib import Path; from mmdpo.slurm.submit import lock_submissions\n"
    code += "with lock_submissions(Path(sys.argv[1])): os._exit(1)"
    subprocess.run([sys.executable, "-c", code, str(tmp_path)])
    assert (tmp_path / JOBS / ".lock").exists()
    with lock_submissions(tmp_path):
        pass


def test_a_folder_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    for study in (tmp_path / "file", tmp_path / "file" / "s"):
        with pytest.raises(UserError, match=r"file.* cannot be written .*type out=FOLDER"), lock_submissions(study):
            pass
