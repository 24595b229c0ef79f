"""A command with cluster=slurm from its plan to its outcomes; sbatch, squeue and the wait are stand-ins."""

import dataclasses

import pytest

from mmdpo.config.choices import Stage
from mmdpo.errors import UserError
from mmdpo.files import write_json
from mmdpo.points import status
from mmdpo.points.point import baselines, point
from mmdpo.slurm import client as slurm
from mmdpo.slurm import launch, sbatch
from mmdpo.slurm.client import Job
from mmdpo.slurm.preview import preview
from mmdpo.slurm.submission import read_submissions, user_name
from mmdpo.slurm.task_states import combine_states
from tests.slurm.submitted import config, no_hours


def submit(configs, stage):
    """Submit with a judge that is rules, so that no point is judged here."""
    return launch.submit_and_watch(configs, stage, lambda p: pytest.fail(f"{p.name} is judged in its job"))


@pytest.fixture
def world(monkeypatch):
    """A SLURM that accepts everything, with the names of points that fail and the end of the wait."""

    class World:
        def __init__(self):
            self.submitted: list[str] = []
            self.failing: tuple[str, ...] = ()
            self.ctrl_c = ""

    world = World()

    def press(moment):
        if world.ctrl_c == moment:
            raise KeyboardInterrupt

    def take(folder, text):
        world.submitted.append(text)
        press("submitting")
        return str(len(world.submitted))

    def watch(study, names, judging=None):
        press("watching")
        found = read_submissions(study)
        jobs = {}
        for submission in found:
            for job, task in zip(submission.parts[-1].ids(), submission.tasks(), strict=True):
                failing = any(name in task.name for name in world.failing)
                jobs[job] = Job(job, "NODE_FAIL" if failing else "COMPLETED", node="n1")
                if not failing:
                    finish(submission.folder_of(task), task.point.config.seed)
        return {name: one for name, one in combine_states(found, jobs).items() if name in names}

    monkeypatch.setattr(slurm, "is_installed", lambda command="sbatch": True)
    monkeypatch.setattr(slurm, "list_jobs", lambda user, ids=(): {})
    monkeypatch.setattr(slurm, "max_array_size", lambda: 1001)
    monkeypatch.setattr(slurm, "controller_config", lambda: {"ClusterName": "here"})
    monkeypatch.setattr(launch, "check_fits", lambda cluster: None)
    monkeypatch.setattr(launch, "_finish", lambda study, config: press("reporting"))
    monkeypatch.setattr(launch, "take_snapshot", lambda jobs: "code-0")
    monkeypatch.setattr(launch, "watch", watch)
    monkeypatch.setattr(sbatch, "submit_script", take)
    return world


def finish(folder, score, seconds=60.0):
    folder.mkdir(parents=True, exist_ok=True)
    status.finish(folder)
    scores = {"text": {"value": float(score)}}
    write_json(folder / "result.json", {"scores": scores, "seconds": seconds, "axes": {}})


def seeds(study, *values, overrides=()):
    return [dataclasses.replace(config(study, *overrides), seed=seed) for seed in values]


def test_there_is_an_outcome_for_each_config_in_their_order(tmp_path, world):
    """A searching sweeper may ask for a point twice."""
    outcomes = submit(seeds(tmp_path / "s", 3, 1, 3, 2), Stage.experiment)
    assert [one.objective for one in outcomes] == [3.0, 1.0, 3.0, 2.0]
    assert len(world.submitted) == 2  # what they share, and an array
    assert "--array=0-4%5" in world.submitted[1]  # three points, two baselines


def test_points_that_were_done_on_one_machine_are_neither_submitted_nor_missed(tmp_path, world, capsys):
    done, other = seeds(tmp_path / "s", 1, 2)
    finish(point(done).folder, 1)
    assert [one.objective for one in submit([done, other], Stage.experiment)] == [1.0, 2.0]
    assert "4 points: 1 done, 0 queued or running, 3 to submit" in capsys.readouterr().out


def test_a_study_that_is_done_submits_nothing(tmp_path, world):
    (one,) = seeds(tmp_path / "s", 1)
    for p in (point(one), *baselines(one)):
        finish(p.folder, 1)
    assert [found.objective for found in submit([one], Stage.experiment)] == [1.0]
    assert world.submitted == []


def test_failed_points_and_baselines_are_outcomes(tmp_path, world):
    world.failing = ("seed2", "base-")
    outcomes = submit(seeds(tmp_path / "s", 1, 2), Stage.experiment)
    assert [bool(one.error) for one in outcomes] == [False, True, True]
    assert "failed: its node failed (n1)" in outcomes[1].error
    assert outcomes[2].point.name.startswith("base-")


