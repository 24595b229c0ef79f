"""Successive halving on SLURM: each rung is an array of the points that are left, and a small job decides it.

A round is what a command, the deciding job or the waiting command finds to submit: the points of the next rung that are
not measured, or, when all rungs are decided, the survivors. Decisions are made once (search.json), and a point whose
job waits or runs is not submitted again, so any of them may be killed, or do the same at once.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from mmdpo.points.identity import Role
from mmdpo.points.point import Point
from mmdpo.points.results import read_training
from mmdpo.points.rungs import read_rung
from mmdpo.points.status import is_done
from mmdpo.slurm.submission import SlurmTask
from mmdpo.slurm.task_states import TaskState, is_rung_done
from mmdpo.sweep.halving import not_pruned, not_pruned_before
from mmdpo.sweep.rung_decisions import check_keep_points, decide_rung, results_of

JudgeRung = Callable[[Point, float], object]
"""Judges the answers of a point at a rung."""


def next_round(
    tasks: Sequence[SlurmTask], judge_rung: JudgeRung, states: Mapping[str, TaskState] | None = None, own: str = ""
) -> list[SlurmTask]:
    """Decide the rungs that are measured, and return the tasks of the next round.

    Args:
        tasks: All tasks of the command, of one study.
        judge_rung: Judges the answers of a point at a rung, where the judge is a service.
        states: None for a command that a user typed, which tries again what failed. Otherwise the states of the
            submitted tasks by name: what has ended without a result is left out, together with the other seeds of it.
        own: The submission whose jobs have ended, although SLURM may not say so yet.

    Returns:
        The tasks of the round; none while it waits for jobs, and when all is done.
    """
    points, stage = [task.point for task in tasks], tasks[0].stage
    trained = [p for p in points if p.role is Role.trained]
    first = [task for task in tasks if task.role != Role.trained.value] if states is None else []
    check_keep_points(points, points[0].config.search)
    tried = {(name, one.task.rung): one.live and one.submission.name != own for name, one in (states or {}).items()}
    lost: set[str] = set()
    for share in points[0].config.search.rungs:
        going = [p for p in not_pruned(trained) if not is_done(p.folder) and p.name not in lost]
        open_ = [p for p in going if not is_rung_done(SlurmTask.of(p, stage, share), p.folder)]
        if any(tried.get((p.name, share)) for p in open_):
            return []
        failed = {p.name for p in open_ if (p.name, share) in tried}
        if to_run := [p for p in open_ if p.name not in failed]:
            return [*first, *(SlurmTask.of(p, stage, share) for p in to_run)]
        for p in going:
            if p not in open_ and read_rung(p.folder, share) is None and read_training(p.folder) is None:
                judge_rung(p, share)
        lost |= {p.name for one in results_of(trained) for p in one.points if failed & {q.name for q in one.points}}
        decide_rung(not_pruned_before(trained, share), share)
    survivors = [p for p in not_pruned(trained) if p.name not in lost and (p.name, None) not in tried]
    return [*first, *(SlurmTask.of(p, stage) for p in survivors)]


def undecided_round(tasks: Sequence[SlurmTask]) -> list[SlurmTask]:
    """Return the tasks of the next round as far as they are known, and decide nothing."""
    stage, rungs = tasks[0].stage, tasks[0].point.config.search.rungs
    trained = [task.point for task in tasks if task.role == Role.trained.value]
    first = [task for task in tasks if task.role != Role.trained.value]
    for share in rungs:
        at_rung = [SlurmTask.of(p, stage, share) for p in not_pruned(trained) if not is_done(p.folder)]
        if not all(is_rung_done(task, task.point.folder) for task in at_rung):
            return [*first, *at_rung]
    return [*first, *(SlurmTask.of(p, stage) for p in not_pruned(trained))]
