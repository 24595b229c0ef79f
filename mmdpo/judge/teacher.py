"""Prompts -> Completions: the judge's own answers, for the SFT baseline (paper, 3.2)."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from mmdpo.records import Completion, Prompt


def _reference_answer(prompt: Prompt) -> str:
    """The miniature's right answer, as a whole sentence."""
    return str(prompt.facts["full"])


TEACHERS: dict[str, Callable[[Prompt], str]] = {"oracle": _reference_answer}
"""How each judge that `mmdpo.config.TEACHERS` names answers for itself."""


def answer(prompts: Iterable[Prompt], judge: str) -> list[Completion]:
    """One answer a prompt, in the order of the prompts."""
    return [Completion(prompt.id, 0, TEACHERS[judge](prompt)) for prompt in prompts]
