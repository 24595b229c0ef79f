"""search=halving on the command line: its split, what it is refused with, and stages after a pruned training."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from mmdpo.config.choices import SearchKind, Split, Stage
from mmdpo.entry.compose import compose_config
from mmdpo.entry.halving import (
    check_halving,
    check_halving_split,
    halving_overrides,
    search_problems,
    without_pruned,
)
from mmdpo.errors import UserError
from mmdpo.points.point import points_of
from mmdpo.points.search_record import DecidedResult, Decision, write_decisions


@pytest.fixture(scope="module")
def config():
    return compose_config(["search=halving"])


@pytest.mark.parametrize(
    ("typed", "added"),
    [
        (["search=halving"], ["bench.split=dev"]),
        (["search=halving", "bench.split=test"], []),
        (["search=none"], []),
        (["search=halving", "search=none"], []),
        (["search=unknown"], []),
        ([], []),
    ],
)
def test_points_of_a_halving_search_are_compared_on_dev(typed, added):
    assert halving_overrides(typed) == added
    if added:
        with pytest.raises(UserError, match=r"hydra\.sweeper\.max_batch_size=2"):
            halving_overrides([*typed, "hydra.sweeper.max_batch_size=2"])


def test_a_search_that_a_file_chooses_asks_for_the_split(config):
    on_test = dataclasses.replace(config, bench=dataclasses.replace(config.bench, split=Split.test))
    with pytest.raises(UserError, match=r"type bench\.split=dev"):
        check_halving_split([on_test], [["beta=0.1"]])
    check_halving_split([on_test], [["beta=0.1", "bench.split=test"]])
    check_halving_split([dataclasses.replace(on_test, stage=Stage.evaluate)], [["beta=0.1"]])


@pytest.mark.parametrize("rungs", [[], [0.5, 0.25], [0.25, 0.25000001]])
def test_rungs_rise_and_differ(config, rungs):
    assert any("search.rungs=" in one for one in search_problems(dataclasses.replace(config.search, rungs=rungs)))


@pytest.mark.parametrize(
    ("objective", "searching", "processes", "message"),
    [
        ("text/words", False, 1, r"objective=text/words: has no scale"),
        ("text", True, 1, r"drop search= or hydra/sweeper="),
        ("text", False, 2, r"type cluster=slurm, or search=none"),
    ],
)
def test_what_halving_is_not_combined_with(config, objective, searching, processes, message):
    with pytest.raises(UserError, match=message):
        check_halving([dataclasses.replace(config, objective=objective)], Stage.experiment, searching, processes)


def test_later_stages_leave_pruned_points_out(config, tmp_path: Path, capsys):
    whole = dataclasses.replace(config, out=str(tmp_path), study="s")
    configs = [dataclasses.replace(whole, lr=lr) for lr in (1e-4, 2e-4)]
    names = [p.name for p in points_of(configs)]
    decided = tuple(DecidedResult(name, (name,), 1.0, kept) for name, kept in zip(names, (True, False), strict=True))
    write_decisions(tmp_path / "s", [Decision(0.25, "text", 0.5, decided)])
    assert without_pruned(configs, Stage.evaluate) == configs[:1]
    assert "1 pruned points are left out; search=none" in capsys.readouterr().out
    assert without_pruned(configs, Stage.train) == configs
    none = dataclasses.replace(whole.search, kind=SearchKind.none)
    revived = [dataclasses.replace(one, search=none) for one in configs]
    assert without_pruned(revived, Stage.evaluate) == revived
