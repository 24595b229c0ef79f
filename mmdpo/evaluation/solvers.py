"""Solvers: how a model answers the samples of a task.

A solver gets an `Inference` and samples of a task, and returns one response per sample, in their order. Answers to
some samples must not depend on the others: several processes may share them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from mmdpo.evaluation.task import TURN_IMAGES, TURNS, Inference, Response, Solver
from mmdpo.models.requests import GenerationRequest
from mmdpo.records import CUT, Completion, ImagePosition, Prompt, Turn


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


def mixed_answers(expected_of: Callable[[Prompt], tuple[str, ...]]) -> Solver:
    """Return a solver for long answers and short ones: `expected_of` returns the usual answers to a sample, if any."""

    def solve(inference: Inference, prompts: Sequence[Prompt]) -> list[Response]:
        requests = [GenerationRequest(prompt, expected=expected_of(prompt)) for prompt in prompts]
        return _responses(prompts, inference.generate(requests))

    solve.__module__, solve.__qualname__ = __name__, f"mixed_answers_{expected_of.__qualname__}"
    return solve


def conversation(temperature_of: Callable[[Prompt], float]) -> Solver:
    """Return a solver for conversations, whose later turns follow the model's own answers.

    The turns are those of `facts[TURNS]`, and the images before later turns those of `facts[TURN_IMAGES]`. All first
    turns are answered in one call, then all second turns, and so on.

    Args:
        temperature_of: Return the temperature of a sample's answers.
    """

    def solve(inference: Inference, prompts: Sequence[Prompt]) -> list[Response]:
        answers: list[list[Completion]] = [[] for _ in prompts]
        for turn in range(max((len(_turns(prompt)) for prompt in prompts), default=0)):
            open_ones = [index for index, prompt in enumerate(prompts) if turn < len(_turns(prompt))]
            asked = [_at_turn(prompts[index], answers[index]) for index in open_ones]
            requests = [GenerationRequest(prompt, temperature_of(prompt)) for prompt in asked]
            for index, answer in zip(open_ones, inference.generate(requests), strict=True):
                answers[index].append(answer)
        return [_conversation_response(prompt, given) for prompt, given in zip(prompts, answers, strict=True)]

    solve.__module__, solve.__qualname__ = __name__, f"conversation_{temperature_of.__qualname__}"
    return solve


def _turns(prompt: Prompt) -> Sequence[str]:
    return prompt.facts.get(TURNS) or [prompt.question]


def _at_turn(prompt: Prompt, answers: Sequence[Completion]) -> Prompt:
    """Return the prompt of the turn after these answers. Its id is unique, because it seeds the answer."""
    turn = len(answers)
    if turn == 0:
        return prompt
    turns = _turns(prompt)
    earlier = tuple(Turn(text, answer.text) for text, answer in zip(turns, answers, strict=False))
    before_later_turns = prompt.facts.get(TURN_IMAGES, ())[:turn]
    images, positions = prompt.images, prompt.image_positions
    if before_later_turns:
        first_text = 2 * len(prompt.history)  # of this conversation, counted over all texts
        at_the_start = positions or (ImagePosition(0, 0),) * len(images)
        later = (ImagePosition(first_text + 2 * number, 0) for number in range(1, len(before_later_turns) + 1))
        images, positions = (*images, *before_later_turns), (*at_the_start, *later)
    return replace(
        prompt,
        id=f"{prompt.id}/turn_{turn + 1}",
        question=turns[turn],
        history=(*prompt.history, *earlier),
        images=images,
        image_positions=positions,
    )


def _conversation_response(prompt: Prompt, answers: Sequence[Completion]) -> Response:
    *earlier, last = answers
    history = tuple(Turn(text, answer.text) for text, answer in zip(_turns(prompt), earlier, strict=False))
    cut = any(answer.finish_reason == CUT for answer in answers)
    reason = CUT if cut else last.finish_reason
    return Response(prompt.id, prompt.question, last.text, prompt.category, history, finish_reason=reason)


def _responses(prompts: Sequence[Prompt], answers: Sequence[Completion]) -> list[Response]:
    return [
        Response(prompt.id, prompt.question, answer.text, prompt.category, finish_reason=answer.finish_reason)
        for prompt, answer in zip(prompts, answers, strict=True)
    ]
