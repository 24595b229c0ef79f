"""The live table of a study's jobs, and the lines printed without a terminal."""

import dataclasses
import io
import json
import time

import pytest
from rich.console import Console

from mmdpo.points import status
from mmdpo.slurm import client as slurm
from mmdpo.slurm import watch
from mmdpo.slurm.client import Job
from mmdpo.slurm.task_states import combine_states
from mmdpo.slurm.watch import TrainingProgress, format_duration, last_metrics, states_table
from tests.slurm.submitted import submitted


def written(seen, shown=20):
    """The table on a terminal of 80 columns."""
    console = Console(width=80, file=io.StringIO())
    console.print(states_table("study", seen, TrainingProgress(), shown))
    return console.file.getvalue()


@pytest.fixture
def study(tmp_path):
    """Points that run, have failed, wait and are done, according to SLURM and their files."""
    submission = submitted(tmp_path / "s", count=5)
    folders = [submission.folder_of(task) for task in submission.tasks()]
    for folder in folders[:2]:
        status.start(folder)
    lines = [
        {"step": step, "epoch": step / 10, "loss": 0.6931 - step / 100, "rewards/margins": step / 10}
        for step in range(1, 8)
    ]
    (folders[0] / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines) + '{"st')
    status.finish(folders[1], "the loss is nan at step 3: lower lr=, or train.max_grad_norm=" + "x" * 100)
    status.finish(folders[4])
    (folders[4] / "result.json").write_text('{"scores": {}}')
    jobs = {
        "8_0": Job("8_0", "RUNNING", node="n1"),
        "8_1": Job("8_1", "FAILED"),
        "8_2": Job("8_2", "PENDING", "Priority"),
        "8_3": Job("8_3", "CANCELLED"),
        "8_4": Job("8_4", "COMPLETED"),
    }
    return submission, combine_states([submission], jobs)


def test_the_table_fits_into_80_columns_and_shows_what_matters_first(study):
    _, seen = study
    text = written(seen)
    assert max(map(len, text.splitlines())) <= 80
    assert "1 running, 1 failed, 1 pending, 1 cancelled, 1 done" in " ".join(text.split())
    order = [text.rindex(f" {word} ") for word in ("running", "failed", "cancelled", "pending", "done")]
    assert order == sorted(order)
    folded = "".join(line[:42].strip() for line in text.splitlines())
    assert all(name in folded for name in seen)  # in full, because logs and cancel take it
    for words in ("7/", "0.623", "0.700", "the loss is nan at step 3", "Priority"):
        assert words in text


def test_a_running_point_shows_step_loss_and_margin(study, tmp_path):
    _, seen = study
    one = next(iter(seen.values()))
    progress = TrainingProgress()
    epochs = one.task.config["train"]["num_train_epochs"]
    assert progress.cells(one) == [f"7/{round(10 * epochs)}", "0.623", "0.700", ""]
    progress.first[one.task.name] = (time.monotonic() - 60, 1)  # six steps per minute
    left = format_duration((round(10 * epochs) - 7) * 10)
    assert progress.cells(one)[3] == left
    assert progress.cells(dataclasses.replace(one, state="pending")) == [""] * 4


def test_of_a_thousand_points_those_that_run_or_failed_are_shown(tmp_path):
    submission = submitted(tmp_path / "s", count=100)
    jobs = {f"8_{index}": Job(f"8_{index}", "RUNNING" if index == 37 else "PENDING") for index in range(100)}
    text = written(combine_states([submission], jobs), shown=20)
    assert "1 running" in text
    assert "99 pending" in text
    assert "and 80 more" in text
    assert text.index("seed37") < text.index("seed0-")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", {}),
        ('{"step": 1}\n', {"step": 1}),
        ('{"step": 1}\n{"step": 2}\n{"st', {"step": 2}),
        ("null\n", {}),
        ('{"step": 1}\n[2]\n', {"step": 1}),
        ("x" * 9000 + '\n{"step": 3}\n', {"step": 3}),
    ],
)
def test_the_last_whole_line_of_the_metrics_counts(text, expected, tmp_path):
    (tmp_path / "metrics.jsonl").write_text(text)
    assert last_metrics(tmp_path / "metrics.jsonl") == expected


def test_no_metrics_are_none(tmp_path):
    assert last_metrics(tmp_path / "metrics.jsonl") == {}


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [(0, "0:00"), (59.6, "1:00"), (125, "2:05"), (7500, "2:05:00"), (90000, "25:00:00")],
)
def test_durations(seconds, expected):
    assert format_duration(seconds) == expected


def states(monkeypatch, submission, *looks):
    """Make SLURM show these states of a submission's tasks, one after the other."""
    left = iter(looks)
    monkeypatch.setattr(watch, "FILES_SECONDS", 0)
    monkeypatch.setattr(watch, "SLURM_SECONDS", -1)
    monkeypatch.setattr(watch, "query_jobs", lambda found: next(left)())
    monkeypatch.setattr(watch, "invisible_submissions", lambda found: set())


def test_without_a_terminal_each_end_is_a_line(tmp_path, monkeypatch, capsys):
    submission = submitted(tmp_path / "s")
    one, other = submission.tasks()

    def waiting():
        return {f"8_{index}": Job(f"8_{index}", "PENDING") for index in range(2)}

    def unreachable():
        raise slurm.Unreachable("squeue has not answered for 60 s")

    def ending():
        folder = submission.folder_of(one)
        status.start(folder)
        status.finish(folder)
        (folder / "result.json").write_text('{"scores": {}}')
        return {**waiting(), "8_1": Job("8_1", "OUT_OF_MEMORY", node="n2")}

    def held():
        return {**waiting(), "8_1": Job("8_1", "PENDING", "JobHeldUser")}

    states(monkeypatch, submission, waiting, held, unreachable, held, ending)
    seen = watch.watch(submission.study, [one.name, other.name])
    assert {name: found.state for name, found in seen.items()} == {one.name: "done", other.name: "failed"}
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "2 pending"
    assert "SLURM does not answer: squeue has not answered for 60 s; trying again" in lines
    assert lines.count("1 points: held (JobHeldUser); type scontrol release 8_1") == 1
    assert f"done  {one.name}" in lines
    assert [line for line in lines if line.startswith(f"failed  {other.name}: out of memory")]
    assert lines[-1] == "1 done, 1 failed"
