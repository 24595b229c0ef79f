"""Pruning of a search's trials: scores at rungs are reported to Optuna's pruner, which says which trials end there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from optuna.trial import Trial

from mmdpo.config.choices import Runner, SearchKind
from mmdpo.config.schema import Config
from mmdpo.config.search_settings import SearchConfig
from mmdpo.console import print_line
from mmdpo.entry.samplers import step_of
from mmdpo.entry.start_checks import rung_problem
from mmdpo.errors import UserError
from mmdpo.points import status
from mmdpo.points.point import Point
from mmdpo.points.rungs import read_rung

if TYPE_CHECKING:
    from mmdpo.sweep.halving import Run

PRUNER_GROUP, RUNGS_KEY = "hydra/sweeper/pruner", "hydra.sweeper.rungs"


def pruning_rungs(value: Any, pruner: str, config: Config, objectives: Sequence[str]) -> list[float]:
    """Return the rungs at which trials are pruned; none if the search prunes nothing.

    Args:
        value: The value of `hydra.sweeper.rungs`; None for the default of `search.rungs`.
        pruner: The name of the pruner.
        config: The config of a point.
        objectives: The scores that are searched.

    Raises:
        UserError: The rungs are no rising shares, or these points cannot be pruned.
    """
    if config.search.kind is not SearchKind.none:
        raise UserError(
            f"search={config.search.name}: a search with Optuna prunes by {PRUNER_GROUP}=median or hyperband; drop it"
        )
    if pruner == "none":
        if value is not None:
            raise UserError(f"{RUNGS_KEY}={value}: nothing is pruned at rungs; type {PRUNER_GROUP}=median, or drop it")
        return []
    if len(objectives) > 1:
        typed = f"objective={','.join(objectives)}"
        raise UserError(f"{typed}: {PRUNER_GROUP}={pruner} decides by one score; type one, or {PRUNER_GROUP}=none")
    if config.cluster.runner is Runner.slurm:
        raise UserError(
            f"{PRUNER_GROUP}={pruner}: jobs of cluster=slurm run to the end; type {PRUNER_GROUP}=none, "
            "cluster=local_parallel within one job, or search=halving without hydra/sweeper=optuna"
        )
    if problem := rung_problem(config):
        raise UserError(f"{PRUNER_GROUP}={pruner}: {problem}, or {PRUNER_GROUP}=none")
    if value is None:
        return SearchConfig("").rungs
    rungs = [*value] if isinstance(value, Sequence) and not isinstance(value, str) else []
    shares = [one for one in rungs if isinstance(one, int | float) and 0 < one < 1]
    steps = [step_of(one) for one in shares]
    if not rungs or shares != rungs or sorted({*steps}) != steps or steps[0] < 1:
        raise UserError(
            f"{RUNGS_KEY}={value}: must be rising shares between 0 and 1, apart by 0.01 or more; type "
            f"'{RUNGS_KEY}=[0.25,0.5]'"
        )
    return [float(one) for one in shares]


class BatchPruning:
    """The rungs of one batch: which of its trials end there.

    Attributes:
        pruned: The trials that were pruned.
    """

    def __init__(self, trials: Mapping[Trial, Point], rungs: Sequence[float], objective: str, pruner: str) -> None:
        """Prune nothing yet.

        Args:
            trials: The trials of the batch, in the order of their numbers, with their points.
            rungs: The rungs; none to train each point to the end.
            objective: The score that is searched.
            pruner: The name of the pruner.
        """
        self.trials, self.rungs, self.objective, self.pruner = trials, rungs, objective, pruner
        self.pruned: dict[Trial, Point] = {}

    def run(self, missing: Sequence[Point], run: Run) -> tuple[list[Point], dict[Path, str]]:
        """Train points to the rungs, as long as they are not pruned.

        Args:
            missing: The points of the command that are not finished.
            run: Runs points to a rung.

        Returns:
            The points to run to the end, and the reasons of failed ones.
        """
        self.pruned = {}
        errors: dict[Path, str] = {}
        open_folders = {p.folder for p in missing}
        live = dict(self.trials)
        for share in self.rungs:
            errors |= run([*{p.folder: p for p in live.values() if p.folder in open_folders}.values()], share)
            live = {trial: p for trial, p in live.items() if p.work_folder not in errors}
            for trial, p in self._prune(live, share).items():
                reason = f"at rung {share:g} with {self.objective} {_reports(trial)[step_of(share)]:.4g} on dev"
                print_line(f"pruned  {p.name}: {reason}")
                status.prune(p.folder, f"{reason}: {PRUNER_GROUP}={self.pruner}")
            live = {trial: p for trial, p in live.items() if trial not in self.pruned}
        ended = {p.folder for p in self.pruned.values()} - {p.folder for p in live.values()}
        return [p for p in missing if p.folder not in ended and p.work_folder not in errors], errors

    def is_ended(self) -> bool:
        """Return whether each trial is finished or pruned.

        If it may be, the known scores are reported, and the pruner decides again as before.
        """
        if not all(status.is_done(p.folder) or (self.rungs and _is_pruned(p.folder)) for p in self.trials.values()):
            return False
        live = dict(self.trials)
        for share in self.rungs:
            self._prune(live, share)
            live = {trial: p for trial, p in live.items() if trial not in self.pruned}
        return all(status.is_done(p.folder) for p in live.values())

    def _prune(self, live: Mapping[Trial, Point], share: float) -> dict[Trial, Point]:
        """Report the scores of trials at a rung, and return those that end there. A finished point stays finished."""
        reported = []
        for trial, p in live.items():
            score = read_rung(p.folder, share)
            value = score.value(self.objective) if score is not None else None
            if value is not None:
                if step_of(share) not in _reports(trial):
                    trial.report(value, step_of(share))
                reported.append(trial)
        chosen = [trial for trial in reported if trial.should_prune()]
        found = {trial: live[trial] for trial in chosen if not status.is_done(live[trial].folder)}
        self.pruned |= found
        return found


def _is_pruned(folder: Path) -> bool:
    return status.read_status(folder).state is status.State.pruned


def _reports(trial: Trial) -> Mapping[int, float]:
    return trial.study.get_trials(deepcopy=False)[trial.number].intermediate_values
