"""The record of a search: its trials in a storage of Optuna, by default a SQLite file in the study's folder.

Points and scores are in the study's folder. The record keeps which values were tried in which order, so that a search
continues where it ended, and Optuna's dashboard can show it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import optuna
from filelock import FileLock, Timeout
from optuna.storages import BaseStorage
from optuna.trial import FrozenTrial, Trial, TrialState
from sqlalchemy.exc import SQLAlchemyError

from mmdpo.errors import UserError

FILE = "optuna.db"
STORAGE, NAME = "hydra.sweeper.storage", "hydra.sweeper.study_name"
OBJECTIVES = "objectives"
POINT = "point"
"""The attribute of a trial that names its point."""


class TrialRecord:
    """The trials of one search, in the order of their numbers."""

    def __init__(self, folder: Path, storage: str | None, name: str, objectives: Sequence[str]) -> None:
        """Describe the record; nothing is read or written yet.

        Args:
            folder: The folder of the study.
            storage: An address of Optuna's; None for a file in the folder.
            name: The name of the search in the storage.
            objectives: The scores that are searched.
        """
        self.folder, self.name, self.objectives = folder, name, [*objectives]
        self.file = folder / FILE if storage is None else _sqlite_file(storage)
        self.storage = f"sqlite:///{self.file}" if storage is None else storage
        self._storage: BaseStorage | None = None
        self._study: optuna.Study | None = None
        self._lock = FileLock(folder / ".optuna.lock")

    def read(self) -> list[FrozenTrial]:
        """Return the recorded trials; none of a search that has not begun.

        Raises UserError if the storage cannot be read, or holds another search of that name.
        """
        if self.file is not None and not self.file.is_file():
            return []
        with self._readable():
            return self._open().get_trials() if self._exists() else []

    def begin(self, trials: Sequence[Trial], directions: Sequence[str]) -> None:
        """Note trials that are about to run, and that no other command may run meanwhile.

        Args:
            trials: The trials; recorded ones are not noted again.
            directions: The direction of each objective.

        Raises:
            UserError: The storage cannot be written, or another command runs this search.
        """
        self._acquire()
        with self._readable():
            if not self._exists():
                made = optuna.create_study(storage=self._opened(), study_name=self.name, directions=directions)
                made.set_user_attr(OBJECTIVES, self.objectives)
            study = self._open()
            known = len(study.get_trials(deepcopy=False))
            for trial in trials:
                if trial.number >= known:
                    study._storage.create_new_trial(study._study_id, template_trial=_as_running(_frozen(trial)))

    def end(self, trial: FrozenTrial) -> None:
        """Note how a trial ended, with its scores at rungs. One that is noted as ended stays so."""
        with self._readable():
            study = self._open()
            known = study.get_trials(deepcopy=False)[trial.number]
            if known.state.is_finished():
                return
            for step, value in sorted(trial.intermediate_values.items()):
                Trial(study, known._trial_id).report(value, step)
            values = trial.values if trial.state is TrialState.COMPLETE else None
            study.tell(trial.number, values, trial.state, skip_if_finished=True)

    @property
    def is_begun(self) -> bool:
        """True if this process has noted trials of its own."""
        return self._lock.is_locked

    def close(self) -> None:
        """Let other commands run the search."""
        self._lock.release()

    def _opened(self) -> BaseStorage:
        if self._storage is None:
            self._storage = optuna.storages.get_storage(self.storage)
        return self._storage

    def _exists(self) -> bool:
        return self._study is not None or self.name in optuna.get_all_study_names(self._opened())

    def _open(self) -> optuna.Study:
        if self._study is None:
            study = optuna.load_study(study_name=self.name, storage=self._opened())
            searched = study.user_attrs.get(OBJECTIVES)
            if searched != self.objectives:
                others = ",".join(map(str, searched or ["other scores"]))
                raise UserError(
                    f"objective={','.join(self.objectives)}: the search {self.name} in {self.storage} is one for "
                    f"{others}; type study=NEW_NAME, or {NAME}=NEW_NAME"
                )
            self._study = study
        return self._study

    def _acquire(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        if self._lock.is_locked:
            return
        try:
            self._lock.acquire(timeout=0)
        except Timeout:
            raise UserError(
                f"{self.folder}: this search is run by another command; wait for its end, or type study=NEW_NAME"
            ) from None

    @contextmanager
    def _readable(self) -> Iterator[None]:
        try:
            yield
        except UserError:
            raise
        except (SQLAlchemyError, RuntimeError, ImportError, KeyError, ValueError) as error:
            reason = str(getattr(error, "orig", None) or error).splitlines()[0]
            raise UserError(
                f"{STORAGE}={self.storage}: cannot be used ({reason}); type another {STORAGE}=URL, or move the file "
                "away: finished points are kept and are not repeated"
            ) from error


def _frozen(trial: Trial) -> FrozenTrial:
    return trial.study.get_trials(deepcopy=False)[trial.number]


def _as_running(trial: FrozenTrial) -> FrozenTrial:
    """Return a trial without the sampler's own attributes, in which Optuna pickles the state of CMA-ES."""
    return FrozenTrial(
        number=trial.number,
        trial_id=trial._trial_id,
        state=TrialState.RUNNING,
        value=None,
        datetime_start=trial.datetime_start,
        datetime_complete=None,
        params=trial.params,
        distributions=trial.distributions,
        user_attrs=trial.user_attrs,
        system_attrs={},
        intermediate_values={},
    )


def _sqlite_file(storage: str) -> Path | None:
    prefix = "sqlite:///"
    return Path(storage.removeprefix(prefix)) if storage.startswith(prefix) else None
