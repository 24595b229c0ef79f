"""Reading the output of squeue and sacct, with stand-ins for the commands."""

import subprocess

import pytest

from mmdpo.errors import UserError
from mmdpo.slurm import client as slurm
from mmdpo.slurm.client import Job

SQUEUE = """\
8_0|RUNNING|n1|None|mmdpo:20260101-120000-0000:tasks:0
8_[2-3,5%2]|PENDING||Dependency|mmdpo:20260101-120000-0000:tasks:0
7|COMPLETED|n2|None|a comment | with a bar
and a line | of | its | own | [1-

"""
SACCT = """\
6_0|COMPLETED|0:0|n1|None
6_1|CANCELLED by 1000|0:15|n2|None
6_2|FAILED|1:0|n2|None
6_[3-4]|CANCELLED by 0|0:0|None assigned|DependencyNeverSatisfied
6_[5-6%1]|PENDING|0:0|None assigned|JobArrayTaskLimit
6_7|RUNNING|0:0|n1|None
"""


@pytest.fixture
def answers(monkeypatch):
    """The output of the commands, or the errors they raise."""
    outputs = {"squeue": SQUEUE, "sacct": SACCT}
    asked = []

    def run(*command, **environment):
        asked.append(command)
        if command[0] == "sacct":
            assert environment["SLURM_BITSTR_LEN"] == "0"  # otherwise long ids end in dots
        if isinstance(outputs[command[0]], Exception):
            raise outputs[command[0]]
        return outputs[command[0]]

    monkeypatch.setattr(slurm, "run_command", run)
    monkeypatch.setattr(slurm, "is_installed", lambda command="sbatch": command in outputs)
    outputs["asked"] = asked
    return outputs


def test_the_queue_is_read_with_an_entry_for_each_task(answers):
    found = slurm.list_jobs("me")
    comment = "mmdpo:20260101-120000-0000:tasks:0"
    assert found["8_0"] == Job("8_0", "RUNNING", "None", "n1", comment)
    assert [one for one in found if found[one].state == "PENDING"] == ["8_2", "8_3", "8_5"]
    assert found["8_5"].reason == "Dependency"
    assert found["7"].comment == "a comment | with a bar"
    assert [command[0] for command in answers["asked"]] == ["squeue"]  # nothing else was asked for


def test_jobs_that_left_the_queue_come_from_accounting(answers):
    found = slurm.list_jobs("me", ["6_0", "6_1", "6_4", "8_0"])
    assert {key: (job.state, job.node) for key, job in found.items() if key.startswith("6")} == {
        "6_0": ("COMPLETED", "n1"),
        "6_1": ("CANCELLED", "n2"),
        "6_2": ("FAILED", "n2"),
        "6_3": ("CANCELLED", "None assigned"),
        "6_4": ("CANCELLED", "None assigned"),
    }  # tasks that squeue no longer lists are not live: accounting is late, or keeps them for hours
    assert found["6_3"].reason == "DependencyNeverSatisfied"
    assert answers["asked"][-1][-1] == "6"  # an array is asked for once


def test_the_queue_takes_precedence_over_accounting(answers):
    answers["sacct"] = "8_0|REQUEUED|0:0|n1|None\n"
    assert slurm.list_jobs("me", ["8_0", "8_9"])["8_0"].state == "RUNNING"


def test_a_cluster_without_accounting_is_read_from_its_queue(answers):
    for message in ("Slurm accounting storage is disabled", "slurmdbd: Connection refused"):
        answers["sacct"] = slurm.Unreachable(message) if "refused" in message else UserError(message)
        assert "8_0" in slurm.list_jobs("me", ["6_0"])
    del answers["sacct"]
    assert "8_0" in slurm.list_jobs("me", ["6_0"])


def test_an_unreachable_controller_is_asked_again(answers, monkeypatch):
    monkeypatch.setattr("tenacity.nap.time.sleep", lambda seconds: answers.update(squeue=SQUEUE))
    answers["squeue"] = slurm.Unreachable("Unable to contact slurm controller")
    assert "8_0" in slurm.retry_while_unreachable(slurm.list_jobs)("me")
    assert len(answers["asked"]) == 2


@pytest.mark.parametrize("state", ["PENDING", "RUNNING", "COMPLETING", "REQUEUED", "REQUEUE_HOLD", "SPECIAL_EXIT"])
def test_jobs_that_have_not_ended_are_live(state):
    assert Job("8", state).live


@pytest.mark.parametrize("state", ["COMPLETED", "FAILED", "CANCELLED", "TIMEOUT", "NODE_FAIL", "PREEMPTED"])
def test_jobs_that_have_ended_are_not_live(state):
    assert not Job("8", state).live


def ended(code, message):
    return lambda *_, **__: subprocess.CompletedProcess([], code, "out", message)


def test_a_failed_command_raises_its_message_and_a_silent_controller_another_error(monkeypatch):
    monkeypatch.setattr(subprocess, "run", ended(0, ""))
    assert slurm.run_command("squeue") == "out"
    monkeypatch.setattr(subprocess, "run", ended(1, "sbatch: error: Invalid qos\n specification\n"))
    with pytest.raises(UserError, match=r"^sbatch: error: Invalid qos specification$") as caught:
        slurm.run_command("sbatch")
    assert not isinstance(caught.value, slurm.Unreachable)
    monkeypatch.setattr(subprocess, "run", ended(1, "slurm_load_jobs error: Unable to contact slurm controller"))
    with pytest.raises(slurm.Unreachable):
        slurm.run_command("squeue")
    monkeypatch.setattr(subprocess, "run", ended(2, ""))
    with pytest.raises(UserError, match="squeue failed with exit code 2"):
        slurm.run_command("squeue")


def test_a_command_that_hangs_or_is_missing_is_a_message():
    with pytest.raises(slurm.Unreachable, match="sleep has not answered for 0 s"):
        slurm.run_command("sleep", "9", timeout=0.1)
    with pytest.raises(UserError, match="no-such-command cannot be run"):
        slurm.run_command("no-such-command")
