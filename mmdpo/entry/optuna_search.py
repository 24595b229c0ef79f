"""A search with Optuna: batches of trials, whose points run as those of any other sweep.

The points and their scores are in the study's folder. A search that is continued asks its sampler again for the trials
that are recorded, and takes the scores of finished points from their folders; trials that were interrupted run on.
"""

from __future__ import annotations

import dataclasses
import functools
import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import optuna
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.utils import JobReturn, JobStatus
from omegaconf import DictConfig, OmegaConf
from optuna.trial import FrozenTrial, Trial, TrialState

from mmdpo.config.schema import Config
from mmdpo.console import print_line
from mmdpo.entry.blocks import BLOCKS_KEY
from mmdpo.entry.compose_points import compose_points
from mmdpo.entry.hydra import Refused, launch
from mmdpo.entry.samplers import ONE_OBJECTIVE, SAMPLER, make_pruner, make_sampler
from mmdpo.entry.search import Tried, best_lines, check_split, directions
from mmdpo.entry.search_space import SearchSpace, read_space
from mmdpo.entry.trial_pruning import BatchPruning, pruning_rungs
from mmdpo.entry.trial_record import POINT, TrialRecord
from mmdpo.entry.typed_keys import TypedKeys
from mmdpo.errors import UserError
from mmdpo.files import atomic_write
from mmdpo.points.commands import when_begun
from mmdpo.points.outcome import outcome
from mmdpo.points.point import Point, points_of
from mmdpo.points.rounds import with_rounds
from mmdpo.points.status import is_done

if TYPE_CHECKING:
    from mmdpo.sweep.local import Prune

Compose = Callable[[list[str]], DictConfig]


class Diverged(Exception):
    """Recorded trials that are not those which the sampler chooses, as after a change of its settings."""


def run_search(
    compose: Compose, config: DictConfig, settings: Mapping[str, Any], parser: OverridesParser, typed: Sequence[str]
) -> None:
    """Run a search, and print its best point.

    Args:
        compose: Hydra's composition of a list of overrides.
        config: The composed config of the command, with `hydra`.
        settings: The settings of `hydra.sweeper`.
        parser: Hydra's parser of overrides.
        typed: The overrides of the command line.

    Raises:
        Refused: A setting is wrong, or points failed. The message says which override to type.
    """
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    warnings.filterwarnings("ignore", category=optuna.exceptions.ExperimentalWarning)
    try:
        params = [f"{key}={value}" for key, value in (settings["params"] or {}).items()]
        if settings["blocks"]:
            raise UserError(f"{BLOCKS_KEY}: a search has one space, and no blocks; drop hydra/sweeper=optuna")
        space = read_space(parser, [*params, *typed])
        search = Search(compose, config, settings, space)
        try:
            search.run(replaying=True)
        except Diverged:
            search.run(replaying=False)
        finally:
            search.record.close()
    except UserError as error:
        raise Refused(str(error)) from error


