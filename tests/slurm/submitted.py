"""Submissions on disk, as a command with cluster=slurm writes them, without SLURM."""

from __future__ import annotations

import dataclasses
import functools
from pathlib import Path

from mmdpo.config.choices import Stage
from mmdpo.config.schema import Config
from mmdpo.entry.compose import compose_config
from mmdpo.points.point import point
from mmdpo.slurm.submission import JOBS, PREPARE, TASKS, SlurmTask, Submission, config_to_dict
from mmdpo.slurm.submit import preparation_tasks, split_into_parts

BEGUN = "20260101-120000-0000"


def config(study: Path, *overrides: str) -> Config:
    """The config of a point on SLURM."""
    return dataclasses.replace(_composed(*overrides), out=str(study.parent), study=study.name)


@functools.cache
def _composed(*overrides: str) -> Config:
    return compose_config(["cluster=slurm", *overrides])


def tasks_of(one: Config, seeds: range, stage: Stage = Stage.experiment) -> list[SlurmTask]:
    """The tasks of a sweep over seeds."""
    return [SlurmTask.of(point(dataclasses.replace(one, seed=seed)), stage) for seed in seeds]


def submitted(
    study: Path,
    *overrides: str,
    count: int = 2,
    first: int = 0,
    job: str | None = "8",
    prepare: str | None = None,
    stage: Stage = Stage.experiment,
    name: str = BEGUN,
    largest: int = 1000,
    points_per_job: int = 1,
) -> Submission:
    """Write a submission of `count` points that differ in their seeds, starting at `first`.

    `job` and `prepare` are SLURM's ids; without the latter, there is no preparation.
    """
    one = config(study, *overrides)
    found = split_into_parts(count, prepare is not None, largest, points_per_job=points_per_job)
    submission = Submission(
        study / JOBS / name,
        code="code-0",
        cluster=config_to_dict(one.cluster),
        inputs={},
        parts=found,
        cwd=str(study.parent),
        python="/venv/bin/python",
        created="2026-01-01T12:00:00+00:00",
    )
    for part in found:
        part.job = prepare if part.kind == PREPARE else job
    tasks = tasks_of(one, range(first, first + count), stage)
    submission.write_tasks(TASKS, tasks)
    if prepare is not None:
        submission.write_tasks(PREPARE, preparation_tasks(tasks, []))
    submission.save()
    return submission


def no_hours(*_: object) -> tuple[str, ...]:
    """Predict no hours."""
    return ()
