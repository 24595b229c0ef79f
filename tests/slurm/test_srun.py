"""The command by which a job starts the processes of its task."""

from __future__ import annotations

import os
import signal
from types import SimpleNamespace

import pytest

from mmdpo.slurm import supervisor
from mmdpo.slurm.submission import Submission
from mmdpo.slurm.supervisor import EXIT_INTERRUPTED
from tests.slurm.submitted import submitted


@pytest.fixture
def submission(tmp_path) -> Submission:
    return submitted(tmp_path / "s", count=1)


def test_srun_starts_a_process_per_gpu_with_its_own_log(submission, tmp_path, monkeypatch, capfd):
    """The command that a stand-in for srun receives."""
    fake = tmp_path / "bin" / "srun"
    fake.parent.mkdir()
    fake.write_text('#!/bin/sh\nprintf "%s\\n" "$@" > "$OUTPUT"\nexit 75\n')
    fake.chmod(0o755)
    monkeypatch.setenv("PATH", str(fake.parent), prepend=os.pathsep)
    monkeypatch.setenv("OUTPUT", str(tmp_path / "output"))
    monkeypatch.setenv("SLURM_CPUS_PER_TASK", "8")
    log = tmp_path / "logs" / "attempt-1-rank-%t.log"
    assert supervisor.run_srun(submission, submission.parts[0], 0, log) == EXIT_INTERRUPTED
    words = (tmp_path / "output").read_text().splitlines()
    assert f"--output={log}" in words
    assert {"--kill-on-bad-exit=1", "--wait=0", "--cpus-per-task=8"} <= set(words)
    assert words[-5:] == ["mmdpo.slurm.worker", str(submission.folder), "tasks", "0", "0"]
    fake.write_text("#!/bin/sh\nkill -9 $$\n")
    assert supervisor.run_srun(submission, submission.parts[0], 0, log) == 128 + signal.SIGKILL


def test_the_log_of_srun_may_stand_in_a_folder_with_a_percent_sign(submission, tmp_path, monkeypatch):
    words = []
    monkeypatch.setattr(
        supervisor.subprocess, "run", lambda command, env: words.extend(command) or SimpleNamespace(returncode=0)
    )
    supervisor.run_srun(submission, submission.parts[0], 0, tmp_path / "5%j" / "attempt-1-rank-%t.log")
    assert f"--output={tmp_path}/5%%j/attempt-1-rank-%t.log" in words
