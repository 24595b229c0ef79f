"""`python -m mmdpo retry | cancel | logs` on submissions without SLURM."""

import io
import os
import socket
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from mmdpo.__main__ import main
from mmdpo.points import status
from mmdpo.slurm import client as slurm
from mmdpo.slurm import commands, sbatch
from mmdpo.slurm.cancellations import read_cancelled
from mmdpo.slurm.client import Job
from mmdpo.slurm.commands import last_attempt_logs
from mmdpo.slurm.submission import JOBS, PREPARE, read_submissions
from tests.slurm.submitted import submitted


@pytest.fixture
def world(monkeypatch):
    """A stand-in for SLURM that records cancelled jobs and submitted scripts."""
    world = SimpleNamespace(jobs={}, cancelled=[], submitted=[])

    def take(folder, text):
        world.submitted.append(text)
        return "99"

    monkeypatch.setattr(slurm, "is_installed", lambda command="sbatch": True)
    monkeypatch.setattr(slurm, "list_jobs", lambda user, ids=(): world.jobs)
    monkeypatch.setattr(slurm, "cancel_jobs", lambda ids: world.cancelled.extend(ids))
    monkeypatch.setattr(slurm, "max_array_size", lambda: 1001)
    monkeypatch.setattr(slurm, "controller_config", lambda: {"ClusterName": "here"})
    monkeypatch.setattr("mmdpo.slurm.resources.read_node_groups", lambda: [])
    monkeypatch.setattr(sbatch, "submit_script", take)
    return world


@pytest.fixture
def study(tmp_path):
    """Four points: seed 0 failed, 1 runs, 2 waits and 3 was never tried."""
    submission = submitted(tmp_path / "s", prepare="7", count=4)
    (submission.folder.parent / submission.code).mkdir()
    folders = [submission.folder_of(task) for task in submission.tasks()]
    for folder in folders[:2]:
        status.start(folder)
        logs(folder, 1, 2)
    status.finish(folders[0], "the loss is nan")
    return submission


STATES = ("FAILED", "RUNNING", "PENDING", "CANCELLED")


def logs(folder, attempt, ranks):
    (folder / "logs").mkdir(parents=True, exist_ok=True)
    for rank in range(ranks):
        file = folder / "logs" / f"attempt-{attempt}-rank-{rank}.log"
        file.write_text(f"{folder.name[-14:-7]} attempt {attempt} rank {rank}\n")


def jobs(*states):
    return {f"8_{index}": Job(f"8_{index}", state, "None") for index, state in enumerate(states)}


def test_logs_are_those_of_the_last_attempt_in_the_order_of_ranks(tmp_path):
    logs(tmp_path, 9, 1)
    logs(tmp_path, 10, 11)
    (tmp_path / "logs" / "notes.txt").write_text("")
    assert [file.name for file in last_attempt_logs(tmp_path)] == [f"attempt-10-rank-{rank}.log" for rank in range(11)]
    assert [file.name for file in last_attempt_logs(tmp_path, rank=3)] == ["attempt-10-rank-3.log"]
    assert last_attempt_logs(tmp_path / "nowhere") == []


def test_logs_without_a_point_are_those_of_what_failed(study, world, capsys):
    world.jobs = jobs(*STATES)
    assert main(["logs", str(study.study)]) == 0
    printed = capsys.readouterr().out
    assert "seed0 attempt 1 rank 0" in printed
    assert "seed0 attempt 1 rank 1" in printed
    assert "seed1" not in printed
    assert main(["logs", str(study.study), "seed1", "--rank", "1"]) == 0
    printed = capsys.readouterr().out
    assert "seed1 attempt 1 rank 1" in printed
    assert "rank 0\n" not in printed


