"""The loop of a search, with points that are finished at once: continuation after kills, pruning, and refusals."""

from __future__ import annotations

import copy
import functools
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import optuna
import pytest
from hydra import compose, initialize_config_dir
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.utils import JobReturn, JobStatus
from omegaconf import DictConfig, OmegaConf

from hydra_plugins.mmdpo.optuna_sweeper import PRUNER_SETTINGS, SAMPLER_SETTINGS, SWEEPER_SETTINGS
from mmdpo.config.schema import CONF, Config
from mmdpo.entry import optuna_search
from mmdpo.entry.hydra import Refused
from mmdpo.points import commands, status
from mmdpo.points.point import Point, points_of
from mmdpo.points.rungs import RungScore, write_rung

pytestmark = pytest.mark.long

SPACE = ["beta=interval(0.05,0.5)", "lr=tag(log,interval(1e-6,1e-3))", "bench.split=dev", "tracking=none"]


@pytest.fixture(autouse=True, scope="module")
def _hydra() -> Iterator[None]:
    with initialize_config_dir(str(CONF), version_base="1.3"):
        yield


class Points:
    """The points of a search without trainings: their scores are functions of beta.

    Attributes:
        ran: The names of the points that were run, in order.
        at_rungs: The names of the points that were trained to rungs, with the rungs.
    """

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.done: dict[Path, dict[str, float]] = {}
        self.ran: list[str] = []
        self.at_rungs: list[tuple[str, float]] = []
        self.killed_at: int | None = None
        self.failing: Callable[[Config], bool] = lambda config: False
        patch.setattr(optuna_search, "launch", self.launch)
        patch.setattr(optuna_search, "is_done", self.done.__contains__)
        patch.setattr(optuna_search, "scores_of", lambda p, names: tuple(self.done[p.folder][name] for name in names))
        patch.setattr(status, "is_done", self.done.__contains__)

    def launch(self, configs: Iterable[Config], searching: bool, prune: Any) -> list[JobReturn]:
        configs = [*configs]
        points = points_of(configs)
        commands.begin(points[0].study)
        missing = [*{p.folder: p for p in points if p.folder not in self.done}.values()]
        if prune is not None:
            missing, _ = prune(missing, self.run_to_rung)
        for p in missing:
            if len(self.ran) == self.killed_at:
                raise KeyboardInterrupt
            self.ran.append(p.name)
            if not self.failing(p.config):
                beta = p.config.beta or 0.0
                self.done[p.folder] = {"text": 8 + beta, "visual": 5 - beta}
        return [self._result(p) for p in points]

    def _result(self, p: Point) -> JobReturn:
        result = JobReturn(
            overrides=[p.name], status=JobStatus.FAILED if self.failing(p.config) else JobStatus.COMPLETED
        )
        result.return_value = Refused(f"failed: {p.name}") if self.failing(p.config) else 0.0
        return result

    def run_to_rung(self, points: Sequence[Point], share: float | None) -> dict[Path, str]:
        assert share is not None
        for p in points:
            if len(self.at_rungs) == self.killed_at:
                raise KeyboardInterrupt
            self.at_rungs.append((p.name, share))
            write_rung(p.folder, RungScore(share, 1, {"text": {"value": 8 + (p.config.beta or 0.0)}}, "dev"))
        return {}


@pytest.fixture
def points(monkeypatch: pytest.MonkeyPatch) -> Points:
    """Return points that are finished at once."""
    return Points(monkeypatch)


def search(out: Path, *typed: str, sampler: str = "tpe", pruner: str = "none", **settings: Any) -> None:
    """Run a search as the sweeper does."""
    sampling = {"name": sampler, "seed": 0, **SAMPLER_SETTINGS[sampler]}
    if sampler == "tpe":
        sampling["n_startup_trials"] = 2
    pruning = {"name": pruner, **PRUNER_SETTINGS[pruner], **({"n_startup_trials": 1} if pruner == "median" else {})}
    given = {**SWEEPER_SETTINGS, "n_trials": 6, "n_jobs": 2, "sampler": sampling, "pruner": pruning, **settings}
    sweep = {"sweep": {"dir": str(out / "nano")}}
    config = OmegaConf.create({"study": "nano", "objective": "text", "dry_run": False, "hydra": sweep})
    words = [*SPACE, *typed, f"out={out}"]
    optuna_search.run_search(_compose, config, given, OverridesParser.create(), words)


