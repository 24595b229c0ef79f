"""Starting and ending the tests' own SLURM, and the state that its controller keeps."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest

from tests.support.slurm import fixtures
from tests.support.slurm.cluster import Cluster, cluster
from tests.support.slurm.daemons import ClusterError, Daemons, with_variable
from tests.support.slurm.fixtures import NEEDED

STUBBORN = "setsid bash -c 'trap \"\" TERM; touch started; sleep 99' & wait"


@pytest.mark.slurm
def test_at_the_end_no_process_is_left(tmp_path: Path):
    fixtures.require()
    with cluster(accounting="none") as slurm:
        variable = f"SLURM_CONF={slurm.folder}/slurm.conf"
        slurm.submit(STUBBORN, folder=tmp_path)
        slurm.wait_for((tmp_path / "started").exists, 60, "the job's process")
        assert len(set(with_variable(variable))) >= 4 + 3  # the daemons; slurmstepd, the script and its child
    assert not set(with_variable(variable))
    assert not slurm.folder.exists()


@pytest.mark.slurm
def test_a_failed_start_has_its_reason_and_leaves_no_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    fixtures.require()
    folder = tmp_path / "cluster"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "mkdtemp", lambda **_: str(folder))
    with (
        pytest.raises(ClusterError, match=r"(?s)slurmctld .*NoSuchWord.*--- munged\.log\n.*--- slurmctld\.log\n"),
        cluster(accounting="none", extra="NoSuchWord=1"),
    ):
        pass
    assert not set(with_variable(f"SLURM_CONF={folder}/slurm.conf"))
    assert not folder.exists()


@pytest.mark.slurm
def test_a_restarted_controller_keeps_the_jobs(tmp_path: Path):
    fixtures.require()
    with cluster(accounting="none") as slurm:
        job = slurm.submit("until [ -e go ]; do sleep 0.1; done", "--array=0-1", folder=tmp_path)
        slurm.wait_for_state(job, "RUNNING")
        slurm.restart_controller(max_array_size=10)
        assert set(slurm.job_states(job).values()) == {"RUNNING"}
        refused = slurm.run("sbatch", "--array=0-10", "--wrap", "true", check=False, cwd=tmp_path)
        assert "Invalid job array specification" in refused.stderr
        slurm.kill_controller()
        assert "DOWN" in slurm.run("scontrol", "ping", check=False).stdout
        (tmp_path / "go").touch()  # they end while nobody looks
        slurm.start_controller()
        slurm.wait_for_state(job, "COMPLETED")


@pytest.mark.slurm
def test_without_accounting_sacct_fails(slurm_without_accounting: Cluster, tmp_path: Path):
    job = slurm_without_accounting.submit("true", folder=tmp_path)
    slurm_without_accounting.wait_for_state(job, "COMPLETED")
    done = slurm_without_accounting.run("sacct", "-j", job, check=False)
    assert done.returncode != 0
    assert "accounting storage is disabled" in done.stderr


@pytest.mark.slurm
def test_a_wait_that_times_out_shows_the_queue(slurm: Cluster, tmp_path: Path):
    slurm.submit("true", "--hold", "--job-name=lazybone", folder=tmp_path)
    with pytest.raises(AssertionError, match=r"(?s)not within 0\.1 s: a miracle.*lazybone"):
        slurm.wait_for(lambda: False, 0.1, "a miracle")


@pytest.mark.slurm
def test_a_failed_command_shows_its_output(slurm: Cluster):
    with pytest.raises(AssertionError, match="Invalid job id"):
        slurm.job_states(99999)


def test_it_is_skipped_where_slurm_is_missing_and_fails_where_it_is_needed(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(fixtures, "missing", lambda: "slurmctld not installed")
    monkeypatch.delenv(NEEDED, raising=False)
    with pytest.raises(pytest.skip.Exception, match="slurmctld not installed"):
        fixtures.require()
    monkeypatch.setenv(NEEDED, "1")
    with pytest.raises(pytest.fail.Exception, match="slurmctld not installed"):
        fixtures.require()


def test_a_daemon_that_does_not_answer_is_named_with_its_log(tmp_path: Path):
    daemons = Daemons(tmp_path, {**os.environ, "WHOSE": str(tmp_path)})
    daemons.start("sleeper", "sh", "-c", "echo nearly there; sleep 99 & wait")
    try:
        with pytest.raises(ClusterError, match=r"(?s)sleeper does not answer: not yet.*nearly there"):
            daemons.wait("sleeper", lambda: "not yet", seconds=0.5)
    finally:
        daemons.kill_all(f"WHOSE={tmp_path}")
    assert not set(with_variable(f"WHOSE={tmp_path}"))


def test_daemons_do_not_outlive_killed_tests(tmp_path: Path):
    code = (
        "import os, signal; from pathlib import Path; from tests.support.slurm.daemons import Daemons\n"
        f"here = Path({str(tmp_path)!r})\n"
        "Daemons(here, os.environ).start('sleeper', 'sh', '-c', 'touch started; exec sleep 99')\n"
        "while not (here / 'started').exists(): pass\n"
        "os.kill(os.getpid(), signal.SIGKILL)"
    )
    here = Path(__file__).resolve().parents[3]
    variable = f"WHOSE={tmp_path}"
    environment = {**os.environ, "PYTHONPATH": str(here), "WHOSE": str(tmp_path)}
    killed = subprocess.run([sys.executable, "-c", code], env=environment, cwd=here)
    assert killed.returncode == -signal.SIGKILL
    limit = time.monotonic() + 10
    while set(with_variable(variable)):
        assert time.monotonic() < limit
        time.sleep(0.05)
