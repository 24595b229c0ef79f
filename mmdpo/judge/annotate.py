"""Completions -> Annotations: every completion of a prompt rated by the judge."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from itertools import groupby

from mmdpo.errors import UserError
from mmdpo.judge import longer, oracle
from mmdpo.records import Annotation, Completion, Prompt, Rating

Judge = Callable[[Prompt, str], Rating]

JUDGES: dict[str, Judge] = {"oracle": oracle.rate, "longer": longer.rate}


def judge_named(name: str) -> Judge:
    """The judge that `judge=` or `bench.judge=` names."""
    if name not in JUDGES:
        raise UserError(f"judge {name!r} is unknown; allowed are {', '.join(JUDGES)}")
    return JUDGES[name]


def annotate(prompts: Iterable[Prompt], completions: Sequence[Completion], judge: str) -> list[Annotation]:
    """An annotation a prompt; its ratings are in the order of the completions' index."""
    rate = judge_named(judge)
    by_id = {prompt.id: prompt for prompt in prompts}
    return [
        Annotation(prompt_id, tuple(rate(by_id[prompt_id], completion.text) for completion in group), judge)
        for prompt_id, group in groupby(completions, key=lambda completion: completion.prompt_id)
    ]
