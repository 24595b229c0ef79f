import os

import pytest

from mmdpo.config.choices import Stage
from mmdpo.files import write_json
from mmdpo.points import status
from mmdpo.points.results import has_answers
from mmdpo.points.status import State, Status, is_done, read_status
from tests.support.adapters import write_adapter, write_answers


def test_a_point_goes_from_planned_to_done(tmp_path):
    status.plan(tmp_path)
    assert read_status(tmp_path).state is State.planned
    status.start(tmp_path)
    running = read_status(tmp_path)
    assert (running.state, running.attempts, running.pid) == (State.running, 1, os.getpid())
    status.finish(tmp_path)
    assert read_status(tmp_path).state is State.done
    assert not is_done(tmp_path)  # without a result it is not
    (tmp_path / "result.json").write_text('{"scores": {}}')
    assert is_done(tmp_path)


def test_attempts_are_counted_and_the_reason_kept(tmp_path):
    for attempt in (1, 2):
        status.plan(tmp_path)
        status.start(tmp_path)
        status.finish(tmp_path, "out of memory")
        seen = read_status(tmp_path)
        assert (seen.state, seen.attempts, seen.error) == (State.failed, attempt, "out of memory")


def test_a_torn_file_counts_as_planned(tmp_path):
    (tmp_path / "status.json").write_text('{"state": "do')
    assert read_status(tmp_path) == Status()
    (tmp_path / "status.json").write_text('{"state": "sleeping"}')
    assert read_status(tmp_path) == Status()


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("attempts", "two"),
        ("attempts", -1),
        ("interruptions", [1]),
        ("interruptions", {}),
        ("pid", 10**30),
        ("host", []),
    ],
)
def test_a_value_of_a_wrong_type_is_left_out(tmp_path, key, value):
    write_json(tmp_path / "status.json", {"state": "running", "attempts": 1, key: value})
    found = read_status(tmp_path)
    assert found.state is State.running
    assert getattr(found, key) in (0, 1, None, [])
    status.start(tmp_path)
    assert read_status(tmp_path).interruptions[-1]["cause"] == "killed"


def test_what_another_version_wrote_besides_is_passed_over(tmp_path):
    (tmp_path / "status.json").write_text('{"state": "done", "attempts": 2, "unknown": 1}')
    assert read_status(tmp_path) == Status(State.done, attempts=2)


def test_a_start_after_a_kill_notes_the_attempt_that_never_said_how_it_ended(tmp_path, monkeypatch):
    monkeypatch.setenv("SLURM_ARRAY_JOB_ID", "12")
    monkeypatch.setenv("SLURM_ARRAY_TASK_ID", "3")
    status.start(tmp_path)
    status.start(tmp_path)
    seen = read_status(tmp_path)
    assert (seen.state, seen.attempts) == (State.running, 2)
    assert [(one["attempt"], one["cause"], one["job_id"]) for one in seen.interruptions] == [(1, "killed", "12_3")]


def test_an_interruption_can_be_given_its_cause_later_and_outlives_the_next_attempt(tmp_path):
    status.start(tmp_path)
    status.interrupt(tmp_path, "terminated")
    assert read_status(tmp_path).state is State.interrupted
    status.relabel(tmp_path, "preempted")
    status.plan(tmp_path)
    status.start(tmp_path)
    status.finish(tmp_path, "it failed", "Traceback ...")
    seen = read_status(tmp_path)
    assert [one["cause"] for one in seen.interruptions] == ["preempted"]
    assert (seen.state, seen.error, seen.traceback) == (State.failed, "it failed", "Traceback ...")


def test_a_stage_is_done_when_its_files_are_there(tmp_path):
    tasks = ["text", "visual"]
    assert not any(status.is_stage_done(tmp_path, stage, tasks) for stage in (Stage.train, Stage.evaluate, Stage.judge))
    (tmp_path / "training.json").write_text("{}")
    assert not status.is_stage_done(tmp_path, Stage.train, tasks)  # there is no adapter
    write_adapter(tmp_path / "adapter")
    write_answers(tmp_path, "text")
    assert status.is_stage_done(tmp_path, Stage.train, tasks)
    assert not status.is_stage_done(tmp_path, Stage.evaluate, tasks)
    write_answers(tmp_path, "visual")
    assert status.is_stage_done(tmp_path, Stage.evaluate, tasks)
    assert not has_answers(tmp_path, [])
    for stage in (Stage.judge, Stage.experiment):
        assert not status.is_stage_done(tmp_path, stage, tasks)
    (tmp_path / "result.json").write_text('{"scores": {}}')
    status.write_status(tmp_path, status.Status(status.State.done))
    for stage in (Stage.evaluate, Stage.judge, Stage.experiment):
        assert status.is_stage_done(tmp_path, stage, tasks)


def test_a_reason_holds_no_secret(tmp_path, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-0123456789")
    status.finish(tmp_path, "wrong key: sk-0123456789", "Traceback: sk-0123456789")
    found = status.read_status(tmp_path)
    assert (found.error, found.traceback) == ("wrong key: $OPENAI_API_KEY", "Traceback: $OPENAI_API_KEY")
