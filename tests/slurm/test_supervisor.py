"""The supervisor of a job after the end of its processes, with stand-ins for srun and SLURM."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from mmdpo.errors import UserError
from mmdpo.points import status
from mmdpo.points.status import State
from mmdpo.slurm import client as slurm
from mmdpo.slurm import supervisor
from mmdpo.slurm.submission import Submission
from mmdpo.slurm.supervisor import EXIT_BUSY, EXIT_INTERRUPTED, supervise
from tests.slurm.submitted import submitted

JOB = "8_0"


class Slurm:
    """The fields that SLURM would show of the job, and the requests it received."""

    def __init__(self):
        self.requeued: list[str] = []
        self.waited = 0.0
        self.fields = {"JobState": "RUNNING", "Restarts": "0", "PreemptTime": "None"}
        self.past = ""  # of accounting

    def requeue(self, job_id: str) -> None:
        self.requeued.append(job_id)

    def run_command(self, *command: str) -> str:
        assert command[0] == "sacct"
        if not self.past:
            raise UserError("Slurm accounting storage is disabled")
        return self.past

    def sleep(self, seconds: float) -> None:
        self.waited += seconds


@pytest.fixture
def world(monkeypatch):
    """A SLURM that carries out every request at once, with this process in one of its jobs."""
    world = Slurm()
    monkeypatch.setattr(slurm, "show_job", lambda job_id: world.fields)
    monkeypatch.setattr(slurm, "requeue_job", lambda job_id: world.requeue(job_id))
    monkeypatch.setattr(slurm, "run_command", world.run_command)
    monkeypatch.setattr(supervisor.time, "sleep", world.sleep)
    monkeypatch.setenv("SLURM_ARRAY_JOB_ID", "8")
    monkeypatch.setenv("SLURM_ARRAY_TASK_ID", "0")
    monkeypatch.delenv("SLURM_RESTART_COUNT", raising=False)
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGUSR2)}
    yield world
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.fixture
def submission(tmp_path) -> Submission:
    return submitted(tmp_path / "s", count=1)


def run(submission: Submission, monkeypatch, *ends, begin=status.start) -> list[int]:
    """The exit codes of the job's runs, each of which ends by one of `ends`."""
    (task,) = submission.tasks()
    folder = submission.folder_of(task)
    left = iter(ends)

    def srun(submission, part, index, log):
        begin(folder)
        return next(left)(folder, log)

    monkeypatch.setattr(supervisor, "run_srun", srun)
    return [supervise(submission, submission.parts[0], 0, folder, JOB) for _ in ends]


def of(submission: Submission) -> status.Status:
    (task,) = submission.tasks()
    return status.read_status(submission.folder_of(task))


def done(folder: Path, log: Path) -> int:
    status.finish(folder)
    return 0


def failed(folder: Path, log: Path) -> int:
    status.finish(folder, "the loss is nan")
    return 1


def killed(folder: Path, log: Path) -> int:
    return 128 + signal.SIGKILL


def out_of_memory(folder: Path, log: Path) -> int:
    log.parent.mkdir(parents=True, exist_ok=True)
    message = "slurmstepd: error: Detected 1 oom-kill event(s) in StepId=8.0\n"
    Path(str(log).replace("%t", "0")).write_text(message)
    return 128 + signal.SIGKILL


def died(folder: Path, log: Path) -> int:
    log.parent.mkdir(parents=True, exist_ok=True)
    Path(str(log).replace("%t", "1")).write_text("ImportError: libcudart.so\n")
    return 1


def saved(cause: str):
    def end(folder: Path, log: Path) -> int:
        status.interrupt(folder, cause)
        return EXIT_INTERRUPTED

    return end


def test_a_point_that_is_done_ends_its_job_well(submission, world, monkeypatch):
    assert run(submission, monkeypatch, done) == [0]
    assert of(submission).state is State.done
    assert world.requeued == []


