"""The record of a search: trials by number, without pickles, held by one command, and messages for a damaged one."""

from __future__ import annotations

from pathlib import Path

import optuna
import pytest
from optuna.distributions import FloatDistribution
from optuna.trial import TrialState

from mmdpo.entry.trial_record import FILE, TrialRecord
from mmdpo.errors import UserError

SPACE = {"x": FloatDistribution(0, 1), "y": FloatDistribution(0, 1)}


def searched(folder: Path, count: int) -> TrialRecord:
    """Record trials of a search, of which the last is left running."""
    record = TrialRecord(folder, None, "s", ["text"])
    study = optuna.create_study(directions=["maximize"])
    for number in range(count):
        trial = study.ask(SPACE)
        study._storage.set_trial_system_attr(trial._trial_id, "cma:optimizer:0", "800495")  # a pickle
        record.begin([trial], ["maximize"])
        record.begin([trial], ["maximize"])
        if number < count - 1:
            trial.report(0.5, 25)
            study.tell(trial, float(number))
            record.end(study.trials[number])
            record.end(study.trials[number])  # as after a kill between two notes
    return record


def test_trials_are_read_as_they_were_noted(tmp_path: Path) -> None:
    assert TrialRecord(tmp_path, None, "s", ["text"]).read() == []
    assert not (tmp_path / FILE).exists()  # reading makes nothing
    searched(tmp_path, 3).close()
    trials = TrialRecord(tmp_path, f"sqlite:///{tmp_path / FILE}", "s", ["text"]).read()
    assert [one.state for one in trials] == [TrialState.COMPLETE, TrialState.COMPLETE, TrialState.RUNNING]
    assert [one.values for one in trials] == [[0.0], [1.0], None]
    assert [one.intermediate_values for one in trials] == [{25: 0.5}, {25: 0.5}, {}]
    assert [one.system_attrs for one in trials] == [{}, {}, {}]  # no pickle is kept, and so none is ever read
    assert TrialRecord(tmp_path, None, "other", ["visual"]).read() == []


def test_another_command_and_another_search_are_refused(tmp_path: Path) -> None:
    record = searched(tmp_path, 1)
    assert record.is_begun
    with pytest.raises(UserError, match="run by another command"):
        TrialRecord(tmp_path, None, "s", ["text"]).begin([], ["maximize"])
    record.close()
    with pytest.raises(UserError, match=r"is one for text; type study=NEW_NAME, or hydra\.sweeper\.study_name="):
        TrialRecord(tmp_path, None, "s", ["text", "visual"]).read()


def test_a_damaged_file_is_named(tmp_path: Path) -> None:
    (tmp_path / FILE).write_bytes(b"no database" * 1000)
    with pytest.raises(UserError, match=r"hydra\.sweeper\.storage=sqlite:.*optuna\.db: .*move the file away"):
        TrialRecord(tmp_path, None, "s", ["text"]).read()
    with pytest.raises(UserError, match=r"hydra\.sweeper\.storage=nothing://x"):
        TrialRecord(tmp_path, "nothing://x", "s", ["text"]).read()
