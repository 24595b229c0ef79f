"""Judging of a study's answers by a service: by the waiting command as answers arrive, or by a job of its own.

Nodes often have no network. The jobs of a study whose judge is a service therefore end with answers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from mmdpo.config.choices import JudgePlace, Stage
from mmdpo.config.judging_place import is_judged_apart
from mmdpo.config.schema import Config
from mmdpo.console import print_line
from mmdpo.errors import Outstanding, Stopped
from mmdpo.points.point import Point
from mmdpo.points.results import has_answers
from mmdpo.points.status import is_done
from mmdpo.slurm.submission import SlurmTask


def judges_here(config: Config, stage: Stage) -> bool:
    """Return whether this command judges the answers of its jobs itself."""
    apart = is_judged_apart(config.bench.judge.client, config.cluster.runner)
    return apart and stage in (Stage.experiment, Stage.judge) and config.cluster.judge is JudgePlace.login


def can_be_judged(p: Point) -> bool:
    """Return whether a point has answers and no result yet."""
    return not is_done(p.folder) and has_answers(p.folder, p.config.bench.tasks)


@dataclass
class Judging:
    """The judging by this process of points whose answers are there.

    Attributes:
        judge_point: Judge one point; returns the reason if that failed.
        errors: The reasons of the points that could not be judged, by name.
        stopped: The limit of the judge that ended the judging; later points are left.
        outstanding: Batch jobs whose replies are not there yet.
        tried: The names of the points that were tried.
    """

    judge_point: Callable[[Point], str | None]
    errors: dict[str, str] = field(default_factory=dict)
    stopped: Stopped | None = None
    outstanding: Outstanding | None = None
    tried: set[str] = field(default_factory=set)

    def judge(self, points: Iterable[Point]) -> None:
        """Judge each point once. A point that fails, or a limit of the judge, does not end the command."""
        for p in points:
            if self.stopped or p.name in self.tried or not can_be_judged(p):
                continue
            self.tried.add(p.name)
            print_line(f"judging {p.name}")
            try:
                error = self.judge_point(p)
            except Outstanding as stop:  # batch jobs of other points can be submitted meanwhile
                self.outstanding = stop
                print_line(str(stop))
                continue
            except Stopped as stop:
                self.stopped = stop
                print_line(f"{stop} The jobs continue; points that are answered later are judged by the same command.")
                return
            if error:
                self.errors[p.name] = error

    def wants(self, names: Sequence[str]) -> bool:
        """Return whether one of these answered points has not been tried yet."""
        return self.stopped is None and not self.tried.issuperset(names)

    def raise_if_stopped(self) -> None:
        """Raise the limit that ended the judging, so that the command ends with its exit code."""
        if ended := self.stopped or self.outstanding:
            raise ended


def judge_tasks(tasks: Iterable[SlurmTask], judge_point: Callable[[Point], str | None]) -> int:
    """Judge the answered points of a study in a job.

    Args:
        tasks: The tasks of the study.
        judge_point: Judge one point; returns the reason if that failed.

    Returns:
        The exit code: 1 if one failed.

    Raises:
        Stopped: A limit of the judge ended the run.
    """
    judging = Judging(judge_point)
    judging.judge(task.point for task in tasks)
    for name, error in judging.errors.items():
        print_line(f"{name}: {error}")
    judging.raise_if_stopped()
    return 1 if judging.errors else 0