def test_a_failed_point_fails_its_job_and_is_not_tried_again(submission, world, monkeypatch):
    assert run(submission, monkeypatch, failed) == [1]
    assert (of(submission).state, of(submission).error) == (State.failed, "the loss is nan")
    assert world.requeued == []


def test_processes_without_a_status_are_quoted_from_their_log(submission, world, monkeypatch):
    assert run(submission, monkeypatch, died) == [1]
    assert of(submission).error.endswith("the last line of its log: ImportError: libcudart.so")


def test_a_point_that_another_run_holds_keeps_its_status(submission, world, monkeypatch):
    (task,) = submission.tasks()
    status.finish(submission.folder_of(task), None)
    assert run(submission, monkeypatch, lambda folder, log: EXIT_BUSY) == [1]
    assert world.requeued == []


def test_a_lock_of_the_jobs_own_last_run_is_waited_for(submission, world, monkeypatch):
    (task,) = submission.tasks()
    status.start(submission.folder_of(task))  # on a node that failed, in this job
    left = iter([EXIT_BUSY, EXIT_BUSY, 0])

    def srun(submission, part, index, log):
        code = next(left)
        return done(submission.folder_of(task), log) if code == 0 else code

    monkeypatch.setattr(supervisor, "run_srun", srun)
    folder = submission.folder_of(task)
    assert supervise(submission, submission.parts[0], 0, folder, JOB) == 0
    assert world.waited == 2 * supervisor.BUSY_SECONDS
    submission.cluster["max_attempts"]["killed"] = 9
    status.start(folder)
    monkeypatch.setattr(supervisor, "run_srun", lambda *given: EXIT_BUSY)
    assert supervise(submission, submission.parts[0], 0, folder, JOB) == 1
    assert world.waited == (2 + supervisor.BUSY_TRIES) * supervisor.BUSY_SECONDS


def test_work_saved_before_a_time_limit_continues_in_the_same_job(submission, world, monkeypatch):
    assert run(submission, monkeypatch, saved("time_limit"), saved("time_limit"), done) == [1, 1, 0]
    assert world.requeued == [JOB, JOB]
    assert (of(submission).attempts, of(submission).state) == (3, State.done)


def test_processes_killed_after_saving_have_saved(submission, world, monkeypatch):
    """The first of several processes to leave with 75 makes srun end the others."""

    def end(folder, log):
        status.interrupt(folder, "time_limit")
        return 128 + signal.SIGTERM

    assert run(submission, monkeypatch, end, done) == [1, 0]
    assert [entry["cause"] for entry in of(submission).interruptions] == ["time_limit"]


def test_a_result_counts_whatever_the_exit_code(submission, world, monkeypatch):
    def end(folder, log):
        status.finish(folder)
        return 128 + signal.SIGABRT

    assert run(submission, monkeypatch, end) == [0]


def test_processes_that_vanished_with_exit_code_0_were_killed(submission, world, monkeypatch):
    """srun exits with 0 when a node has failed."""
    assert run(submission, monkeypatch, lambda folder, log: 0, done) == [1, 0]
    assert [entry["cause"] for entry in of(submission).interruptions] == ["killed"]
    assert world.requeued == [JOB]


NEVER_BEGAN = {"begin": lambda folder: None}


@pytest.mark.parametrize("code", [1, 2, 127])
def test_processes_that_never_began_fail_with_the_last_line_of_their_log(code, submission, world, monkeypatch):
    """For example without python on the node; the status of an earlier attempt is not theirs."""
    (task,) = submission.tasks()
    status.finish(submission.folder_of(task), "the loss is nan")

    def end(folder, log):
        died(folder, log)
        return code

    assert run(submission, monkeypatch, end, **NEVER_BEGAN) == [1]
    seen = of(submission)
    assert (seen.attempts, seen.job_id) == (1, JOB)
    assert seen.error.endswith("the last line of its log: ImportError: libcudart.so")
    assert world.requeued == []