def test_ctrl_c_and_wait_false_say_how_to_come_back(tmp_path, world, capsys):
    world.ctrl_c = "watching"
    assert submit(seeds(tmp_path / "s", 1), Stage.train) is None
    shown = capsys.readouterr().out
    assert "the jobs continue" in shown
    assert f"next: python -m mmdpo status {tmp_path / 's'}" in shown
    assert submit(seeds(tmp_path / "t", 1, overrides=("cluster.wait=false",)), Stage.train) is None
    assert f"next: python -m mmdpo status {tmp_path / 't'}" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("moment", "words"), [("submitting", "jobs that SLURM has accepted continue"), ("reporting", "")]
)
def test_ctrl_c_ends_the_command_when_no_job_is_waited_for(moment, words, tmp_path, world, capsys):
    world.ctrl_c = moment
    with pytest.raises(KeyboardInterrupt):
        submit(seeds(tmp_path / "s", 1), Stage.experiment)
    shown = capsys.readouterr().out
    assert words in shown
    assert "the jobs continue" not in shown


def test_ctrl_c_while_this_command_judges_leaves_the_jobs(tmp_path, world, monkeypatch, capsys):
    def judge(self, points):
        raise KeyboardInterrupt

    monkeypatch.setattr(launch, "judges_here", lambda config, stage: True)
    monkeypatch.setattr(launch.Judging, "judge", judge)
    assert submit(seeds(tmp_path / "s", 1), Stage.experiment) is None
    assert "the jobs continue" in capsys.readouterr().out


def test_export_is_for_one_machine(tmp_path, world):
    with pytest.raises(UserError, match="type cluster=local"):
        submit(seeds(tmp_path / "s", 1), Stage.export)


def test_a_machine_without_sbatch_names_the_other_clusters(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(UserError, match=r"no sbatch on this machine.*cluster=local or cluster=local_parallel"):
        submit(seeds(tmp_path / "s", 1), Stage.train)


@pytest.mark.parametrize(
    ("overrides", "expected"),
    [
        ([], "2 points x 1 GPUs: at most 48 GPU-hours"),
        (["cluster.points_per_job=2"], "2 points x 1 GPUs: at most 24 GPU-hours"),
        (["cluster.minutes_per_point=30"], "2 points x 1 GPUs x 30.0 min (cluster.minutes_per_point): 1.0"),
        (
            ["cluster=slurm_zero3", "cluster.nodes=2", "cluster.minutes_per_point=60"],
            "2 points x 8 GPUs x 60.0 min (cluster.minutes_per_point): 16.0 GPU-hours",
        ),
        (["cluster.gpus_per_node=0", "cluster.timeout_min=60"], "2 points without GPUs: at most 2 hours"),
    ],
)
def test_a_submission_names_the_limit_of_its_hours(overrides, expected, tmp_path, world, capsys):
    world.ctrl_c = "watching"
    submit(seeds(tmp_path / "s", 8, 9, overrides=tuple(overrides)), Stage.train)
    assert expected in capsys.readouterr().out


def test_what_is_not_trained_yet_is_not_sent_to_be_measured(tmp_path, world):
    with pytest.raises(UserError, match="stage=train"):
        submit(seeds(tmp_path / "s", 1), Stage.evaluate)
    with pytest.raises(UserError, match="there is nothing to train"):
        submit([config(tmp_path / "s", "data_scale=0")], Stage.train)
    assert not world.submitted
    assert not read_submissions(tmp_path / "s")


def test_a_submission_names_its_cluster(tmp_path, world):
    submit(seeds(tmp_path / "s", 1), Stage.train)
    (found,) = read_submissions(tmp_path / "s")
    assert (found.cluster_name, found.user) == ("here", user_name())


def test_a_dry_run_shows_the_scripts_also_where_there_is_no_slurm(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("PATH", str(tmp_path))
    overrides = ("cluster.partition=a100", "cluster.points_per_job=3")

    def hours(points, stage):
        assert (len(points), stage) == (4, Stage.experiment)
        return ["hours: 5"]

    preview(seeds(tmp_path / "s", 1, 2, overrides=overrides), Stage.experiment, hours)
    printed = capsys.readouterr().out
    assert "4 points: 0 done, 0 queued or running, 4 to submit" in printed
    assert printed.count("#SBATCH --partition=a100") == 2
    assert "#SBATCH --array=0-1%2" in printed
    assert "mmdpo.slurm.group_supervisor" in printed
    assert "hours: 5" in printed
    assert "SLURM has not checked this: there is no sbatch on this machine" in printed
    assert not (tmp_path / "s").exists()


def test_a_dry_run_waits_for_no_controller_that_does_not_answer(tmp_path, monkeypatch, capsys):
    for name in ("sbatch", "sinfo"):
        program = tmp_path / name
        program.write_text("#!/bin/sh\necho 'Unable to contact slurm controller' >&2; exit 1\n")
        program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    preview(seeds(tmp_path / "s", 1), Stage.train, no_hours)
    printed = capsys.readouterr().out
    assert "#SBATCH --array=0-0%1" in printed
    assert "SLURM has not checked this: Unable to contact slurm controller" in printed
