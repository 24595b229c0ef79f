"""The sweeper that searches: its overrides, plugins of Hydra that are refused, and the best points."""

from __future__ import annotations

import importlib.util

import pytest

from mmdpo.entry.search import (
    Tried,
    best_lines,
    check_plugins,
    check_split,
    command_on_test,
    directions,
    pareto_front,
    search_overrides,
)
from mmdpo.errors import UserError

OPTUNA = "hydra/sweeper=optuna"


@pytest.mark.parametrize(
    ("typed", "added"),
    [(["beta=1"], []), ([OPTUNA], ["bench.split=dev"]), ([OPTUNA, "bench.split=test"], [])],
)
def test_a_search_is_on_the_dev_split(typed: list[str], added: list[str]) -> None:
    assert search_overrides(typed) == added


@pytest.mark.parametrize(
    ("typed", "words"),
    [
        (["hydra/launcher=basic"], "drop it"),
        (["hydra/launcher=submitit_slurm"], "type cluster=slurm"),
        (["hydra/launcher=joblib"], "type cluster=local_parallel"),
        (["hydra/sweeper=basic"], "drop it"),
        (["hydra/sweeper=ax"], "type hydra/sweeper=optuna"),
        (["hydra.sweeper.n_trials=3"], "add hydra/sweeper=optuna"),
        (["hydra/sweeper/pruner=median"], "add hydra/sweeper=optuna"),
        ([OPTUNA], "pip install -e '.[optuna]'"),
    ],
)
def test_a_plugin_that_cannot_be_used_is_refused(typed: list[str], words: str, monkeypatch: pytest.MonkeyPatch) -> None:
    check_plugins(["hydra/launcher=mmdpo", OPTUNA, "hydra.sweeper.n_trials=3"])
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    check_plugins(["hydra/launcher=mmdpo", "hydra/sweeper=mmdpo"])
    with pytest.raises(UserError) as caught:
        check_plugins(typed)
    assert words in str(caught.value)


def test_a_search_for_the_worst_point_or_on_the_test_split_is_refused() -> None:
    assert directions(["text"]) == directions(["text"], "maximize") == ["maximize"]
    assert directions(["text", "mmhal/hallucination_rate"]) == ["maximize", "minimize"]
    with pytest.raises(UserError, match=r"type hydra\.sweeper\.direction=maximize"):
        directions(["text"], "minimize")
    with pytest.raises(UserError, match=r"type hydra\.sweeper\.direction=\[maximize,minimize\]"):
        directions(["text", "mmhal/hallucination_rate"], ["maximize"])
    check_split("test", ["bench.split=test"])
    with pytest.raises(UserError, match=r"type bench\.split=dev"):
        check_split("test", [])


def tried(beta: float, *scores: float) -> Tried:
    """Return a point of a search on the dev split."""
    overrides = (f"beta={beta}", "method=dpo", "study=mine", "bench.split=dev", "data.path=a b", "objective=text")
    return Tried(f"dpo-{beta}", overrides, scores)


def test_the_best_point_comes_with_the_command_for_the_test_split() -> None:
    assert [*best_lines([], ["text"], "mine")] == []
    found, command = best_lines([tried(0.1, 2.0), tried(0.2, 7.0), tried(0.3, 5.0)], ["text"], "mine")
    assert found == "best of 3 points: dpo-0.2: text 7 (bench.split=dev)"
    expected = "python launch.py beta=0.2 method=dpo 'data.path=a b' study=mine-test bench.split=test"
    assert command.partition(": ")[2] == expected


def test_the_command_for_the_test_split_names_all_seeds_and_no_search() -> None:
    typed = ["beta=0.1", "search=halving", "search.keep=0.3", "bench.split=dev", "study=mine"]
    expected = "python launch.py -m beta=0.1 seed=0,1 study=mine-test bench.split=test"
    assert command_on_test(typed, "mine", [0, 1]) == expected


def test_of_several_scores_the_points_that_no_other_exceeds_are_best() -> None:
    assert pareto_front([[1, 1], [2, 0], [0, 2], [1, 0], [2, 0], [0, 0]]) == [1, 0, 2]
    points = [tried(0.1, 5, 0.4), tried(0.2, 7, 0.5), tried(0.3, 6, 0.6)]  # of the second less is better
    lines = [*best_lines(points, ["text", "mmhal/hallucination_rate"], "mine")]
    assert lines[0].endswith(": 2 of 3 points")
    assert [line.partition(":")[0] for line in lines[1::2]] == ["dpo-0.2", "dpo-0.1"]
    assert all("bench.split=test" in line for line in lines[2::2])
