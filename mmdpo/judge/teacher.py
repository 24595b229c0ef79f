"""Prompts -> Completions: the judge's own answers, for the SFT baseline (paper, 3.2)."""

from __future__ import annotations

from collections.abc import Iterable

from mmdpo.errors import UserError
from mmdpo.records import Completion, Prompt

TEACHERS = ("oracle",)
"""The judges that can answer for themselves."""


def answer(prompts: Iterable[Prompt], judge: str) -> list[Completion]:
    """One answer a prompt. The oracle's is the miniature's reference answer, a whole sentence.

    Raises UserError for a judge without answers of its own.
    """
    if judge not in TEACHERS:
        raise UserError(f"judge={judge} has no answers of its own; type judge={'|'.join(TEACHERS)}")
    return [Completion(prompt.id, 0, prompt.facts["full"]) for prompt in prompts]