def _compose(overrides: list[str]) -> DictConfig:
    """Compose with Hydra what is not swept, once, and set the swept axes, which is faster."""
    swept = [text for text in overrides if text.startswith(("beta=", "lr="))]
    node = copy.deepcopy(_composed(tuple(text for text in overrides if text not in swept)))
    for key, _, value in (text.partition("=") for text in swept):
        OmegaConf.update(node, key, float(value))
    return node


@functools.cache
def _composed(overrides: tuple[str, ...]) -> DictConfig:
    return compose("config", overrides=[*overrides])


def recorded(out: Path) -> list[tuple[str, dict[str, float], list[float] | None]]:
    """Return the state, the values and the scores of each recorded trial."""
    study = optuna.load_study(study_name="nano", storage=f"sqlite:///{out / 'nano/optuna.db'}")
    return [(one.state.name, one.params, one.values) for one in study.trials]


@pytest.mark.parametrize(("sampler", "killed_at"), [("tpe", 3), ("cmaes", 4), ("nsgaii", 0)])
def test_a_search_that_is_continued_is_the_one_that_was_not_interrupted(
    sampler: str, killed_at: int, tmp_path: Path, points: Points, capsys: pytest.CaptureFixture[str]
) -> None:
    search(tmp_path / "a", sampler=sampler)
    alone, ran, told = recorded(tmp_path / "a"), [*points.ran], capsys.readouterr().out.splitlines()[-2:]
    assert len({*ran}) == 6
    assert told[0].startswith("best of 6 points: dpo-beta")
    points.ran, points.killed_at = [], killed_at
    with pytest.raises(KeyboardInterrupt):
        search(tmp_path / "b", sampler=sampler)
    points.killed_at = None
    search(tmp_path / "b", sampler=sampler)
    assert points.ran == ran  # none twice
    assert recorded(tmp_path / "b") == alone
    assert capsys.readouterr().out.splitlines()[-2].partition(":")[2] == told[0].partition(":")[2]


def test_other_settings_take_over_the_recorded_trials(tmp_path: Path, points: Points) -> None:
    search(tmp_path, n_trials=4)
    before = recorded(tmp_path)
    search(tmp_path, sampler="random", n_jobs=3, n_trials=6)
    assert recorded(tmp_path)[:4] == before
    assert len({*points.ran}) == len(points.ran) == 6
    with pytest.raises(Refused, match=r"4 recorded trials|6 recorded trials.*study=NEW_NAME"):
        search(tmp_path, "seed=range(0,3)")
    with pytest.raises(Refused, match=r"trial 1 was dpo-.*study=NEW_NAME"):
        search(tmp_path, "train.num_train_epochs=2")


@pytest.mark.parametrize(("pruner", "killed_at"), [("median", 5), ("hyperband", 3)])
def test_trials_are_pruned_by_their_scores_at_rungs(
    pruner: str, killed_at: int, tmp_path: Path, points: Points, monkeypatch: pytest.MonkeyPatch
) -> None:
    search(tmp_path / "a", sampler="random", pruner=pruner)
    alone = recorded(tmp_path / "a")
    states = [state for state, *_ in alone]
    assert {*states} == {"COMPLETE", "PRUNED"}
    for state, params, _ in alone:
        others = [other["beta"] for kind, other, _ in alone if kind == "COMPLETE"]
        assert state == "COMPLETE" or params["beta"] < max(others)  # more of beta is better
    names = {name for name, _ in points.at_rungs}
    pruned = [name for name in names if status.read_status(tmp_path / "a/nano" / name).state is status.State.pruned]
    assert len(pruned) == states.count("PRUNED")
    assert not {*pruned} & {*points.ran}
    again = Points(monkeypatch)
    again.killed_at = killed_at
    with pytest.raises(KeyboardInterrupt):
        search(tmp_path / "b", sampler="random", pruner=pruner)
    again.killed_at = None
    search(tmp_path / "b", sampler="random", pruner=pruner)
    assert recorded(tmp_path / "b") == alone
    again.ran = []
    search(tmp_path / "b", sampler="random")  # without a pruner, the pruned ones are trained to the end
    assert len(again.ran) == len(pruned)


