"""SLURM's commands as a stand-in answers them: what is read of queue and accounting."""

import subprocess

import pytest

from mmdpo.errors import UserError
from mmdpo.slurm import client as slurm
from mmdpo.slurm.client import Job

SQUEUE = """\
8_0|RUNNING|n1|None|mmdpo:20260101-120000-0000:tasks:0
8_[2-3,5%2]|PENDING||Dependency|mmdpo:20260101-120000-0000:tasks:0
7|COMPLETED|n2|None|a comment | with a bar
"""
SACCT = """\
6_0|COMPLETED|0:0|n1|None
6_1|CANCELLED by 1000|0:15|n2|None
6_2|FAILED|1:0|n2|None
6_[3-4]|CANCELLED by 0|0:0|None assigned|DependencyNeverSatisfied
"""


@pytest.fixture
def answers(monkeypatch):
    """What the commands print, or raise."""
    told = {"squeue": SQUEUE, "sacct": SACCT}
    asked = []

    def run(*command, **environment):
        asked.append(command)
        if command[0] == "sacct":
            assert environment == {"SLURM_BITSTR_LEN": "0"}  # or long ids end in dots
        if isinstance(told[command[0]], Exception):
            raise told[command[0]]
        return told[command[0]]

    monkeypatch.setattr(slurm, "run_command", run)
    monkeypatch.setattr(slurm, "is_installed", lambda command="sbatch": command in told)
    told["asked"] = asked
    return told


def test_the_queue_is_read_with_an_entry_for_each_task(answers):
    found = slurm.list_jobs("me")
    comment = "mmdpo:20260101-120000-0000:tasks:0"
    assert found["8_0"] == Job("8_0", "RUNNING", "None", "n1", comment)
    assert [one for one in found if found[one].state == "PENDING"] == ["8_2", "8_3", "8_5"]
    assert found["8_5"].reason == "Dependency"
    assert found["7"].comment == "a comment | with a bar"
    assert [command[0] for command in answers["asked"]] == ["squeue"]  # nothing else was asked for


def test_accounting_remembers_what_the_queue_has_forgotten(answers):
    found = slurm.list_jobs("me", ["6_0", "6_1", "6_4", "8_0"])
    assert {key: (job.state, job.node) for key, job in found.items() if key.startswith("6")} == {
        "6_0": ("COMPLETED", "n1"),
        "6_1": ("CANCELLED", "n2"),
        "6_2": ("FAILED", "n2"),
        "6_3": ("CANCELLED", "None assigned"),
        "6_4": ("CANCELLED", "None assigned"),
    }
    assert found["6_3"].reason == "DependencyNeverSatisfied"
    assert answers["asked"][-1][-1] == "6"  # an array is asked for once


def test_the_queue_knows_better_than_accounting(answers):
    answers["sacct"] = "8_0|REQUEUED|0:0|n1|None\n"
    assert slurm.list_jobs("me", ["8_0", "8_9"])["8_0"].state == "RUNNING"


def test_a_cluster_without_accounting_has_its_queue(answers):
    answers["sacct"] = UserError("Slurm accounting storage is disabled")
    assert "8_0" in slurm.list_jobs("me", ["6_0"])
    del answers["sacct"]
    assert "8_0" in slurm.list_jobs("me", ["6_0"])


def test_a_controller_that_is_away_for_a_while_is_asked_again(answers, monkeypatch):
    monkeypatch.setattr("tenacity.nap.time.sleep", lambda seconds: answers.update(squeue=SQUEUE))
    answers["squeue"] = slurm.Unreachable("Unable to contact slurm controller")
    assert "8_0" in slurm.retry_while_unreachable(slurm.list_jobs)("me")
    assert len(answers["asked"]) == 2


@pytest.mark.parametrize("state", ["PENDING", "RUNNING", "COMPLETING", "REQUEUED", "REQUEUE_HOLD"])
def test_what_has_not_ended_lives(state):
    assert Job("8", state).live


@pytest.mark.parametrize("state", ["COMPLETED", "FAILED", "CANCELLED", "TIMEOUT", "NODE_FAIL", "PREEMPTED"])
def test_what_has_ended_does_not(state):
    assert not Job("8", state).live


def ended(code, said):
    return lambda *_, **__: subprocess.CompletedProcess([], code, "out", said)


def test_a_refusal_has_slurms_words_and_silence_is_told_from_it(monkeypatch):
    monkeypatch.setattr(subprocess, "run", ended(0, ""))
    assert slurm.run_command("squeue") == "out"
    monkeypatch.setattr(subprocess, "run", ended(1, "sbatch: error: Invalid qos\n specification\n"))
    with pytest.raises(UserError, match="^sbatch: error: Invalid qos specification$") as caught:
        slurm.run_command("sbatch")
    assert not isinstance(caught.value, slurm.Unreachable)
    monkeypatch.setattr(subprocess, "run", ended(1, "slurm_load_jobs error: Unable to contact slurm controller"))
    with pytest.raises(slurm.Unreachable):
        slurm.run_command("squeue")
    monkeypatch.setattr(subprocess, "run", ended(2, ""))
    with pytest.raises(UserError, match="squeue failed with exit code 2"):
        slurm.run_command("squeue")


def test_a_command_that_hangs_or_is_not_there_is_a_message():
    with pytest.raises(slurm.Unreachable, match="sleep has not answered for 0 s"):
        slurm.run_command("sleep", "9", timeout=0.1)
    with pytest.raises(UserError, match="no-such-command cannot be run"):
        slurm.run_command("no-such-command")
