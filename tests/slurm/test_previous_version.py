"""A study on SLURM that the previous version submitted; `previous_version/` holds the files it wrote."""

import dataclasses
import shutil
from pathlib import Path

import pytest

from mmdpo.__main__ import main
from mmdpo.errors import UserError
from mmdpo.files import write_json
from mmdpo.points import status
from mmdpo.slurm import client as slurm
from mmdpo.slurm import launch, sbatch
from mmdpo.slurm.client import Job
from mmdpo.slurm.submission import FORMAT, JOBS, read_submissions
from mmdpo.slurm.submit import SubmissionPlan, check_unchanged
from tests.slurm.submitted import config, submitted

FILES = Path(__file__).with_name("previous_version")


@pytest.fixture
def cancelled(monkeypatch):
    """A SLURM in which one point runs and another waits; the ids of cancelled jobs."""
    found = {"8_0": Job("8_0", "RUNNING", "None", "n1"), "8_1": Job("8_1", "PENDING", "Priority")}
    ids = []
    monkeypatch.setattr(slurm, "is_installed", lambda command="sbatch": True)
    monkeypatch.setattr(slurm, "list_jobs", lambda user, ids=(): found)
    monkeypatch.setattr(slurm, "controller_config", dict)
    monkeypatch.setattr(slurm, "cancel_jobs", ids.extend)
    monkeypatch.setattr(sbatch, "submit_script", lambda folder, text: pytest.fail("submitted"))
    return ids


@pytest.fixture
def study(tmp_path, monkeypatch, cancelled):
    """The study, whose first point has begun and written a log."""
    study = tmp_path / "s"
    shutil.copytree(FILES, study / JOBS / "20260101-120000-0000")
    write_json(study / JOBS / "code-0" / "files.json", {"mmdpo/methods/dpo.py": "1"})
    (submission,) = read_submissions(study)
    folder = submission.folder_of(next(submission.tasks()))
    monkeypatch.setenv("SLURM_JOB_ID", "8_0")
    status.start(folder)
    (folder / "logs").mkdir()
    (folder / "logs" / "attempt-1-rank-0.log").write_text("step 1\n")
    return study


def test_status_logs_and_cancel_read_it(study, cancelled, capsys):
    assert main(["status", str(study)]) == 0
    printed = capsys.readouterr().out
    assert "running" in printed
    assert "pending" in printed
    assert main(["logs", str(study), "seed0"]) == 0
    assert "step 1" in capsys.readouterr().out
    assert main(["cancel", str(study)]) == 0
    assert cancelled == ["8"]


def test_retry_names_the_launch_command_to_rerun(study, capsys):
    (first,) = read_submissions(study)
    second = dataclasses.replace(first, folder=first.folder.with_name("20260102-120000-0000"))
    second.command = ["/home/me/mmdpo/mmdpo/__main__.py", "retry", "s"]
    second.save()
    assert main(["retry", str(study)]) == 2
    message = capsys.readouterr().err
    for words in ("study=NEW_NAME", "resume=force", "python launch.py -m method=dpo cluster=slurm seed=0,1"):
        assert words in message


def test_a_new_command_names_the_changed_code(study):
    with pytest.raises(UserError) as caught:
        check_unchanged(read_submissions(study), [config(study)], None)
    for words in ("study=NEW_NAME", "resume=force"):
        assert words in str(caught.value)


def test_retry_of_a_continued_study_submits_its_new_points_only(study, monkeypatch):
    new = submitted(study, count=1, first=5, job="9", name="20260102-120000-0000")
    assert [one.format for one in read_submissions(study)] == [1, FORMAT]
    requested = []

    def plan(study, tasks, states):
        requested.extend(tasks)
        return SubmissionPlan(study, list(tasks), done=[], live={}, failed=[], missing=[])

    monkeypatch.setattr(launch, "check_fits", lambda cluster: None)
    monkeypatch.setattr(launch, "plan_submission", plan)
    assert launch.resubmit(study, []) == 0
    assert requested == [*new.tasks()]
