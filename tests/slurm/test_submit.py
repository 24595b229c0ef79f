"""Planning and submitting, with a stand-in for sbatch."""

import dataclasses

import pytest

from mmdpo.config.choices import Resume, Stage
from mmdpo.errors import UserError
from mmdpo.files import write_json
from mmdpo.points import status
from mmdpo.points.changes import all_inputs
from mmdpo.points.point import point
from mmdpo.slurm import client as slurm
from mmdpo.slurm import launch, sbatch, submit
from mmdpo.slurm.client import Job
from mmdpo.slurm.submission import (
    JOBS,
    PREPARE,
    TASKS,
    Part,
    SlurmTask,
    Submission,
    new_submission_folder,
    read_submissions,
)
from mmdpo.slurm.submit import (
    check_unchanged,
    lock_submissions,
    new_submission,
    plan_submission,
    preparation_tasks,
    recover_job_ids,
    send_parts,
    split_into_parts,
)
from mmdpo.slurm.task_states import combine_states, query_task_states
from tests.slurm.submitted import config, submitted, tasks_of


@pytest.fixture
def sent(monkeypatch):
    """A SLURM that takes every script; the scripts, whose ids count from 11."""
    texts: list[str] = []

    def take(folder, text):
        texts.append(text)
        return str(10 + len(texts))

    monkeypatch.setattr(sbatch, "submit_script", take)
    monkeypatch.setattr(slurm, "is_installed", lambda command="sbatch": True)
    monkeypatch.setattr(slurm, "list_jobs", lambda user, ids=(): {})
    return texts


def test_a_plan_sorts_tasks_by_their_states(tmp_path):
    study = tmp_path / "s"
    submission = submitted(study, count=5)
    tasks = tasks_of(config(study), range(6))
    for index, end in ((0, None), (1, "the loss is nan")):
        folder = study / tasks[index].name
        status.start(folder)
        status.finish(folder, end)
    (study / tasks[0].name / "result.json").write_text('{"scores": {}}')
    jobs = {"8_2": Job("8_2", "RUNNING"), "8_3": Job("8_3", "PENDING"), "8_4": Job("8_4", "CANCELLED")}
    found = plan_submission(study, tasks, combine_states([submission], jobs))
    assert found.done == [tasks[0].name]
    assert [*found.live] == [tasks[2].name, tasks[3].name]
    assert found.missing == [tasks[1], tasks[4], tasks[5]]
    assert found.failed == [tasks[1].name, tasks[4].name]
    line = "6 points: 1 done, 2 queued or running, 3 to submit (2 failed before)"
    assert found.line().endswith(line)


def test_a_result_made_elsewhere_is_done(tmp_path):
    """For example by cluster=local in the same folder."""
    tasks = tasks_of(config(tmp_path / "s"), range(1))
    folder = tmp_path / "s" / tasks[0].name
    folder.mkdir(parents=True)
    (folder / "result.json").write_text('{"scores": {}}')
    status.finish(folder)
    assert plan_submission(tmp_path / "s", tasks, {}).done == [tasks[0].name]


@pytest.mark.parametrize(
    ("tasks", "largest", "expected"),
    [
        (1, 1001, [(0, 1)]),
        (5, 5, [(0, 5)]),
        (6, 5, [(0, 5), (5, 1)]),
        (10, 3, [(0, 3), (3, 3), (6, 3), (9, 1)]),
    ],
)
def test_arrays_are_no_larger_than_slurm_allows(tasks, largest, expected):
    assert [(part.first, part.count) for part in split_into_parts(tasks, False, largest)] == expected
    assert split_into_parts(tasks, True, largest) == [Part(PREPARE), *split_into_parts(tasks, False, largest)]


def test_a_command_that_was_killed_before_it_submitted_anything_leaves_no_folder(tmp_path):
    submission = submitted(tmp_path / "s", count=1)
    left = new_submission_folder(tmp_path / "s")
    (left / "tasks.jsonl").parent.mkdir()
    (left / "tasks.jsonl").write_text("{}\n")
    (left.parent / "code-0123456789").mkdir()
    with lock_submissions(tmp_path / "s"):
        assert not left.exists()
    assert submission.folder.exists()
    assert (left.parent / "code-0123456789").exists()


def test_what_points_share_is_made_once(tmp_path):
    study = tmp_path / "s"
    one = config(study)
    seeds = tasks_of(one, range(4))
    scaled = tasks_of(dataclasses.replace(one, data_scale=0.5, beta=0.7, lr=1.0), range(1))
    assert len(preparation_tasks([*seeds, *scaled], [])) == 1
    other = tasks_of(dataclasses.replace(one, data_limit=9), range(1))
    assert len(preparation_tasks([*seeds, *other], [])) == 2
    sft = tasks_of(config(study, "method=sft"), range(1))
    assert len(preparation_tasks([*seeds, *sft], [])) == 2