@pytest.mark.parametrize(
    ("code", "shown", "cause"),
    [
        (128 + signal.SIGTERM, {"PreemptTime": "2026-01-01T12:00:00"}, "preempted"),
        (128 + signal.SIGTERM, {"PreemptTime": "2026-01-01", "StartTime": "2026-01-02"}, "killed"),
        (128 + signal.SIGTERM, {}, "killed"),  # by srun, after another process was
        (128 + signal.SIGUSR2, {}, "time_limit"),
        (EXIT_INTERRUPTED, {}, "time_limit"),
        (128 + signal.SIGSEGV, {}, "killed"),
    ],
)
def test_processes_that_were_ended_while_they_loaded(code, shown, cause, submission, world, monkeypatch):
    world.fields |= shown
    assert run(submission, monkeypatch, lambda folder, log: code, **NEVER_BEGAN) == [1]
    (entry,) = of(submission).interruptions
    assert (entry["attempt"], entry["cause"], entry["job_id"]) == (1, cause, JOB)
    assert world.requeued == [JOB]


@pytest.mark.parametrize("shown", [{"JobState": "PENDING"}, {"Restarts": "1"}, {"JobState": "NODE_FAIL"}])
def test_a_supervisor_that_outlives_its_run_writes_nothing(shown, submission, world, monkeypatch):
    """A node that SLURM takes for dead may be alive while the job already runs elsewhere."""
    world.fields |= shown
    assert run(submission, monkeypatch, lambda folder, log: 0) == [1]
    assert (of(submission).state, of(submission).interruptions) == (State.running, [])
    assert world.requeued == []


@pytest.mark.parametrize(
    ("end", "cause", "limit", "words"),
    [
        (
            killed,
            "killed",
            2,
            "ended 2 times by killed (cluster.max_attempts.killed=2); see the last lines of its log",
        ),
        (
            out_of_memory,
            "out_of_memory",
            1,
            "ended 1 times by out_of_memory (cluster.max_attempts.out_of_memory=1); raise cluster.mem=",
        ),
        (
            saved("time_limit"),
            "time_limit",
            20,
            "ended 20 times by time_limit (cluster.max_attempts.time_limit=20); raise cluster.timeout_min=",
        ),
    ],
)
def test_each_cause_has_its_limit(end, cause, limit, words, submission, world, monkeypatch):
    codes = run(submission, monkeypatch, *[end] * limit)
    assert codes == [1] * limit
    assert world.requeued == [JOB] * (limit - 1)  # the last one is not put back
    seen = of(submission)
    assert [entry["cause"] for entry in seen.interruptions] == [cause] * limit
    assert seen.state is State.failed
    assert seen.error
    assert words in seen.error


def test_attempts_that_make_progress_do_not_count(submission, world, monkeypatch):
    """Progress is work that is saved for the first time; a repeated step is none."""
    steps = iter([10, 20, 20, 15, 30, 30, 30])

    def end(folder, log):
        status.StatusRecorder(folder).saved("checkpoint", next(steps))
        return killed(folder, log)

    assert run(submission, monkeypatch, *[end] * 4) == [1] * 4
    assert world.requeued == [JOB] * 3  # cluster.max_attempts.killed=2: those that repeated 20 and 15
    submission.cluster["max_attempts"]["killed"] = 3
    assert run(submission, monkeypatch, *[end] * 3) == [1] * 3
    assert world.requeued == [JOB] * 6  # 30 is new
    assert [entry["saved"] for entry in of(submission).interruptions][-1] == {"checkpoint": 30}


def test_interruptions_of_an_earlier_submission_do_not_count(submission, world, monkeypatch):
    (task,) = submission.tasks()
    folder = submission.folder_of(task)
    monkeypatch.setenv("SLURM_ARRAY_JOB_ID", "7")
    for _ in range(5):
        status.start(folder)
        status.interrupt(folder, "killed")
    monkeypatch.setenv("SLURM_ARRAY_JOB_ID", "8")
    assert run(submission, monkeypatch, killed, done) == [1, 0]
    assert world.requeued == [JOB]


