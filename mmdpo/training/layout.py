"""Layout of prompts and answers in the model's rows: one row per answer, or shared rows with each prompt once.

A shared row holds a prompt once, followed by its answers: `prompt | head answer | head answer`. `head` is the
prompt's last token, repeated so that a position predicts each answer's first token. The answers do not attend to
each other, and positions restart with each answer, so every token has the log-prob that it has in a row of its own.
Short prompts share a row while they are together no longer than the longest one, which saves padding; they do not
attend to each other. The last token of an answer predicts nothing and is left out.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

PADDING, PROMPT = 0, 1  # segments; the answers are 2, 3, ...


@dataclass(frozen=True)
class PromptTokens:
    """Tokens of a prompt, an image's included, and per-token extras of the processor by name."""

    ids: Sequence[int]
    extras: dict[str, Sequence[int]] = field(default_factory=dict)


@dataclass(frozen=True)
class Layout:
    """R rows of T tokens that hold B prompts with N answers each.

    M is the number of answer tokens, and A that of the longest answer. Separate rows: R = N B, the first answers of
    all prompts first. Shared rows: R is at most B.
    """

    input_ids: torch.Tensor  # [R, T], padded on the right
    segments: torch.Tensor  # [R, T]: 0 padding, 1 prompt, 2 and more the answers
    prompt_index: torch.Tensor  # [R, T]: number of a token's prompt within its row, from 0
    position_ids: torch.Tensor  # [R, T]
    scored: torch.Tensor  # [M]: index of the position that predicts each answer token, among all R T
    labels: torch.Tensor  # [M]: that token
    indices: torch.Tensor  # [M]: index of that token in [N B, A], the first answers first, among all N B A
    extras: dict[str, torch.Tensor]  # [R, T] each
    order: list[int]  # the B prompts in the order of the rows

    @property
    def prefix(self) -> int:
        """Number of leading tokens that belong to one prompt in every row; these have causal attention."""
        first = (self.segments == PROMPT) & (self.prompt_index == 0)
        return int(first.cumprod(dim=1).sum(dim=1).min())


@dataclass
class _Item:
    """One prompt with all its answers, or with one of them."""

    tokens: list[int]
    segments: list[int]
    positions: list[int]
    scored: list[list[int]]  # per answer
    labels: list[list[int]]


def lay_out(
    prompts: Sequence[PromptTokens],
    answers: Sequence[Sequence[Sequence[int]]],
    pad_token: int,
    shared: bool,
    unscored: Sequence[PromptTokens] = (),
    packed: bool = False,
    max_row_tokens: int = 0,
) -> Layout:
    """Lay out B prompts with N answers each.

    An answer's first token is not scored if its prompt is empty: no position predicts it.

    Args:
        prompts: B prompts.
        answers: Token ids of the answers, `answers[b][n]`.
        pad_token: Token id of padding.
        shared: Whether a prompt stands once before all its answers, instead of once per answer.
        unscored: Prompts in rows of their own after the others, which the model sees but which are not scored.
        packed: Whether shared prompts may share one row, up to the length of the longest.
        max_row_tokens: Length of packed rows if it is more than the longest prompt with its answers.

    Returns:
        The rows and the indices of the scored tokens.
    """
    import torch

    count = len(prompts)
    prompt_of, items = _items(prompts, answers, shared)
    sizes = [len(item.tokens) for item in items]
    rows = _pack(sizes, max_row_tokens) if shared and packed else [[index] for index in range(len(items))]
    order = [prompt_of[index] for row in rows for index in row][:count]
    rows += [[index] for index in range(len(items), len(items) + len(unscored))]
    items += [_item(prompt.ids, []) for prompt in unscored]

    def padded(values: Sequence[Sequence[int]], filler: int = 0) -> torch.Tensor:
        """Join the items' values to rows [R, T]."""
        joined = [[value for index in row for value in values[index]] for row in rows]
        longest = max(1, *(len(row) for row in joined))
        return torch.tensor([[*row, *[filler] * (longest - len(row))] for row in joined], dtype=torch.long)

    input_ids = padded([item.tokens for item in items], pad_token)
    starts, slots = {}, {}  # per item: its first position among all R T, its number in its row
    for number, row in enumerate(rows):
        start = number * input_ids.shape[1]
        for slot, index in enumerate(row):
            starts[index], slots[index] = start, slot
            start += len(items[index].tokens)
    width = max(len(answer) for group in answers for answer in group)
    scored: list[int] = []
    labels: list[int] = []
    indices: list[int] = []
    for index, item in enumerate(items):
        for turn, (positions, tokens) in enumerate(zip(item.scored, item.labels, strict=True)):
            first = (prompt_of[index] + turn * count if shared else index) * width
            scored += [starts[index] + position for position in positions]
            labels += tokens
            indices += range(first, first + len(tokens))
    prompts_of_items = [*(prompts[index] for index in prompt_of), *unscored]
    extras = {
        name: [
            _extended(prompt.extras.get(name, ()), len(item.tokens))
            for prompt, item in zip(prompts_of_items, items, strict=True)
        ]
        for name in sorted({name for prompt in prompts for name in prompt.extras})
    }
    return Layout(
        input_ids=input_ids,
        segments=padded([item.segments for item in items], PADDING),
        prompt_index=padded([[slots[index]] * len(item.tokens) for index, item in enumerate(items)]),
        position_ids=padded([item.positions for item in items]),
        scored=torch.tensor(scored, dtype=torch.long),
        labels=torch.tensor(labels, dtype=torch.long),
        indices=torch.tensor(indices, dtype=torch.long),
        extras={name: padded(values) for name, values in extras.items()},
        order=order,
    )


