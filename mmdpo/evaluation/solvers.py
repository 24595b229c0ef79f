"""Solvers: how a model answers the samples of a task.

A solver gets an `Inference` and samples of a task, and returns one response per sample, in their order. Answers to
some samples must not depend on the others: several processes may share them.
"""

from __future__ import annotations

from collections.abc import Sequence

from mmdpo.evaluation.task import Inference, Response, Solver
from mmdpo.models.requests import GenerationRequest
from mmdpo.records import Completion, Prompt


def single_turn(inference: Inference, prompts: Sequence[Prompt]) -> list[Response]:
    """Answer each sample once."""
    answers = inference.generate([GenerationRequest(prompt) for prompt in prompts])
    return _responses(prompts, answers)


def short_answers(*expected: str, max_new_tokens: int | None = None) -> Solver:
    """Return a solver for questions whose answer is a word or a letter.

    Args:
        *expected: The usual answers, which can be read quickly.
        max_new_tokens: The limit of any other answer; None for `bench.max_new_tokens`.
    """

    def solve(inference: Inference, prompts: Sequence[Prompt]) -> list[Response]:
        requests = [GenerationRequest(prompt, max_new_tokens=max_new_tokens, expected=expected) for prompt in prompts]
        return _responses(prompts, inference.generate(requests))

    solve.__module__, solve.__qualname__ = __name__, f"short_answers_{max_new_tokens}"  # named in sidecars of answers
    return solve


def _responses(prompts: Sequence[Prompt], answers: Sequence[Completion]) -> list[Response]:
    return [
        Response(prompt.id, prompt.question, answer.text, prompt.category, finish_reason=answer.finish_reason)
        for prompt, answer in zip(prompts, answers, strict=True)
    ]
