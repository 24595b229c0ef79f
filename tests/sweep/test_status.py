import os

from mmdpo.sweep import status
from mmdpo.sweep.status import State, Status, is_done, read_status


def test_a_point_goes_from_planned_to_done(tmp_path):
    status.plan(tmp_path)
    assert read_status(tmp_path).state is State.planned
    status.start(tmp_path)
    running = read_status(tmp_path)
    assert (running.state, running.attempts, running.pid) == (State.running, 1, os.getpid())
    status.finish(tmp_path)
    assert read_status(tmp_path).state is State.done
    assert not is_done(tmp_path)  # without a result it is not
    (tmp_path / "result.json").write_text("{}")
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
    (tmp_path / "status.json").write_text('{"state": "done", "unknown": 1}')
    assert read_status(tmp_path) == Status()
