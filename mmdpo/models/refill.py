"""Decoding in batches that refill: when an answer ends, the answer to a waiting prompt takes its place."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch

from mmdpo.console import print_line
from mmdpo.models.generate import end_ids, gumbel_noise, memory_error, nan_error
from mmdpo.models.image_groups import PromptTree, TokenizedPrompt
from mmdpo.models.key_values import KeyValues

REFILL_SHARE = 4
"""A batch refills when one in so many places is free, so that several prompts are computed together."""


@dataclass
class PendingAnswer:
    """An answer that is wanted or being written.

    Attributes:
        index: The index of its request.
        prompt: The prompt.
        limit: The largest number of tokens.
        temperature: 0 for greedy search.
        seed: The seed of its noise, above temperature 0.
        tokens: The tokens so far, with the end token if there is one.
        ended: Whether an end token came.
    """

    index: int
    prompt: TokenizedPrompt
    limit: int
    temperature: float
    seed: int
    tokens: list[int] = field(default_factory=list)
    ended: bool = False
    _stream: torch.Generator | None = None

    def restart(self) -> None:
        """Forget all tokens."""
        self.tokens, self.ended, self._stream = [], False, None

    def stream(self, device: torch.device) -> torch.Generator:
        """Return the source of the answer's noise."""
        if self._stream is None:
            self._stream = torch.Generator(device).manual_seed(self.seed)
        return self._stream

    def add(self, token: int, ends: frozenset[int]) -> bool:
        """Add a token and return whether the answer is complete."""
        self.tokens.append(token)
        self.ended = token in ends
        return self.ended or len(self.tokens) >= self.limit


Prefill = Callable[[Sequence[PendingAnswer]], Iterator[tuple[Sequence[PendingAnswer], KeyValues, torch.Tensor]]]
"""Compute the prompts of answers in parts: the answers of the part, their keys and values, and the first logits."""


def decode(model: Any, wanted: Sequence[PendingAnswer], size: int, compute: Prefill) -> Iterator[PendingAnswer]:
    """Yield answers as soon as they are complete.

    A batch that does not fit the memory is begun again with half its size, and later ones keep the smaller size.

    Args:
        model: The model.
        wanted: The answers, in the order in which they begin.
        size: The largest number of answers at once.
        compute: Computes the prompts of answers.

    Raises:
        UserError: The memory does not suffice for one answer, or the model computes NaN.
    """
    waiting = deque(wanted)
    while waiting:
        batch = _RefillingBatch(model, compute)
        try:
            yield from batch.run(waiting, size)
        except torch.OutOfMemoryError as error:
            unfinished = batch.answers + batch.beginning
            if len(unfinished) == 1:
                (one,) = unfinished
                raise memory_error(one.prompt.prompt.id, 1, one.limit) from error
        else:
            return
        del batch  # and its memory
        size = len(unfinished) // 2
        for answer in unfinished:
            answer.restart()
        waiting.extendleft(reversed(unfinished))
        print_line(f"out of memory: continuing with batches of {size} prompts")


class _RefillingBatch:
    """Answers that are written together.

    Attributes:
        answers: The answers whose prompts are computed, one per row of the keys and values.
        beginning: The answers whose prompts are being computed.
    """

    def __init__(self, model: Any, compute: Prefill) -> None:
        self._model, self._compute = model, compute
        self._ends = frozenset(end_ids(model).tolist())
        self._keys: KeyValues | None = None
        self.answers: list[PendingAnswer] = []
        self.beginning: list[PendingAnswer] = []

    def run(self, waiting: deque[PendingAnswer], size: int) -> Iterator[PendingAnswer]:
        """Yield all answers; those that wait are taken from the left."""
        while waiting or self.answers:
            logits = []
            free = size - len(self.answers)
            if self._keys is not None:
                logits.append(self._keys.next_logits(self._model, self._last_tokens()))
            if waiting and free >= max(1, size // REFILL_SHARE):
                self.beginning = [waiting.popleft() for _ in range(min(free, len(waiting)))]
                logits += self._fill()
            yield from self._write(torch.cat(logits))

    def _last_tokens(self) -> torch.Tensor:
        return torch.tensor([answer.tokens[-1] for answer in self.answers], device=self._model.device)

    def _fill(self) -> list[torch.Tensor]:
        """Compute the prompts of the answers that begin, and return the logits of their first tokens."""
        parts = list(self._compute(self.beginning))
        keys = [one for _, one, _ in parts]
        if self._keys is None:
            self._keys = keys.pop(0)
        if keys:
            self._keys.append(keys)
        self.answers += [answer for members, _, _ in parts for answer in members]
        self.beginning = []
        return [logits for _, _, logits in parts]

    def _write(self, logits: torch.Tensor) -> Iterator[PendingAnswer]:
        """Add the next token of every answer, and yield those that are complete."""
        tokens = self._next_tokens(logits.float())
        complete = [answer.add(token, self._ends) for answer, token in zip(self.answers, tokens, strict=True)]
        if not any(complete):
            return
        rows = [row for row, done in enumerate(complete) if not done]
        finished = [answer for answer, done in zip(self.answers, complete, strict=True) if done]
        self.answers = [self.answers[row] for row in rows]
        yield from finished
        if not rows:
            self._keys = None
        elif self._keys is not None:
            self._keys.keep(rows)

    def _next_tokens(self, scores: torch.Tensor) -> list[int]:
        """Choose a token per answer, greedily or with the noise of the answer."""
        rows = [row for row, answer in enumerate(self.answers) if answer.temperature > 0]
        if not rows:
            return best_tokens(scores)
        sampled = [self.answers[row] for row in rows]
        temperatures = torch.tensor([answer.temperature for answer in sampled], device=scores.device)
        noise = gumbel_noise([answer.stream(scores.device) for answer in sampled], scores.shape[-1])
        places = torch.tensor(rows, device=scores.device)
        return best_tokens(scores.index_copy(0, places, scores[places] / temperatures[:, None] + noise))


def complete_in_two_tokens(tree: PromptTree, answers: Sequence[PendingAnswer], model: Any) -> list[PendingAnswer]:
    """Read the answers that are one token long.

    Args:
        tree: The prompts of the answers.
        answers: The answers, which allow two tokens each.
        model: The model.

    Returns:
        The answers of one token and an end token, or an end token alone. The others are left as they are.
    """
    ends = frozenset(end_ids(model).tolist())
    first = best_tokens(tree.logits)
    second = best_tokens(tree.next_logits(torch.tensor(first, device=model.device)))
    complete = []
    for answer, one, two in zip(answers, first, second, strict=True):
        if one in ends or two in ends:
            answer.tokens, answer.ended = [one] if one in ends else [one, two], True
            complete.append(answer)
    return complete


def best_tokens(scores: torch.Tensor) -> list[int]:
    """Return the token of the highest score in each row, [B, V].

    Raises UserError if a score is NaN: any token would be the highest.
    """
    tokens: list[int] = scores.argmax(dim=-1).masked_fill(scores.isnan().any(dim=-1), -1).tolist()
    if -1 in tokens:
        raise nan_error()
    return tokens
