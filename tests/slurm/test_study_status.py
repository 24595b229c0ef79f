"""A study's table with the states of its jobs, with a stand-in for SLURM."""

import pytest

from mmdpo.__main__ import main
from mmdpo.analysis.table import failures, jobs
from mmdpo.config.choices import Stage
from mmdpo.errors import UserError
from mmdpo.files import write_json
from mmdpo.points import status
from mmdpo.slurm import client as slurm
from mmdpo.slurm import study_status
from mmdpo.slurm.client import Job
from tests.slurm.submitted import submitted
from tests.support.adapters import write_adapter


@pytest.fixture
def known(monkeypatch):
    """The jobs that the stand-in for SLURM lists."""
    found: dict[str, Job] = {}
    monkeypatch.setattr(slurm, "is_installed", lambda command="sbatch": True)
    monkeypatch.setattr(slurm, "list_jobs", lambda user, ids=(): found)
    monkeypatch.setattr(slurm, "controller_config", dict)
    return found


def states(*given):
    return {f"8_{index}": Job(f"8_{index}", *words) for index, words in enumerate(given)}


def test_points_without_files_have_the_states_of_their_jobs(tmp_path, known):
    submitted(tmp_path / "s", count=4)
    known |= states(("PENDING", "Priority"), ("PENDING", "Priority"), ("RUNNING", "None", "n7"), ("CANCELLED", "None"))
    study = study_status.read(tmp_path / "s")
    assert [row.state for row in study.rows] == ["pending", "pending", "running", "cancelled"]
    assert [row.axes["seed"] for row in study.rows] == [0, 1, 2, 3]
    assert jobs(study) == [
        "pending  2 points: Priority",
        f"running  {study.rows[2].point}: n7",
    ]
    assert failures(study) == [f"cancelled  {study.rows[3].point}: cancelled"]


def test_a_job_that_died_outside_python_has_failed(tmp_path, known, capsys):
    submission = submitted(tmp_path / "s", count=1)
    (task,) = submission.tasks()
    status.start(submission.folder_of(task))  # and nothing after it
    known |= states(("NODE_FAIL", "None", "n7"))
    assert main(["status", str(tmp_path / "s")]) == 1
    assert "its node failed (n7)" in capsys.readouterr().out.replace("\n", "")


@pytest.mark.parametrize("name", ["submission.json", "tasks.jsonl"])
def test_a_damaged_submission_hides_no_point(tmp_path, known, capsys, name):
    submission = submitted(tmp_path / "s", count=1)
    (task,) = submission.tasks()
    status.start(submission.folder_of(task))
    status.finish(submission.folder_of(task), "the loss is nan")
    (submission.folder / name).write_text("[" * 100_000)
    assert main(["status", str(tmp_path / "s")]) == 1
    printed = capsys.readouterr().out.replace("\n", "")
    assert f"{name} is damaged" in printed
    assert "the loss is nan" in printed


def test_a_point_with_a_damaged_result_is_unreadable_whatever_its_job(tmp_path, known):
    submission = submitted(tmp_path / "s", count=1)
    (task,) = submission.tasks()
    folder = submission.folder_of(task)
    status.start(folder)
    status.finish(folder)
    (folder / "result.json").write_text("")
    known |= states(("COMPLETED", "None"))
    (row,) = study_status.read(tmp_path / "s").rows
    assert row.state == "unreadable"
    assert "result.json" in row.error


def test_a_retried_point_is_not_a_failure(tmp_path, known):
    submission = submitted(tmp_path / "s", count=1)
    (task,) = submission.tasks()
    status.start(submission.folder_of(task))
    status.finish(submission.folder_of(task), "the loss is nan")
    known |= states(("FAILED", "None"))
    assert len(study_status.read(tmp_path / "s").failed) == 1
    submitted(tmp_path / "s", count=1, job="9", name="20260102-120000-0000")
    known["9_0"] = Job("9_0", "PENDING", "Resources")
    study = study_status.read(tmp_path / "s")
    assert (study.failed, failures(study)) == ([], [])
    assert jobs(study) == [f"pending  {task.name}: Resources"]


def test_a_point_whose_stage_is_done_shows_how_far_it_is(tmp_path, known, capsys):
    submission = submitted(tmp_path / "s", count=1, stage=Stage.train)
    (task,) = submission.tasks()
    folder = submission.folder_of(task)
    status.start(folder)
    write_json(folder / "training.json", {})
    write_adapter(folder / "adapter")
    status.plan(folder)
    known |= states(("COMPLETED", "None"))
    assert [row.state for row in study_status.read(tmp_path / "s").rows] == ["trained"]
    assert main(["status", str(tmp_path / "s")]) == 0
    assert "stage=evaluate" in capsys.readouterr().out


def test_a_study_without_jobs_is_read_from_its_files(tmp_path):
    with pytest.raises(UserError):
        study_status.read(tmp_path)


def test_tasks_that_make_data_are_not_points(tmp_path, known):
    submitted(tmp_path / "s", count=1, stage=Stage.sample)
    with pytest.raises(UserError):
        study_status.read(tmp_path / "s")