def test_logs_of_a_preparation_where_nothing_else_has_any(tmp_path, world, capsys):
    submission = submitted(tmp_path / "s", prepare="7")
    logs(submission.folder / PREPARE, 1, 1)
    world.jobs = jobs("PENDING", "PENDING")
    assert main(["logs", str(submission.study)]) == 0
    assert "attempt 1 rank 0" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["logs", "seed2"], "has no log: its job has not started, or it ran in a terminal"),
        (["logs", "seed7"], "no point has 'seed7' in its name; there are dpo-"),
        (["cancel", "seed7"], "no point has 'seed7' in its name"),
        (["retry", "seed0"], "seed0: only settings of the cluster can be changed here, such as cluster.mem=64G"),
    ],
)
def test_mistakes_are_messages(arguments, message, study, world, capsys):
    world.jobs = jobs(*STATES)
    assert main([arguments[0], str(study.study), *arguments[1:]]) == 2
    assert message in capsys.readouterr().err


def test_following_prints_what_is_added(study, world, capsys, monkeypatch):
    world.jobs = jobs(*STATES)
    (_, one, *_) = study.tasks()
    file = study.folder_of(one) / "logs" / "attempt-1-rank-1.log"
    waits = []

    def wait(seconds):
        waits.append(seconds)
        if len(waits) == 2:
            raise KeyboardInterrupt
        with file.open("a") as log:
            log.write("step 2\n")

    monkeypatch.setattr(commands.time, "sleep", wait)
    assert main(["logs", str(study.study), "seed1", "--follow"]) == 0
    assert capsys.readouterr().out.endswith("rank 1\nstep 2\n\n")


def test_following_goes_on_with_the_next_attempt_until_the_point_has_ended(study, world, capsys, monkeypatch):
    """Also from a finished attempt whose point was retried and still waits."""
    world.jobs = jobs(*STATES)
    (one, *_) = study.tasks()
    folder = study.folder_of(one)
    submitted(study.study, job="9", count=1, name="20260102-120000-0000")
    world.jobs["9_0"] = Job("9_0", "PENDING", "Resources")
    waits = []

    def wait(seconds):
        waits.append(seconds)
        if len(waits) == 2:
            status.start(folder)
            logs(folder, 2, 1)
            world.jobs["9_0"] = Job("9_0", "RUNNING")
        if len(waits) == 4:
            status.finish(folder, "the loss is nan")
            world.jobs["9_0"] = Job("9_0", "FAILED")
        if len(waits) == 5:
            with (folder / "logs" / "attempt-2-rank-0.log").open("ab") as log:
                log.write("the end – ".encode())  # after its status
        assert len(waits) < 9

    monkeypatch.setattr(commands.time, "sleep", wait)
    assert main(["logs", str(study.study), one.name, "--follow"]) == 0
    printed = capsys.readouterr().out
    order = [printed.index(words) for words in ("attempt 1 rank 1", "attempt 2 rank 0", "the end –", "has ended")]
    assert order == sorted(order)
    assert printed.count("attempt 2 rank 0") == 1


def test_a_retry_whose_output_nobody_reads_is_submitted(study, world, monkeypatch):
    """`retry | head` closes the pipe after some lines."""
    with (study.folder / "output").open("w") as file:

        class Closed(io.StringIO):
            def write(self, text):
                raise BrokenPipeError

            def fileno(self):
                return file.fileno()

        world.jobs = jobs(*STATES)
        monkeypatch.setattr(sys, "stdout", Closed())
        assert main(["retry", str(study.study)]) == 0
    assert len(world.submitted) == 2


def test_status_names_who_submits_jobs_now(study, world, capsys):
    world.jobs = jobs(*STATES)
    lock = study.study / JOBS / ".lock"
    for content, shown in (("4711\nlogin7\n", True), (f"{2**22 + 1}\n{socket.gethostname()}\n", False)):
        lock.write_text(content)
        assert main(["status", str(study.study)]) == 1
        assert ("process 4711 on login7 submits jobs of this study now" in capsys.readouterr().out) == shown


def test_cancel_ends_whole_arrays_and_their_preparation(study, world, capsys):
    world.jobs = {**jobs(*STATES), "7": Job("7", "COMPLETED")}  # SLURM may reject one that has ended
    assert main(["cancel", str(study.study)]) == 0
    assert world.cancelled == ["8"]
    (study.folder / "cancelled.jsonl").unlink()
    world.jobs["7"] = Job("7", "RUNNING")
    world.cancelled.clear()
    capsys.readouterr()
    assert main(["cancel", str(study.study)]) == 0
    assert world.cancelled == ["7", "8"]
    printed = capsys.readouterr().out
    assert "2 cancelled" in printed
    assert f"python -m mmdpo retry {study.study}" in printed  # it may not be the newest


