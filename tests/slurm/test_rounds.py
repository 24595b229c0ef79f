"""The order in which the rounds of a command are submitted, rated and ended."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import pytest

from mmdpo.config.choices import Stage
from mmdpo.config.schema import Config
from mmdpo.errors import UserError
from mmdpo.points.outcome import Outcome
from mmdpo.points.point import point
from mmdpo.points.rounds import with_rounds
from mmdpo.slurm import rounds
from tests.slurm.lines import SMALL, Lines
from tests.slurm.submitted import config
from tests.support.slurm.cluster import Cluster


def chains(study: Path, *overrides: str) -> list[Config]:
    one = config(study, "rounds=3", *overrides)
    return with_rounds(dataclasses.replace(one, seed=seed) for seed in (0, 1))


def test_a_chain_whose_round_failed_ends_and_the_others_continue(tmp_path: Path) -> None:
    submitted: list[list[tuple[int, int]]] = []

    def submit(some: Sequence[Config], stage: Stage) -> list[Outcome]:
        submitted.append([(one.seed, one.round) for one in some])
        return [
            Outcome(point(one), float(one.round), "lost" if (one.seed, one.round) == (0, 2) else None) for one in some
        ]

    found = rounds.submit_rounds(chains(tmp_path / "s"), Stage.experiment, submit, lambda one: pytest.fail("rated"))
    assert found is not None
    assert submitted == [[(0, 1), (1, 1)], [(0, 2), (1, 2)], [(1, 3)]]
    assert [one.error for one in found] == [None, "lost", "lost", None, None, None]


def test_a_service_rates_the_samples_of_a_later_round_from_the_login_node(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    did: list[str] = []

    def submit(some: Sequence[Config], stage: Stage) -> list[Outcome]:
        did.append(f"{stage.value} {some[0].round} x{len(some)}")
        return [Outcome(point(one)) for one in some]

    monkeypatch.setattr(rounds, "is_ready", lambda one: True)
    monkeypatch.setattr(rounds, "resolved", lambda one: one)
    sampled = lambda one, stage: tmp_path if stage is Stage.sample and "sample 2 x2" in did else None  # noqa: E731
    monkeypatch.setattr(rounds, "find_existing", sampled)
    every = [one for one in chains(tmp_path / "s", "judge=gemini") if one.round < 3]
    rounds.submit_rounds(every, Stage.experiment, submit, lambda one: did.append(f"rate {one.seed}"))
    assert did == ["experiment 1 x2", "sample 2 x2", "rate 0", "rate 1", "experiment 2 x2"]


def test_a_command_that_does_not_wait_has_no_rounds(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"cluster\.wait=true"):
        rounds.require_waiting(config(tmp_path / "s", "cluster.wait=false"))


@pytest.mark.slurm
@pytest.mark.exhaustive
@pytest.mark.slow
@pytest.mark.long
def test_two_rounds_run_as_two_arrays(slurm: Cluster, tmp_path: Path) -> None:
    lines = Lines(slurm, tmp_path)
    done = lines.launch(*SMALL, "rounds=2", "seed=0,1", "model.before_visual_tuning=null")
    assert "round 2 of 2" in done.stdout
    assert len(lines.jobs()) == 3  # the shared data of the first round, and an array for each round
    assert {lines.status(point.name)["state"] for point in lines.points()} == {"done"}
    assert len(lines.points()) == 5
    assert lines.launch(*SMALL, "rounds=2", "seed=0,1", "model.before_visual_tuning=null").returncode == 0
    assert len(lines.jobs()) == 3
