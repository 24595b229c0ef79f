"""Rounds on SLURM: the waiting command submits a round when the jobs of the round before have ended."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence

from mmdpo.config.choices import JudgePlace, Stage
from mmdpo.config.judging_place import is_judged_apart
from mmdpo.config.schema import Config
from mmdpo.console import print_line
from mmdpo.errors import UserError
from mmdpo.pipeline.data_stages import find_existing
from mmdpo.points.outcome import Outcome
from mmdpo.points.rounds import is_ready, resolved

TRAINING = (Stage.experiment, Stage.train)
Submit = Callable[[Sequence[Config], Stage], list[Outcome] | None]


def submit_rounds(
    configs: Sequence[Config], stage: Stage, submit: Submit, annotate: Callable[[Config], None]
) -> list[Outcome] | None:
    """Submit the rounds of a command one after the other, each when the jobs of the round before have ended.

    If a service judges from the login node, it also rates the completions of later rounds from there: jobs sample them
    first. A chain whose round has failed ends.

    Args:
        configs: The configs of all rounds, those of a chain one after another.
        stage: The stage to run.
        submit: Submit a stage of points, and wait for it (`submit_and_watch`).
        annotate: Rate the completions of a config in this process.

    Returns:
        An outcome for each config, then those of other points that failed; None if this process has stopped waiting.
    """
    ended: dict[int, Outcome] = {}
    others: list[Outcome] = []
    failed: dict[int, Outcome] = {}  # by the chain
    chains = [*itertools.accumulate(config.round == 1 for config in configs)]
    rounds = sorted({config.round for config in configs})
    for number in rounds:
        members = [index for index, config in enumerate(configs) if config.round == number]
        ended |= {index: failed[chains[index]] for index in members if chains[index] in failed}
        open_ = [index for index in members if index not in ended]
        if not open_:
            continue
        if number > 1:
            print_line(f"round {number} of {rounds[-1]}")
        begun = [configs[index] for index in open_]
        if number > 1 and stage in TRAINING and not _rate(begun, submit, annotate):
            return None
        found = submit(begun, stage)
        if found is None:
            return None
        ended |= dict(zip(open_, found, strict=False))
        failed |= {chains[index]: ended[index] for index in open_ if ended[index].error}
        others += found[len(open_) :]
    return [*(ended[index] for index in range(len(configs))), *others]


def require_waiting(config: Config) -> None:
    """Raise UserError if the command would not wait for the round that a later one begins with."""
    if not config.cluster.wait:
        raise UserError(
            "cluster.wait=false: this command submits a round when the one before it has ended; type cluster.wait=true"
        )


def _rate(configs: Sequence[Config], submit: Submit, annotate: Callable[[Config], None]) -> bool:
    """Let jobs sample the completions of points and rate them here; False if this process has stopped waiting."""
    apart = [
        config
        for config in configs
        if is_ready(config)
        and is_judged_apart(config.judge.client, config.cluster.runner)
        and config.cluster.judge is JudgePlace.login
    ]
    unrated = [config for config in apart if find_existing(resolved(config), Stage.annotate) is None]
    unsampled = [config for config in unrated if find_existing(resolved(config), Stage.sample) is None]
    if unsampled and submit(unsampled, Stage.sample) is None:
        return False
    for config in unrated:
        if find_existing(resolved(config), Stage.sample) is not None:
            annotate(config)
    return True