def test_what_needs_no_training_needs_no_preparation(tmp_path):
    one = config(tmp_path / "s")
    assert preparation_tasks(tasks_of(dataclasses.replace(one, data_scale=0.0), range(2)), []) == []
    assert preparation_tasks(tasks_of(one, range(2), Stage.evaluate), []) == []
    assert len(preparation_tasks(tasks_of(one, range(2), Stage.train), [])) == 1


def test_what_an_earlier_submission_has_made_is_not_made_again(tmp_path):
    submission = submitted(tmp_path / "s", prepare="7")
    tasks = [*submission.tasks()]
    assert len(preparation_tasks(tasks, [submission])) == 1  # not done
    status.finish(submission.folder / PREPARE)
    assert preparation_tasks(tasks, [submission]) == []
    submission.user = "another"  # with a cache of their own
    assert len(preparation_tasks(tasks, [submission])) == 1


def new(study, count, prepare=True):
    one = config(study)
    submission = new_submission(study, one.cluster, [one], "code-0", split_into_parts(count, prepare, 2))
    submission.write_tasks(TASKS, tasks_of(one, range(count)))
    submission.save()
    return submission, one.cluster


def test_each_part_is_noted_as_soon_as_sbatch_has_it(tmp_path, sent):
    submission, cluster = new(tmp_path / "s", 5)
    send_parts(submission, cluster)
    assert len(sent) == 4
    (found,) = read_submissions(tmp_path / "s")
    assert [part.job for part in found.parts] == ["11", "12", "13", "14"]
    assert all("--dependency=afterok:11\n" in text for text in sent[1:])


def test_a_rejected_submission_leaves_nothing(tmp_path, sent, monkeypatch):
    cancelled = []
    monkeypatch.setattr(slurm, "cancel_jobs", cancelled.extend)

    def refuse(folder, text):
        if "prepare" in text:
            return "11"
        raise UserError("Invalid qos specification")

    monkeypatch.setattr(sbatch, "submit_script", refuse)
    submission, cluster = new(tmp_path / "s", 2)
    with pytest.raises(UserError, match=r"^Invalid qos specification$"):
        send_parts(submission, cluster)
    assert not submission.folder.exists()
    assert cancelled == ["11"]  # the preparation of nothing


def test_a_partly_accepted_submission_counts_its_points(tmp_path, sent, monkeypatch):
    def take_one(folder, text):
        sent.append(text)
        if len(sent) > 2:
            raise UserError("Job violates accounting/QOS policy (job submit limit)")
        return str(10 + len(sent))

    monkeypatch.setattr(sbatch, "submit_script", take_one)
    submission, cluster = new(tmp_path / "s", 5)
    with pytest.raises(UserError, match=r"submit limit\)\. 2 points were submitted before; rerun .* other 3"):
        send_parts(submission, cluster)
    (found,) = read_submissions(tmp_path / "s")
    assert [part.job for part in found.parts] == ["11", "12", None, None]
    assert [one.state for one in combine_states([found], {}).values()] == ["cancelled", "cancelled", *["planned"] * 3]


def test_a_part_whose_answer_got_lost_is_not_submitted_twice(tmp_path, sent, monkeypatch):
    queue = {}
    monkeypatch.setattr(slurm, "list_jobs", lambda user, ids=(): queue)
    monkeypatch.setattr("tenacity.nap.time.sleep", lambda seconds: None)

    def lose(folder, text):
        sent.append(text)
        queue["77_0"] = Job("77_0", "PENDING", comment=f"mmdpo:{folder.name}:tasks:0")
        raise slurm.Unreachable("Socket timed out on send/recv operation")

    monkeypatch.setattr(sbatch, "submit_script", lose)
    submission, cluster = new(tmp_path / "s", 2, prepare=False)
    send_parts(submission, cluster)
    assert len(sent) == 1
    assert read_submissions(tmp_path / "s")[0].parts[0].job == "77"


def test_ids_that_a_killed_launcher_did_not_note_are_found(tmp_path, monkeypatch):
    submission = submitted(tmp_path / "s", job=None, prepare="7", count=3, largest=2)
    own = [Job("9_0", "RUNNING", comment=f"mmdpo:{submission.name}:tasks:0")]
    monkeypatch.setattr(slurm, "list_jobs", lambda user, ids=(): {one.id: one for one in own})
    (submission.folder / "tasks-2.job").write_text("10")  # by the job itself, which left squeue
    recover_job_ids(tmp_path / "s")
    assert [part.job for part in read_submissions(tmp_path / "s")[0].parts] == ["7", "9", "10"]


