"""The record of a study's plan, when its first command begins to run points."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path

from mmdpo.config.choices import Stage
from mmdpo.config.schema import Config
from mmdpo.points import commands
from mmdpo.points.identity import Role
from mmdpo.points.point import Point, points_of
from mmdpo.points.study_plan import record_plan
from mmdpo.provenance import git_commit

RECORDING = (Stage.experiment, Stage.train, Stage.evaluate, Stage.judge)
"""Stages that compute points."""


def record_plans(configs: Sequence[Config], stage: Stage, searching: bool) -> None:
    """Record the plan of a command in its studies as soon as it begins to run points.

    The points of a search are not known before, and are not those of the planned comparison.
    """
    if configs[0].plan.primary is not None and stage in RECORDING:
        commands.when_begun(partial(_record, points_of(configs), searching))


def _record(points: Sequence[Point], searching: bool) -> None:
    studies: dict[Path, list[Point]] = {}
    for one in points:
        studies.setdefault(one.study, []).append(one)
    for study, members in studies.items():
        config = members[0].config
        split = (config.plan.split or config.bench.split).value
        trained = [one.name for one in members if one.role is Role.trained]
        record_plan(study, config.plan, split, [] if searching else trained, git_commit())