def test_what_was_cancelled_is_shown_and_can_be_retried_at_once(study, world, capsys):
    """SLURM itself forgets a task of an array that is cancelled while it waits."""
    world.jobs = jobs("RUNNING", "RUNNING", "PENDING", "PENDING")
    assert main(["cancel", str(study.study), "seed2"]) == 0
    del world.jobs["8_2"]
    capsys.readouterr()
    assert main(["status", str(study.study)]) == 1
    assert "seed2-" in (line := next(line for line in capsys.readouterr().out.splitlines() if "cancelled by" in line))
    assert line.startswith("cancelled  dpo-")
    status.finish(study.folder / PREPARE)
    assert main(["retry", str(study.study)]) == 0
    assert "1 submitted" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("pieces", "cancelled", "requeued", "left_out"),
    [(["seed1-"], [], ["8_0"], [1]), (["seed3-"], [], [], [3]), (["seed2-", "seed3-"], ["8_1"], [], [])],
)
def test_cancel_leaves_the_other_points_of_a_job(pieces, cancelled, requeued, left_out, tmp_path, world, monkeypatch):
    submission = submitted(tmp_path / "s", count=4, points_per_job=2)
    world.jobs, found = jobs("RUNNING", "PENDING"), []
    monkeypatch.setattr(slurm, "requeue_job", found.append)
    monkeypatch.setenv("SLURM_ARRAY_JOB_ID", "8")
    monkeypatch.setenv("SLURM_ARRAY_TASK_ID", "0")
    tasks = [*submission.tasks()]
    status.start(submission.folder_of(tasks[1]))
    assert main(["cancel", str(submission.study), *pieces]) == 0
    assert (world.cancelled, found) == (cancelled, requeued)
    noted = read_cancelled(submission)
    assert [number for number, task in enumerate(tasks) if task.name in noted] == left_out


def test_cancel_finds_the_jobs_of_a_command_that_was_killed(tmp_path, world):
    submission = submitted(tmp_path / "s", prepare="7", count=1, job=None)
    submission.parts[0].job = None
    submission.save()
    comments = {"7": f"mmdpo:{submission.name}:prepare:0", "8_0": f"mmdpo:{submission.name}:tasks:0"}
    world.jobs = {job: Job(job, "PENDING", comment=comment) for job, comment in comments.items()}
    assert main(["cancel", str(tmp_path / "s")]) == 0
    assert world.cancelled == ["7", "8"]
    assert [*read_cancelled(submission)] == ["8_0", "7"]


def test_cancel_of_some_points_leaves_the_others(study, world, capsys):
    world.jobs = jobs(*STATES)
    assert main(["cancel", str(study.study), "seed2", "seed3"]) == 0
    assert world.cancelled == ["8_2"]  # the other has ended
    assert "1 cancelled" in capsys.readouterr().out


def test_retry_submits_what_failed_or_never_ran_with_the_code_as_it_was(study, world, capsys):
    world.jobs = jobs(*STATES)
    status.finish(study.folder / PREPARE)
    assert main(["retry", str(study.study), "cluster.mem=96G", "cluster.timeout_min=60"]) == 0
    assert "2 submitted" in capsys.readouterr().out
    (text,) = world.submitted  # nothing is prepared again
    for words in ("--array=0-1%2", "--mem=96G", "--time=60", f"PYTHONPATH={study.study / JOBS}/code-0"):
        assert words in text
    first, second = read_submissions(study.study)
    assert [task.name for task in second.tasks()] == [[*first.tasks()][index].name for index in (0, 3)]
    assert second.code == first.code
    world.jobs = {**jobs(*STATES), "99_0": Job("99_0", "PENDING"), "99_1": Job("99_1", "PENDING")}
    assert main(["retry", str(study.study)]) == 0
    assert "0 submitted" in capsys.readouterr().out
    assert len(read_submissions(study.study)) == 2