def visible(segments: torch.Tensor, prompt_index: torch.Tensor, prefix: int) -> torch.Tensor:
    """Build the attention mask of the tokens after the common prefix.

    A token attends to itself and to what precedes it in its own prompt and in its own answer.

    Args:
        segments: Segments of a layout [R, T].
        prompt_index: Prompt of each token within its row [R, T].
        prefix: Number of leading tokens that are left out of the mask, because they are causal.

    Returns:
        Boolean mask [R, 1, T - prefix, T], true for visible tokens.
    """
    import torch

    query, key = segments[:, prefix:, None], segments[:, None, :]
    positions = torch.arange(segments.shape[1], device=segments.device)
    own = ((key == PROMPT) | (key == query)) & (positions[prefix:, None] >= positions[None, :])
    own &= prompt_index[:, prefix:, None] == prompt_index[:, None, :]
    return own[:, None]  # padding sees padding: a row that sees nothing would be NaN


def _items(
    prompts: Sequence[PromptTokens], answers: Sequence[Sequence[Sequence[int]]], shared: bool
) -> tuple[list[int], list[_Item]]:
    """Make one item per prompt if shared, else one per answer; return each item's prompt and the items."""
    if shared:
        items = [_item(prompt.ids, group) for prompt, group in zip(prompts, answers, strict=True)]
        return [*range(len(prompts))], items
    turns = range(len(answers[0]))
    items = [_item(prompt.ids, [group[turn]]) for turn in turns for prompt, group in zip(prompts, answers, strict=True)]
    return [*range(len(prompts))] * len(turns), items


def _item(prompt: Sequence[int], answers: Sequence[Sequence[int]]) -> _Item:
    """Join the prompt without its last token and each answer with that token as its head."""
    if not answers:
        return _Item(list(prompt), [PROMPT] * len(prompt), list(range(len(prompt))), [], [])
    common, head = list(prompt[:-1]), list(prompt[-1:])
    tokens, segments, positions = [*common], [PROMPT] * len(common), list(range(len(common)))
    scored: list[list[int]] = []
    labels: list[list[int]] = []
    for number, answer in enumerate(answers):
        own = [*head, *answer[:-1]]
        start = len(tokens)
        tokens += own
        # A single answer needs no segment of its own: it attends to everything before it.
        segments += [PROMPT if len(answers) == 1 else PROMPT + 1 + number] * len(own)
        positions += range(len(common), len(common) + len(own))
        scored.append(list(range(start, start + len(own))))
        labels.append(list(answer if head else answer[1:]))
    return _Item(tokens, segments, positions, scored, labels)


def _pack(sizes: Sequence[int], max_row_tokens: int) -> list[list[int]]:
    """Pack items into rows: each in the first row with room for it, the longest first."""
    limit = max([max_row_tokens, *sizes])
    rows: list[tuple[int, list[int]]] = []
    for index in sorted(range(len(sizes)), key=lambda index: -sizes[index]):
        for number, (left, row) in enumerate(rows):
            if sizes[index] <= left:
                rows[number] = left - sizes[index], [*row, index]
                break
        else:
            rows.append((limit - sizes[index], [index]))
    return [row for _, row in rows]


def _extended(values: Sequence[int], length: int) -> list[int]:
    return [*values, *[0] * length][:length]
