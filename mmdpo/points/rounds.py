"""Rounds: a point per round, whose completions and perhaps weights begin with the adapter of the round before.

The identity of a later round's point holds its number and the settings of its chain, so that all rounds are known
before the first one is trained. The adapter of the round before is looked up when the point is run.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence

from mmdpo.config.choices import AdapterUse
from mmdpo.config.schema import Config, MethodConfig, ModelConfig
from mmdpo.errors import UserError
from mmdpo.models.fingerprints import adapter_fingerprint
from mmdpo.points.outcome import Outcome
from mmdpo.points.point import Point, point
from mmdpo.points.results import ADAPTER, read_training
from mmdpo.points.status import State, is_done, read_status


def with_rounds(configs: Iterable[Config]) -> list[Config]:
    """Return a config for each round of each config, those of a config one after another.

    A base has one. Raises UserError for a config that names its round.
    """
    found: list[Config] = []
    for config in configs:
        if config.round != 1:
            raise UserError(f"round={config.round}: the program numbers the rounds; type rounds={config.round}")
        rounds = range(1, _rounds(config) + 1)
        found += [_with_round(config, number) if len(rounds) > 1 else config for number in rounds]
    return found


def _with_round(config: Config, number: int) -> Config:
    """Return the config of one round; the first has no start, so it is the same whatever the later ones start from."""
    config = dataclasses.replace(config, rounds=1, round=number)
    if number > 1 or config.model.adapter is not None:
        return config
    model = dataclasses.replace(config.model, adapter_use=ModelConfig().adapter_use)
    method = dataclasses.replace(config.method, reference=MethodConfig().reference)
    return dataclasses.replace(config, model=model, method=method)


def last_rounds(configs: Iterable[Config], outcomes: Sequence[Outcome]) -> list[Outcome]:
    """Return an outcome for each config: that of its last round, or of the first round that failed.

    Args:
        configs: The configs before `with_rounds`.
        outcomes: The outcomes of all rounds, in the order of `with_rounds`, then those of other points.

    Returns:
        The outcomes of the configs, then those of the other points.
    """
    found, begin = [], 0
    for config in configs:
        of_chain = outcomes[begin : begin + _rounds(config)]
        found.append(next((one for one in of_chain if one.error), of_chain[-1]))
        begin += len(of_chain)
    return [*found, *outcomes[begin:]]


def _rounds(config: Config) -> int:
    return 1 if config.is_base else config.rounds


def previous_round(config: Config) -> Point:
    """Return the point of the round before the one of a config."""
    return point(dataclasses.replace(config, round=config.round - 1))


def is_ready(config: Config) -> bool:
    """Return whether the adapter that a config's round begins with is there; the first round needs none."""
    return config.round == 1 or config.is_base or read_training(previous_round(config).folder) is not None


def resolved(config: Config) -> Config:
    """Return the config of a later round with the adapter of the round before, which samples and may be trained on.

    A config of the first round, or of a model that is not trained, is returned as it is.

    Raises:
        UserError: The round before is not trained, or its adapter has changed since.
    """
    if config.round == 1 or config.is_base:
        return config
    before = previous_round(config)
    trained = read_training(before.folder)
    adapter = before.folder / ADAPTER
    if trained is None and is_done(before.folder):
        raise UserError(
            f"round {config.round} begins with {adapter}, which is missing or damaged. Restore it, or delete "
            f"{before.folder} and rerun the same command to train and measure round {config.round - 1} again"
        )
    if trained is None:
        status = read_status(before.folder)
        reason = f"failed: {status.error}" if status.state is State.failed else "is not trained"
        raise UserError(
            f"round {config.round} begins with the adapter of round {config.round - 1}, and {before.name} {reason}. "
            "Rerun the same command, or run it with stage=train first"
        )
    if trained.get("adapter") not in (None, adapter_fingerprint(adapter)):
        raise UserError(
            f"{adapter}: changed since it was trained. Restore it, or delete {before.folder} and rerun the same "
            "command to train it again"
        )
    start = None if config.model.adapter_use is AdapterUse.sample else str(adapter)
    return dataclasses.replace(
        config,
        generator=dataclasses.replace(config.generator, adapter=str(adapter)),
        model=dataclasses.replace(config.model, adapter=start),
    )