def test_a_preempted_job_waits_for_slurm_to_put_it_back(submission, world, monkeypatch):
    world.fields["PreemptTime"] = "2026-01-01T12:00:00"
    monkeypatch.setattr(supervisor.time, "sleep", lambda seconds: world.fields.update(Restarts="1"))
    assert run(submission, monkeypatch, saved("terminated")) == [1]
    assert of(submission).interruptions[-1]["cause"] == "preempted"
    assert world.requeued == []  # SLURM has done it; doing it again would end the new run


@pytest.mark.parametrize("state", ["COMPLETING", "CANCELLED", "COMPLETED", "PENDING"])
def test_a_job_that_has_ended_is_never_put_back(state, submission, world, monkeypatch):
    world.fields["JobState"] = state
    assert run(submission, monkeypatch, saved("terminated")) == [1]
    assert of(submission).interruptions[-1]["cause"] == "terminated"
    assert world.requeued == []


def test_a_job_that_slurm_does_not_requeue_is_requeued(submission, world, monkeypatch):
    world.fields["PreemptTime"] = "2026-01-01T12:00:00"
    assert run(submission, monkeypatch, saved("terminated")) == [1]
    assert world.waited >= supervisor.REQUEUE_SECONDS
    assert world.requeued == [JOB]


def test_a_cluster_that_refuses_to_requeue_is_quoted(submission, world, monkeypatch):
    def refuse(job_id):
        raise UserError("Requested operation is presently disabled")

    monkeypatch.setattr(slurm, "requeue_job", refuse)
    assert run(submission, monkeypatch, saved("time_limit")) == [1]
    assert of(submission).state is State.failed
    assert "ended by time_limit" in of(submission).error
    assert "Requested operation is presently disabled" in of(submission).error


@pytest.mark.parametrize(
    ("past", "cause"),
    [
        ("NODE_FAIL\nRUNNING\n", "node_failure"),
        ("REQUEUED\n", "requeued"),
        ("PREEMPTED\nREQUEUED\nOUT_OF_MEMORY\nRUNNING\n", "out_of_memory"),
        ("RUNNING\n", "killed"),
        ("", "killed"),  # no accounting
    ],
)
def test_accounting_names_the_end_of_a_run_that_ended_with_its_supervisor(past, cause, submission, world, monkeypatch):
    (task,) = submission.tasks()
    status.start(submission.folder_of(task))
    world.past = past
    run(submission, monkeypatch, done)
    assert [entry["cause"] for entry in of(submission).interruptions] == [cause]


def test_out_of_memory_that_took_the_supervisor_too_is_not_tried_again(submission, world, monkeypatch):
    (task,) = submission.tasks()
    status.start(submission.folder_of(task))
    world.past = "OUT_OF_MEMORY"
    assert run(submission, monkeypatch, done) == [1]
    assert "cluster.max_attempts.out_of_memory=1" in of(submission).error


@pytest.mark.parametrize(
    ("message", "found"),
    [
        ("slurmstepd: error: Detected 1 oom-kill event(s) in StepId=8.0. Some of your processes may", True),
        ("slurmstepd-n1: error: Exceeded job memory limit", True),
        ("slurmstepd-n1: error: StepId=1.0 exceeded memory limit (325730304 > 52428800), being killed", True),
        ("torch.cuda.OutOfMemoryError: CUDA out of memory. Tried to allocate 2.00 GiB", True),
        ("slurmstepd: error: *** STEP 8.0 ON n1 CANCELLED AT 2026-11-26T02:02:07 ***", False),
        ("the room of the zoom killed the mood", False),
    ],
)
def test_out_of_memory_is_recognized_by_its_messages(message, found):
    assert bool(supervisor.OUT_OF_MEMORY.search(message)) is found
