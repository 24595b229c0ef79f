"""Shares of one point's samples as tasks of an array."""

from __future__ import annotations

from pathlib import Path

import pytest

from mmdpo.config.choices import Stage
from mmdpo.points import status
from mmdpo.points.point import points_of
from mmdpo.slurm import study_status
from mmdpo.slurm.planning import tasks_of_points
from mmdpo.slurm.submission import TASKS
from mmdpo.slurm.task_states import is_finished
from tests.slurm.lines import SMALL, Lines
from tests.slurm.submitted import config, submitted
from tests.support.slurm.cluster import Cluster

BASE = ("data_scale=0", "model.before_visual_tuning=null", "stage=evaluate")


def test_each_share_is_a_task_with_a_state_of_its_own(tmp_path: Path) -> None:
    submission = submitted(tmp_path / "s", *BASE, stage=Stage.evaluate)
    points = points_of([config(tmp_path / "s", *BASE, f"bench.shard={number}/2") for number in (1, 2)])
    tasks = tasks_of_points(points, Stage.evaluate)
    submission.write_tasks(TASKS, tasks)
    assert [task.name for task in tasks] == [f"{points[0].name}/shards/{number}-of-2" for number in (1, 2)]
    read = [*submission.tasks()]
    assert [(task.point, submission.folder_of(task)) for task in read] == [(p, p.work_folder) for p in points]
    first, second = (submission.folder_of(task) for task in read)
    stored = points[0].folder / "answers" / ".unfinished" / "1-of-2.jsonl"
    stored.parent.mkdir(parents=True)
    stored.touch()
    status.start(first)
    assert not is_finished(read[0], first)
    status.finish(first)
    assert [is_finished(task, submission.folder_of(task)) for task in read] == [True, False]
    status.start(second)
    status.finish(second, "no memory is left")
    rows = {row.point: row.state for row in study_status.read(tmp_path / "s").rows}
    assert rows == {read[1].name: "failed"}  # a share that is done is no row


@pytest.mark.slurm
@pytest.mark.slow
@pytest.mark.exhaustive
def test_an_array_of_shares_answers_a_point_and_the_next_command_collects_them(slurm: Cluster, tmp_path: Path) -> None:
    lines = Lines(slurm, tmp_path)
    line = (*SMALL, *BASE[:2])
    done = lines.launch(*line, "stage=evaluate", "bench.shard=1/2,2/2")
    assert "2 points: 0 done, 0 queued or running, 2 to submit" in done.stdout
    (array,) = lines.jobs()
    assert lines.wait_for_end() == {f"{array}_0": "COMPLETED", f"{array}_1": "COMPLETED"}
    (folder,) = lines.points()
    assert {path.name for path in (folder / "shards").iterdir()} == {"1-of-2", "2-of-2"}
    before = {path.name: path.read_bytes() for path in (folder / "answers" / ".unfinished").iterdir()}
    assert sum(content.count(b'"answer"') for content in before.values()) == 4
    again = lines.launch(*line, "stage=evaluate", "bench.shard=1/2,2/2")
    assert "2 points: 2 done" in again.stdout
    lines.launch(*line)
    assert lines.status()["state"] == "done"
    assert (folder / "answers" / "text.jsonl").read_bytes().count(b"\n") == 4