def test_a_preparation_that_an_interrupted_command_left_is_waited_for(tmp_path, sent, monkeypatch):
    study = tmp_path / "s"
    killed = submitted(study, job=None, prepare=None, count=2)  # before any id was noted
    killed.parts.insert(0, Part(PREPARE))
    killed.write_tasks(PREPARE, preparation_tasks([*killed.tasks()], []))
    killed.save()
    comment = f"mmdpo:{killed.name}:prepare:0"
    queue = {"7": Job("7", "RUNNING", node="n1", comment=comment)}
    monkeypatch.setattr(slurm, "list_jobs", lambda user, ids=(): queue)
    monkeypatch.setattr(slurm, "max_array_size", lambda: 1001)
    monkeypatch.setattr(slurm, "controller_config", dict)
    monkeypatch.setattr(launch, "take_snapshot", lambda jobs: "code-0")
    monkeypatch.setattr(launch, "check_unchanged", lambda *_: None)
    one = config(study)
    tasks = tasks_of(one, range(2))
    launch.submit_missing(study, tasks, [one], one.cluster)
    (text,) = sent  # the array alone
    assert "--dependency=afterok:7\n" in text
    _, second = read_submissions(study)
    assert [part.kind for part in second.parts] == [TASKS]
    status.finish(killed.folder / PREPARE, "out of memory")
    queue |= {"7": Job("7", "FAILED"), "11_0": Job("11_0", "CANCELLED"), "11_1": Job("11_1", "CANCELLED")}
    assert {one.detail for one in query_task_states(read_submissions(study)).values()} == {
        "the preparation failed: out of memory"
    }
    launch.submit_missing(study, tasks, [one], one.cluster)
    assert len(sent) == 3  # a preparation that has ended is made again
    assert "--dependency=afterok:12\n" in sent[-1]


def test_jobs_of_an_interrupted_command_are_seen_by_status(tmp_path, monkeypatch):
    submission = submitted(tmp_path / "s", job=None, count=1)
    jobs = {"8_0": Job("8_0", "RUNNING", node="n1", comment=f"mmdpo:{submission.name}:tasks:0")}
    monkeypatch.setattr(slurm, "list_jobs", lambda user, ids=(): jobs)
    monkeypatch.setattr(slurm, "controller_config", dict)
    (one,) = query_task_states(read_submissions(tmp_path / "s")).values()
    assert (one.state, one.job) == ("running", "8_0")


@pytest.mark.parametrize("place", ["write_tasks", "save"])
def test_a_full_disk_is_a_message_and_keeps_what_sbatch_accepted(place, tmp_path, sent, monkeypatch):
    """The comment of an accepted job names its part, by which the next command finds it."""
    study = tmp_path / "s"
    monkeypatch.setattr(slurm, "max_array_size", lambda: 1001)
    monkeypatch.setattr(slurm, "controller_config", dict)
    monkeypatch.setattr(launch, "take_snapshot", lambda jobs: "code-0")
    work = getattr(Submission, place)

    def fail(self, *given):
        if place == "write_tasks" or sent:
            raise OSError(28, "No space left on device", str(self.folder))
        work(self, *given)

    monkeypatch.setattr(Submission, place, fail)
    one = config(study)
    with pytest.raises(UserError, match=r"No space left on device.*rerun the same command, which finds the jobs"):
        launch.submit_missing(study, tasks_of(one, range(2)), [one], one.cluster)
    assert len(sent) == (place == "save")
    assert len(read_submissions(study)) == len(sent)


@pytest.mark.parametrize("name", ["back\\slash", "a:b", "two\nlines"])
def test_paths_that_slurm_cannot_use_are_refused(name, tmp_path, sent):
    one = config(tmp_path / name / "s")
    with pytest.raises(UserError, match="type out=FOLDER"):
        launch.submit_missing(tmp_path / name / "s", tasks_of(one, range(1)), [one], one.cluster)
    assert not sent


@pytest.fixture
def begun(tmp_path, monkeypatch):
    """A study, its config, and the code's files as they are now."""
    study = tmp_path / "s"
    data = tmp_path / "pairs.jsonl"
    data.write_text("{}\n")
    one = config(study, "data=pairs", f"data.path={data}")
    files = {"mmdpo/training/loss.py": "1", "mmdpo/analysis/table.py": "1", "mmdpo/slurm/supervisor.py": "1"}
    monkeypatch.setattr(submit, "code_files", lambda: files)
    submission = submitted(study)
    submission.inputs = all_inputs([one])
    write_json(study / JOBS / "code-0" / "files.json", dict(files))
    return submission, one, files, data


def test_a_study_whose_code_and_data_are_as_they_were_goes_on(begun):
    submission, one, files, _ = begun
    files["mmdpo/analysis/table.py"] = files["mmdpo/slurm/supervisor.py"] = "2"  # no result depends on them
    check_unchanged([submission], [one], None)
    check_unchanged([], [one], None)


