"""How a prompt and its answers lie in the model's rows: one row an answer, or one row for all of them.

In a shared row the prompt stands once and the answers behind it: `prompt | head answer | head answer`,
where `head` is the prompt's last token, repeated so that each answer's first token has a position that
predicts it. The answers do not see each other, and positions restart with each, so that every token has
the log-prob that it has in a row of its own. The last token of an answer predicts nothing and is left out.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

PADDING, PROMPT = 0, 1  # segments; the answers are 2, 3, ...
IGNORED = -100  # of a label


@dataclass(frozen=True)
class Prompt:
    """Tokens of a prompt, an image's included, and per-token extras of the processor under their names."""

    ids: Sequence[int]
    extras: dict[str, Sequence[int]] = field(default_factory=dict)


@dataclass(frozen=True)
class Layout:
    """R rows of T tokens that hold B prompts with N answers each, the longest of A tokens.

    Shared: R = B and K = N A. Separate: R = N B, the first answers of all prompts first, and K = A.
    """

    input_ids: torch.Tensor  # [R, T], padded on the right
    segments: torch.Tensor  # [R, T]: 0 padding, 1 prompt, 2 and more the answers
    position_ids: torch.Tensor  # [R, T]
    scored: torch.Tensor  # [R, K]: the position that predicts each answer token
    labels: torch.Tensor  # [R, K]: that token, or -100
    extras: dict[str, torch.Tensor]  # [R, T] each

    @property
    def prefix(self) -> int:
        """How many first tokens are the prompt's in every row: each sees just those before it."""
        return int((self.segments == PROMPT).cumprod(dim=1).sum(dim=1).min())


@dataclass(frozen=True)
class _Row:
    tokens: list[int]
    segments: list[int]
    positions: list[int]
    scored: list[list[int]]  # an answer
    labels: list[list[int]]


def lay_out(
    prompts: Sequence[Prompt],
    answers: Sequence[Sequence[Sequence[int]]],
    pad_token: int,
    shared: bool,
    unscored: Sequence[Prompt] = (),
) -> Layout:
    """The rows of B prompts with N answers each (`answers[b][n]`), in one form or the other.

    Without a token before it, an answer's first token is predicted by nothing and not scored.
    `unscored` prompts are rows behind the others, which the model sees and nobody scores.
    """
    if shared:
        owners = list(prompts)
        rows = [_row(prompt.ids, group) for prompt, group in zip(prompts, answers, strict=True)]
    else:
        turns = range(len(answers[0]))
        owners = [prompt for _ in turns for prompt in prompts]
        rows = [
            _row(prompt.ids, [group[turn]])
            for turn in turns
            for prompt, group in zip(prompts, answers, strict=True)
        ]
    owners += unscored
    rows += [
        _Row(list(prompt.ids), [PROMPT] * len(prompt.ids), list(range(len(prompt.ids))), [], [])
        for prompt in unscored
    ]
    width = max(len(answer) for group in answers for answer in group)
    names = {name for prompt in prompts for name in prompt.extras}
    return Layout(
        input_ids=_padded([row.tokens for row in rows], pad_token),
        segments=_padded([row.segments for row in rows], PADDING),
        position_ids=_padded([row.positions for row in rows], 0),
        scored=_padded([_joined(row.scored, width, 0) for row in rows], 0),
        labels=_padded([_joined(row.labels, width, IGNORED) for row in rows], IGNORED),
        extras={
            name: _padded(
                [
                    _extended(owner.extras.get(name, ()), len(row.tokens))
                    for owner, row in zip(owners, rows, strict=True)
                ],
                0,
            )
            for name in sorted(names)
        },
    )


def visible(segments: torch.Tensor, prefix: int) -> torch.Tensor:
    """What each of the tokens [R, T] behind the first `prefix` may look at: boolean [R, 1, T - prefix, T].

    Itself and what stands before it in the prompt or in its own answer.
    """
    import torch

    query, key = segments[:, prefix:, None], segments[:, None, :]
    places = torch.arange(segments.shape[1], device=segments.device)
    own = ((key == PROMPT) | (key == query)) & (places[prefix:, None] >= places[None, :])
    return own[:, None]  # padding sees padding: a row that sees nothing would be NaN


def _row(prompt: Sequence[int], answers: Sequence[Sequence[int]]) -> _Row:
    """One row: the prompt without its last token, then each answer with that token at its head."""
    common, head = list(prompt[:-1]), list(prompt[-1:])
    tokens, segments, positions = [*common], [PROMPT] * len(common), list(range(len(common)))
    scored: list[list[int]] = []
    labels: list[list[int]] = []
    for number, answer in enumerate(answers):
        own = [*head, *answer[:-1]]
        start = len(tokens)
        tokens += own
        # Alone, an answer needs no segment of its own: what is before it is all visible.
        segments += [PROMPT if len(answers) == 1 else PROMPT + 1 + number] * len(own)
        positions += range(len(common), len(common) + len(own))
        scored.append(list(range(start, start + len(own))))
        labels.append(list(answer if head else answer[1:]))
    return _Row(tokens, segments, positions, scored, labels)


def _joined(parts: Sequence[Sequence[int]], width: int, filler: int) -> list[int]:
    return [value for part in parts for value in [*part, *[filler] * (width - len(part))]]


def _extended(values: Sequence[int], length: int) -> list[int]:
    return [*values, *[0] * length][:length]


def _padded(rows: Sequence[Sequence[int]], filler: int) -> torch.Tensor:
    import torch

    longest = max(1, *(len(row) for row in rows))
    return torch.tensor([[*row, *[filler] * (longest - len(row))] for row in rows], dtype=torch.long)