def test_several_scores_are_searched_together(
    tmp_path: Path, points: Points, capsys: pytest.CaptureFixture[str]
) -> None:
    search(tmp_path, "objective=text,visual", sampler="nsgaii", n_trials=3)
    assert "Pareto front in text and visual: 3 of 3 points" in capsys.readouterr().out
    for scores, params in ((scores, params) for _, params, scores in recorded(tmp_path)):
        assert scores == [8 + params["beta"], 5 - params["beta"]]


def test_failed_points_end_the_search_unless_they_may_fail(
    tmp_path: Path, points: Points, capsys: pytest.CaptureFixture[str]
) -> None:
    points.failing = lambda config: (config.beta or 0) > 0.3
    with pytest.raises(Refused, match="failed: dpo-"):
        search(tmp_path, sampler="random")
    count = len(points.ran)
    search(tmp_path, sampler="random", max_failure_rate=1.0)
    states = [state for state, *_ in recorded(tmp_path)]
    assert f"{states.count('FAIL')} of 6 trials failed" in capsys.readouterr().out
    assert {*states} == {"COMPLETE", "FAIL"}
    assert count < len(points.ran)


def test_a_grid_has_an_end_of_its_own(tmp_path: Path, points: Points) -> None:
    search(tmp_path, "beta=0.1,0.2", "lr=range(1,3)", sampler="grid", n_trials=None, n_jobs=3)
    assert len({*points.ran}) == 4


@pytest.mark.parametrize(
    ("typed", "settings", "message"),
    [
        ([], {"n_trials": None}, r"type hydra\.sweeper\.n_trials=20"),
        ([], {"n_jobs": 0}, r"hydra\.sweeper\.n_jobs=0: must be a whole number"),
        ([], {"max_failure_rate": 2}, r"hydra\.sweeper\.max_failure_rate=2: must be a share"),
        ([], {"blocks": [{"method": "sft"}]}, r"hydra\.sweeper\.blocks: .*drop hydra/sweeper=optuna"),
        (["objective=text,visual"], {"sampler": "cmaes"}, "choose tpe or nsgaii"),
        (["objective=text,visual"], {"pruner": "median"}, "type one, or hydra/sweeper/pruner=none"),
        (["search=halving"], {}, "search=halving: .*drop it"),
        ([], {"pruner": "median", "rungs": [0.5, 0.25]}, r"type 'hydra\.sweeper\.rungs="),
        ([], {"pruner": "median", "rungs": 0.25}, r"type 'hydra\.sweeper\.rungs="),
        ([], {"pruner": "median", "rungs": [0.25, 0.252]}, r"apart by 0\.01"),
        ([], {"rungs": [0.1]}, r"hydra\.sweeper\.rungs=\[0\.1\]: .*type hydra/sweeper/pruner=median"),
        (["cluster=slurm"], {"pruner": "median"}, "type hydra/sweeper/pruner=none"),
        (["train.logging_steps=1,x"], {}, "train.logging_steps=x"),
    ],
)
def test_a_wrong_search_is_refused_and_leaves_nothing(
    typed: list[str], settings: dict[str, Any], message: str, tmp_path: Path, points: Points
) -> None:
    with pytest.raises(Refused, match=message):
        search(tmp_path, *typed, **settings)
    assert [*tmp_path.iterdir()] == []
    assert points.ran == []
