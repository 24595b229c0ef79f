"""The data of later rounds before they are made: what is there, and what the rest would cost."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence

from mmdpo.config.choices import RULES, Stage
from mmdpo.config.schema import Config
from mmdpo.pipeline.data_stages import describe_data, judging_lines
from mmdpo.points.rounds import is_ready, resolved

WITH_DATA = (Stage.sample, Stage.annotate, Stage.build, Stage.reference, Stage.train, Stage.experiment)
"""The stages that make or need the data of a round."""


def describe_rounds(configs: Sequence[Config], stage: Stage) -> Iterator[str]:
    """Yield lines about the data of each later round, whose points have completions of their own.

    The cost of a round whose adapter does not exist yet is that of the first round's prompts, with completions as long
    as those of the first round.

    Args:
        configs: The configs of the points that are not done.
        stage: The stage of the command.
    """
    if stage not in WITH_DATA:
        return
    for number in sorted({config.round for config in configs} - {1}):
        members = [config for config in configs if config.round == number]
        for config in members:
            if is_ready(config):
                yield from (f"round {number}: {line}" for line in describe_data(resolved(config), stage))
        if waiting := [config for config in members if not is_ready(config)]:
            each = f"round {number}, each of {len(waiting)} points" if len(waiting) > 1 else f"round {number}"
            sampling = waiting[0].data.sampling
            yield (
                f"{each}: completions: would be made with the adapter of round {number - 1}, {sampling.completions} "
                "per prompt"
            )
            if waiting[0].judge.client not in RULES.names():
                first = dataclasses.replace(waiting[0], round=1)
                yield from (f"{each}: {line}" for line in judging_lines(first, Stage.annotate, asked_again=True))
