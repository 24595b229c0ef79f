"""Overrides of a searching sweeper, and plugins of Hydra that are refused."""

from __future__ import annotations

import pytest

from mmdpo.entry import search
from mmdpo.entry.compose import compose_config
from mmdpo.entry.search import Trial, check_plugins, checked, note_trial, print_best, search_overrides
from mmdpo.errors import UserError

OPTUNA = "hydra/sweeper=optuna"


@pytest.mark.parametrize(
    ("typed", "added"),
    [
        (["beta=1"], []),
        ([OPTUNA], ["hydra.sweeper.direction=maximize", "bench.split=dev"]),
        ([OPTUNA, "bench.split=test"], ["hydra.sweeper.direction=maximize"]),
        ([OPTUNA, "hydra.sweeper.direction=maximize", "bench.split=dev"], []),
        ([OPTUNA, "objective=presence/answered_yes"], ["hydra.sweeper.direction=maximize", "bench.split=dev"]),
    ],
)
def test_a_search_maximizes_on_the_dev_split(typed: list[str], added: list[str]) -> None:
    assert search_overrides(typed) == added


@pytest.mark.parametrize(
    ("typed", "words"),
    [
        (["hydra/launcher=basic"], "drop it"),
        (["hydra/launcher=submitit_slurm"], "type cluster=slurm"),
        (["hydra/launcher=joblib"], "type cluster=local_parallel"),
        (["hydra/sweeper=basic"], "drop it"),
        ([OPTUNA], "pip install -e '.[optuna]'"),
    ],
)
def test_a_plugin_that_cannot_be_used_is_refused(typed: list[str], words: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(search, "PLUGINS", {"optuna": "hydra_plugins.not_installed"})
    check_plugins(["hydra/launcher=mmdpo", "hydra/sweeper=mmdpo"])
    with pytest.raises(UserError) as caught:
        check_plugins(typed)
    assert words in str(caught.value)


def test_a_search_for_the_worst_point_is_refused() -> None:
    with pytest.raises(UserError, match=r"type hydra\.sweeper\.direction=maximize"):
        search_overrides([OPTUNA, "hydra.sweeper.direction=minimize"])
    dev, test = compose_config(["bench.split=dev"]), compose_config()
    with pytest.raises(UserError, match=r"type hydra\.sweeper\.direction=maximize"):  # set by a file of sweeps
        list(checked([dev], [["bench.split=dev"]], "minimize"))
    with pytest.raises(UserError, match=r"type bench\.split=dev"):
        list(checked([test], [[]], "maximize"))
    assert list(checked([test, dev], [["bench.split=test"], []], None)) == [test, dev]


def test_the_best_point_is_printed_with_the_command_for_the_test_split(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(search, "_trials", [])
    print_best()
    assert capsys.readouterr().out == ""
    for beta, score in ((0.1, 2.0), (0.2, 7.0), (0.3, 5.0)):
        overrides = (f"beta={beta}", "method=dpo", "study=mine", "bench.split=dev", "data.path=a b")
        note_trial(Trial(f"dpo-{beta}", overrides, score, "mine", "text"))
    print_best()
    found, command = capsys.readouterr().out.splitlines()
    assert found == "best of 3 points: dpo-0.2: text 7 (bench.split=dev)"
    expected = "python launch.py beta=0.2 method=dpo 'data.path=a b' study=mine-test bench.split=test"
    assert command.partition(": ")[2] == expected
