"""Answers of SLURM jobs that a service judges: on the login node as they arrive, or in a job of its own."""

import pytest

from mmdpo.errors import Outstanding, Stopped
from mmdpo.files import write_json
from mmdpo.points import status
from mmdpo.points.status import State
from mmdpo.slurm import sbatch, watch, worker
from mmdpo.slurm.client import Job
from mmdpo.slurm.judging import Judging
from mmdpo.slurm.submission import JUDGE, PREPARE, TASKS, Part
from mmdpo.slurm.submit import dependency_of, plan_submission, split_into_parts
from mmdpo.slurm.task_states import combine_states
from tests.slurm.submitted import config, submitted
from tests.slurm.test_sbatch import asked
from tests.support.adapters import write_answers

SERVICE = ("bench.judge=openai", "bench.judge.model=some-model", "bench.tasks=[text]")
ENDED = {"8_0": Job("8_0", "COMPLETED"), "8_1": Job("8_1", "COMPLETED")}


def answered(submission, tasks=None):
    """Give tasks of a submission, by default the first, their answers, as a job leaves them."""
    for task in [next(submission.tasks())] if tasks is None else tasks:
        folder = submission.folder_of(task)
        status.start(folder)
        write_answers(folder, "text")
        status.plan(folder)


@pytest.mark.parametrize(
    ("overrides", "states"),
    [(SERVICE, [State.answered, State.failed]), (("bench.tasks=[text]",), [State.failed, State.failed])],
)
def test_answers_are_the_work_of_a_job_if_the_judge_is_a_service(overrides, states, tmp_path):
    submission = submitted(tmp_path / "s", *overrides)
    answered(submission)
    found = combine_states([submission], ENDED)
    assert [one.state for one in found.values()] == states
    plan = plan_submission(tmp_path / "s", [*submission.tasks()], found)
    assert len(plan.answered) == states.count(State.answered)
    assert len(plan.missing) == states.count(State.failed)
    assert ("1 to judge" in plan.line()) == (State.answered in states)


def test_a_job_that_still_ends_is_not_judged_yet(tmp_path):
    submission = submitted(tmp_path / "s", *SERVICE)
    answered(submission)
    first = next(iter(combine_states([submission], {**ENDED, "8_0": Job("8_0", "COMPLETING", node="n1")}).values()))
    assert first.state is State.running


def test_a_job_that_judges_waits_for_all_points_and_takes_no_gpu(tmp_path):
    cluster = ("cluster.judge=job", "cluster.gres='gpu:a100:4,scratch:1'", "cluster.gpus_per_node=4")
    submission = submitted(tmp_path / "s", *SERVICE, *cluster)
    submission.parts = [*split_into_parts(5, True, 3, judge=True)]
    assert [(part.kind, part.first, part.count) for part in submission.parts] == [
        (PREPARE, 0, 1),
        (TASKS, 0, 3),
        (TASKS, 3, 2),
        (JUDGE, 0, 1),
    ]
    for number, part in enumerate(submission.parts):
        part.job = str(10 + number)
    settings = config(tmp_path / "s", *SERVICE, *cluster).cluster
    last = submission.parts[-1]
    dependency = dependency_of(submission, last, settings)
    assert dependency == "afterany:11,afterany:12"
    options = asked(sbatch.script_text(submission, last, settings, dependency))
    assert (options["ntasks-per-node"], options["gres"]) == ("1", "scratch:1")
    assert not {"gpus-per-node", "array"} & options.keys()
    assert last.ids() == ["13"]


def test_a_point_waits_for_the_job_that_will_judge_it(tmp_path):
    submission = submitted(tmp_path / "s", *SERVICE, "cluster.judge=job")
    answered(submission, submission.tasks())
    submission.parts.append(Part(JUDGE, job="9"))
    submission.write_tasks(JUDGE, [*submission.tasks()])
    live = combine_states([submission], {**ENDED, "9": Job("9", "PENDING", "Dependency")})
    assert {(one.state, "9" in one.detail) for one in live.values()} == {(State.pending, True)}
    left = combine_states([submission], {**ENDED, "9": Job("9", "FAILED")})
    assert {one.state for one in left.values()} == {State.answered}


@pytest.fixture
def ratings():
    """The names of the judged points, and a stand-in for the judging of a point."""
    names = []

    def judge_point(p):
        names.append(p.name)
        write_json(p.folder / "result.json", {"scores": {}})
        status.finish(p.folder)

    return names, judge_point


def test_the_watching_command_judges_answers_as_they_arrive(tmp_path, ratings, monkeypatch):
    judged, judge_point = ratings
    submission = submitted(tmp_path / "s", *SERVICE)
    names = [task.name for task in submission.tasks()]
    running = {"8_0": ENDED["8_0"], "8_1": Job("8_1", "RUNNING", node="n1")}
    first, second = ([task] for task in submission.tasks())
    looks = iter([(first, running), ([], running), (second, ENDED)])

    def query_jobs(found):
        ready, jobs = next(looks, ([], ENDED))
        answered(submission, ready)
        return jobs

    monkeypatch.setattr(watch, "FILES_SECONDS", 0)
    monkeypatch.setattr(watch, "SLURM_SECONDS", -1)
    monkeypatch.setattr(watch, "query_jobs", query_jobs)
    monkeypatch.setattr(watch, "invisible_submissions", lambda found: set())
    states = watch.watch(tmp_path / "s", names, Judging(judge_point))
    assert {one.state for one in states.values()} == {State.done}
    assert sorted(judged) == sorted(names)


def test_a_limit_of_the_judge_leaves_the_other_points_and_is_raised_at_the_end(tmp_path):
    submission = submitted(tmp_path / "s", *SERVICE)
    answered(submission, submission.tasks())
    tried = []

    def judge_point(p):
        tried.append(p.name)
        raise Stopped("the quota is used up")

    one = Judging(judge_point)
    points = [task.point for task in submission.tasks()]
    one.judge(points)
    one.judge(points)
    assert tried == [points[0].name]
    assert not one.wants([points[1].name])
    with pytest.raises(Stopped, match="quota") as stop:
        one.raise_if_stopped()
    assert stop.value.exit_code == 75


def test_a_point_that_cannot_be_judged_does_not_keep_others_from_it(tmp_path, monkeypatch):
    submission = submitted(tmp_path / "s", *SERVICE)
    answered(submission, submission.tasks())
    reasons = iter(["the judge refuses the key", None])
    monkeypatch.setattr(worker, "run_point", lambda p, stage: next(reasons))
    submission.write_tasks(JUDGE, [*submission.tasks()])
    assert worker.judge_in_job(submission) == 1
    assert next(reasons, "both were tried") == "both were tried"
    assert status.read_status(submission.folder / JUDGE).state is State.failed


def test_batch_jobs_of_all_points_are_submitted_before_the_command_ends(tmp_path):
    submission = submitted(tmp_path / "s", *SERVICE)
    answered(submission, submission.tasks())
    tried = []

    def judge_point(p):
        tried.append(p.name)
        raise Outstanding("the batch jobs are submitted")

    one = Judging(judge_point)
    one.judge(task.point for task in submission.tasks())
    assert len(tried) == 2
    with pytest.raises(Outstanding):
        one.raise_if_stopped()