def test_retry_is_the_submissions_work_wherever_it_is_typed(tmp_path, world, capsys, monkeypatch):
    home = tmp_path / "home"
    home.mkdir()
    monkeypatch.chdir(home)
    first = submitted(Path("outputs") / "s", count=1)
    (first.folder.parent / first.code).mkdir()
    first.cwd = str(home)
    first.save()
    world.jobs = jobs("FAILED")
    monkeypatch.chdir(tmp_path)
    (home / "outputs" / "s").rename(home / "outputs" / "t")  # and it was moved
    assert main(["retry", str(Path("home", "outputs", "t"))]) == 0
    assert "1 submitted" in capsys.readouterr().out
    second = read_submissions(home / "outputs" / "t")[-1]
    (task,) = second.tasks()
    assert second.cwd == str(home)
    assert f"#SBATCH --chdir={home}\n" in world.submitted[-1]
    assert task.point.folder == second.folder_of(task) == home / "outputs" / "t" / task.name
    monkeypatch.chdir(home)
    assert not (home / "outputs" / "s").exists()

    first.cwd = second.cwd = str(tmp_path / "gone")
    second.save()
    world.jobs = {"99_0": Job("99_0", "FAILED")}
    assert main(["retry", str(Path("outputs", "t"))]) == 2
    assert "was submitted from" in capsys.readouterr().err


def test_retry_trains_no_point_with_another_number_of_processes(study, world, capsys):
    world.jobs = jobs(*STATES)
    assert main(["retry", str(study.study), "cluster.gpus_per_node=4"]) == 2
    assert "4 processes per point instead of 1" in capsys.readouterr().err
    assert not world.submitted


def test_without_a_name_the_newest_study_is_meant(tmp_path, world, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    newest = submitted(tmp_path / "outputs" / "s", prepare="7", count=4)
    (newest.folder.parent / newest.code).mkdir()
    world.jobs = jobs("FAILED", "RUNNING", "PENDING", "CANCELLED")
    assert main(["retry", "cluster.mem=96G"]) == 0
    assert "--mem=96G" in world.submitted[-1]
    assert "2 submitted; next: python -m mmdpo status outputs/s" in capsys.readouterr().out
    assert main(["cancel"]) == 0
    assert "outputs/s: 2 cancelled" in capsys.readouterr().out
    logs(newest.folder / PREPARE, 1, 1)
    assert main(["logs"]) == 0


def test_a_study_of_one_machine_has_logs_and_no_jobs(tmp_path, world, capsys):
    for name, error in (("dpo-seed0", None), ("dpo-seed1", "the loss is nan")):
        home = tmp_path / "s" / name
        status.start(home)
        logs(home, 1, 1)
        status.finish(home, error)
    assert main(["logs", str(tmp_path / "s")]) == 0
    assert "dpo-seed1/logs/attempt-1-rank-0.log" in capsys.readouterr().out.replace("\n", "")
    assert main(["logs", str(tmp_path / "s"), "seed0"]) == 0
    for command, words in (("cancel", "Ctrl-C"), ("retry", "rerun its launch command")):
        assert main([command, str(tmp_path / "s")]) == 2
        assert words in capsys.readouterr().err


@pytest.mark.parametrize("command", ["retry", "cancel"])
def test_without_slurm_the_jobs_cannot_be_changed(command, study, capsys, monkeypatch):
    monkeypatch.setenv("PATH", os.devnull)
    assert main([command, str(study.study)]) == 2
    assert "there is no sbatch on this machine" in capsys.readouterr().err


def test_without_slurm_status_and_logs_show_the_files(study, capsys, monkeypatch):
    monkeypatch.setenv("PATH", os.devnull)
    assert main(["status", str(study.study)]) == 1
    printed = capsys.readouterr().out
    for words in ("failed", "running", "pending", "the loss is nan"):
        assert words in printed
    assert main(["logs", str(study.study)]) == 0
    assert "seed0 attempt 1" in capsys.readouterr().out