def test_changed_code_is_named_with_both_overrides(begun):
    submission, one, files, _ = begun
    files["mmdpo/training/loss.py"] = "2"
    with pytest.raises(UserError) as caught:
        check_unchanged([submission], [one], None)
    for words in ("mmdpo/training/loss.py", "study=NEW_NAME", "resume=force", "since 2026-01-01"):
        assert words in str(caught.value)
    check_unchanged([submission], [dataclasses.replace(one, resume=Resume.force)], None)


def test_changed_data_are_named(begun):
    submission, one, _, data = begun
    data.write_text("{} \n")
    with pytest.raises(UserError, match=rf"data\.path={data} \(rows\)"):
        check_unchanged([submission], [one], None)


def test_contents_of_every_submission_are_compared_and_other_choices_of_them_are_no_change(begun):
    submission, one, _, data = begun
    more = data.with_name("more.jsonl")
    more.write_text("{}\n")
    model = dataclasses.replace(one.model, pad_to_square=True)  # another processor from the same files
    second = dataclasses.replace(one, data=dataclasses.replace(one.data, path=str(more)), model=model)
    later = dataclasses.replace(submission, folder=submission.folder.with_name("20260102-120000-0000"))
    later.inputs = all_inputs([second])
    found = [submission, later]
    check_unchanged(found, [one, second], None)
    data.write_text("{} \n")
    with pytest.raises(UserError, match=rf"data\.path={data} \(rows\)"):
        check_unchanged(found, [one, second], None)
    check_unchanged(found, [second], None)


def test_a_point_whose_job_is_at_another_stage_is_not_taken_for_on_its_way(tmp_path):
    submission = submitted(tmp_path / "s", stage=Stage.train, count=1)
    jobs = {"8_0": Job("8_0", "RUNNING")}
    wanted = tasks_of(config(tmp_path / "s"), range(1))
    with pytest.raises(UserError, match="job 8_0 runs its stage=train"):
        plan_submission(tmp_path / "s", wanted, combine_states([submission], jobs))
    training = tasks_of(config(tmp_path / "s"), range(1), Stage.train)
    assert list(plan_submission(tmp_path / "s", training, combine_states([submission], jobs)).live) == [
        training[0].name
    ]


def test_many_changes_are_counted(begun):
    submission, one, files, _ = begun
    files |= {f"mmdpo/methods/{number}.py": "new" for number in range(9)}
    with pytest.raises(UserError, match=r"4\.py and 4 more"):
        check_unchanged([submission], [one], None)


def test_a_study_without_its_snapshot_has_changed(begun):
    submission, one, _, _ = begun
    (submission.study / JOBS / "code-0" / "files.json").unlink()
    with pytest.raises(UserError, match="resume=force"):
        check_unchanged([submission], [one], None)


def test_retry_runs_the_code_of_the_submission_and_refuses_other_data(begun, monkeypatch):
    first, one, files, data = begun
    more = data.with_name("more.jsonl")
    more.write_text("{}\n{}\n")
    second = config(first.study, "data=pairs", f"data.path={more}")
    first.inputs = all_inputs([one, second])
    first.write_tasks(TASKS, [SlurmTask.of(point(each), Stage.experiment) for each in (one, second)])
    first.save()
    files["mmdpo/training/loss.py"] = "2"
    sent = []
    monkeypatch.setattr(launch, "check_fits", lambda cluster: None)
    monkeypatch.setattr(launch, "query_jobs", lambda found: {})
    monkeypatch.setattr(slurm, "controller_config", dict)
    monkeypatch.setattr(launch, "send_parts", lambda submission, cluster: sent.append(submission))
    monkeypatch.setattr(launch, "recover_job_ids", read_submissions)
    monkeypatch.setattr(slurm, "max_array_size", lambda: 1001)
    assert launch.resubmit(first.study, []) == 2
    assert sent[0].inputs == first.inputs
    assert {str(path) in text for path in (data, more) for text in [str(sent[0].inputs)]} == {True}
    more.write_text("{} \n")
    with pytest.raises(UserError, match=rf"since .*: data\.path={more} \(rows\)\. .*resume=force"):
        launch.resubmit(first.study, [])


def test_retry_needs_the_code_of_the_submission(begun):
    submission, *_ = begun
    (submission.study / JOBS / "code-0").rename(submission.study / JOBS / "gone")
    with pytest.raises(UserError, match=r"code-0\. .*resume=force"):
        launch.resubmit(submission.study, [])


def test_retry_of_a_study_that_never_was_on_slurm(tmp_path):
    with pytest.raises(UserError, match="has no jobs on SLURM; rerun its launch command"):
        launch.resubmit(tmp_path, [])