class Search:
    """One search: its space, its settings and its record."""

    def __init__(self, compose: Compose, config: DictConfig, settings: Mapping[str, Any], space: SearchSpace) -> None:
        """Check the settings; nothing is read or written yet.

        Args:
            compose: Hydra's composition of a list of overrides.
            config: The composed config of the command, with `hydra`.
            settings: The settings of `hydra.sweeper`.
            space: The overrides of the command.

        Raises:
            UserError: A setting is wrong.
        """
        self.compose, self.config, self.settings, self.space = compose, config, settings, space
        self.objectives = space.objectives or (str(config.objective),)
        self.directions = directions(self.objectives, settings["direction"])
        self.sampler: Mapping[str, Any] = settings["sampler"] or {}
        name = self.sampler.get("name")
        if name in ONE_OBJECTIVE and len(self.objectives) > 1:
            typed = f"objective={','.join(self.objectives)}"
            raise UserError(f"{typed}: hydra/sweeper/sampler={name} searches one score; choose tpe or nsgaii")
        self.grid = space.grid() if name == "grid" else None
        self.n_trials, self.n_jobs = self._n_trials(), _whole("n_jobs", settings["n_jobs"])
        self.tolerated = _share("max_failure_rate", settings["max_failure_rate"])
        self.pruner: Mapping[str, Any] = settings["pruner"] or {}
        self.typed_keys = TypedKeys()
        folder = Path(config.hydra.sweep.dir)
        self.record = TrialRecord(
            folder, settings["storage"], str(settings["study_name"] or config.study), self.objectives
        )
        make_sampler(self.sampler, 0, self.grid)

    def _n_trials(self) -> int:
        given = self.settings["n_trials"]
        if self.grid is None:
            if given is None:
                raise UserError("hydra.sweeper.n_trials: a search needs a number; type hydra.sweeper.n_trials=20")
            return _whole("n_trials", given)
        size = functools.reduce(lambda count, values: count * len(values), self.grid.values(), 1)
        return size if given is None else min(size, _whole("n_trials", given))

    def run(self, replaying: bool) -> None:
        """Run all batches.

        Args:
            replaying: Ask the sampler for recorded trials again, and not take them from the record.

        Raises:
            Diverged: The sampler does not choose the recorded trials.
            UserError: The record is one of other settings, or a point cannot run.
            Refused: Points failed.
        """
        recorded = self.record.read()
        self._check_fits(recorded)
        study = optuna.create_study(study_name=self.record.name, directions=self.directions)
        if not replaying:
            for one in recorded:
                study.enqueue_trial(one.params)
        tried: list[Tried] = []
        for first in range(0, self.n_trials, self.n_jobs):
            trials = [self._ask(study) for _ in range(min(self.n_jobs, self.n_trials - first))]
            if any(one.params != recorded[one.number].params for one in trials if one.number < len(recorded)):
                raise Diverged
            tried += self._run_batch(study, trials, recorded)
        states = [one.state for one in study.get_trials(deepcopy=False)]
        for state, word in ((TrialState.PRUNED, "were pruned"), (TrialState.FAIL, "failed")):
            if count := states.count(state):
                print_line(f"{count} of {self.n_trials} trials {word}, and are no part of the best")
        for line in best_lines(tried, self.objectives, str(self.config.study)):
            print_line(line)

    def _check_fits(self, recorded: Sequence[FrozenTrial]) -> None:
        others = [one for one in recorded if not self.space.contains(one.params)]
        if others:
            values = ", ".join(f"{key}={value}" for key, value in others[0].params.items())
            raise UserError(
                f"{self.record.storage}: {len(others)} recorded trials are not in this space, as {values}; type the "
                "ranges of before, study=NEW_NAME or hydra.sweeper.study_name=NEW_NAME"
            )

    def _ask(self, study: optuna.Study) -> Trial:
        number = sum(one.state is not TrialState.WAITING for one in study.get_trials(deepcopy=False))
        study.sampler = make_sampler(self.sampler, number, self.grid)
        try:
            return study.ask({**self.space.distributions})
        except (TypeError, ValueError, ImportError, AssertionError) as error:
            reason = next(iter(str(error).splitlines()), type(error).__name__)
            raise UserError(f"{SAMPLER}: {reason}; type other settings of it") from error

    def _run_batch(self, study: optuna.Study, trials: Sequence[Trial], recorded: Sequence[FrozenTrial]) -> list[Tried]:
        """Run the points of a batch, as far as they are not finished, and tell the study their scores."""
        overrides = [self._overrides(one) for one in trials]
        configs = [*compose_points(self.compose, overrides, self.typed_keys)]
        for config, typed in zip(configs, overrides, strict=True):
            check_split(config.bench.split.value, typed)
        points = points_of([with_rounds([config])[-1] for config in configs])  # the score is that of the last round
        self._check_points(trials, points, recorded)
        given_up = {one.number for one in recorded if one.state is TrialState.FAIL}
        live = {one: p for one, p in zip(trials, points, strict=True) if one.number not in given_up}
        pruner = str(self.pruner.get("name"))
        rungs = pruning_rungs(self.settings["rungs"], pruner, configs[0], self.objectives)
        if trials[0].number == 0:
            study.pruner = make_pruner(self.pruner, rungs)
        pruning = BatchPruning(live, rungs, self.objectives[0], pruner)
        failed: set[Trial] = set()
        if pruning.is_ended():
            done = [config for config, p in zip(configs, points, strict=True) if is_done(p.folder)]
            if done and trials[-1].number == self.n_trials - 1:  # for the table of a command that has nothing to run
                self._launch(trials, points, done, None)
        else:
            to_run = [config for one, config in zip(trials, configs, strict=True) if one in live]
            errors = self._launch(trials, points, to_run, pruning.run if rungs else None)
            failed = {one for one, error in zip(live, errors, strict=True) if error}
        tried = []
        for one, p, words in zip(trials, points, overrides, strict=True):
            if one.number in given_up or one in failed:
                self._tell(study, one, TrialState.FAIL)
            elif one in pruning.pruned:
                self._tell(study, one, TrialState.PRUNED)
            else:
                scores = scores_of(p, self.objectives)
                self._tell(study, one, TrialState.COMPLETE, scores)
                tried.append(Tried(p.name, tuple(words), scores))
        return tried

    def _launch(
        self, trials: Sequence[Trial], points: Sequence[Point], configs: Sequence[Config], prune: Prune | None
    ) -> list[bool]:
        """Run the configs of a batch, and return for each whether it failed, as many as may."""
        several = f"trials {trials[0].number + 1} to {trials[-1].number + 1}"
        print_line(f"{several if len(trials) > 1 else f'trial {trials[0].number + 1}'} of {self.n_trials}")
        for one, p in zip(trials, points, strict=True):
            one.set_user_attr(POINT, p.name)
        when_begun(functools.partial(self.record.begin, trials, self.directions))
        when_begun(self._save)
        return self._failed(launch(configs, searching=True, prune=prune), len(configs))

    def _overrides(self, trial: Trial) -> list[str]:
        first = [f"objective={self.space.objectives[0]}"] if self.space.objectives else []
        return [*self.space.overrides(trial.params), *first]

    def _check_points(self, trials: Sequence[Trial], points: Sequence[Point], recorded: Sequence[FrozenTrial]) -> None:
        for one, p in zip(trials, points, strict=True):
            before = recorded[one.number].user_attrs.get(POINT) if one.number < len(recorded) else p.name
            if before != p.name:
                raise UserError(
                    f"{self.record.storage}: trial {one.number + 1} was {before}, and would be {p.name} with these "
                    "settings; type the settings of before, study=NEW_NAME or hydra.sweeper.study_name=NEW_NAME"
                )

    def _failed(self, results: Sequence[JobReturn], count: int) -> list[bool]:
        """Return for each of the first results, which are those of trials, whether it is a failure.

        Raises Refused for more than may fail, and for a failed baseline.
        """
        failed = [one.status is JobStatus.FAILED for one in results[:count]]
        for result in results[count:] if sum(failed) <= self.tolerated * count else results:
            _ = result.return_value  # raises if it failed
        return failed

    def _tell(
        self, study: optuna.Study, trial: Trial, state: TrialState, scores: Sequence[float] | None = None
    ) -> None:
        study.tell(trial, scores, state)
        if self.record.is_begun:
            self.record.end(study.get_trials(deepcopy=False)[trial.number])

    def _save(self) -> None:
        """Write multirun.yaml."""
        with atomic_write(self.record.folder / "multirun.yaml") as aside:
            OmegaConf.save(self.config, aside)


def scores_of(p: Point, objectives: Sequence[str]) -> tuple[float, ...]:
    """Return the scores of a finished point.

    Raises UserError if it has no such score.
    """
    found = []
    for objective in objectives:
        named = dataclasses.replace(p, config=dataclasses.replace(p.config, objective=objective))
        value = outcome(named).objective
        if value is None:
            raise UserError(f"objective={objective}: {p.name} has no such score; name another")
        found.append(float(value))
    return tuple(found)


def _whole(name: str, value: Any) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise UserError(f"hydra.sweeper.{name}={value}: must be a whole number, 1 or more; type hydra.sweeper.{name}=1")
    return value


def _share(name: str, value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1:
        raise UserError(f"hydra.sweeper.{name}={value}: must be a share, 0 to 1; type hydra.sweeper.{name}=0")
    return float(value)
