"""How prompts and answers lie in the model's rows: one row an answer, or several prompts a row, each once.

Shared, a prompt stands once and its answers behind it: `prompt | head answer | head answer`, where `head`
is the prompt's last token, repeated so that each answer's first token has a position that predicts it.
The answers do not see each other, and positions restart with each, so that every token has the log-prob
that it has in a row of its own. Where short ones together are no longer than the longest, they lie in one
row, none seeing another, so that little is padding. The last token of an answer predicts nothing and is
left out.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

PADDING, PROMPT = 0, 1  # segments; the answers are 2, 3, ...


@dataclass(frozen=True)
class Prompt:
    """Tokens of a prompt, an image's included, and per-token extras of the processor under their names."""

    ids: Sequence[int]
    extras: dict[str, Sequence[int]] = field(default_factory=dict)


@dataclass(frozen=True)
class Layout:
    """R rows of T tokens that hold B prompts with N answers each, the longest of A tokens, M in all.

    Separate: R = N B, the first answers of all prompts first. Shared: R is B or less.
    """

    input_ids: torch.Tensor  # [R, T], padded on the right
    segments: torch.Tensor  # [R, T]: 0 padding, 1 prompt, 2 and more the answers
    owners: torch.Tensor  # [R, T]: which prompt of its row a token belongs to, from 0
    position_ids: torch.Tensor  # [R, T]
    scored: torch.Tensor  # [M]: the position that predicts each answer token, among all R T
    labels: torch.Tensor  # [M]: that token
    places: torch.Tensor  # [M]: where it stands in [N B, A], the first answers first, among all N B A
    extras: dict[str, torch.Tensor]  # [R, T] each
    order: list[int]  # the B prompts as they lie, row by row

    @property
    def prefix(self) -> int:
        """How many first tokens are one prompt's in every row: each sees just those before it."""
        first = (self.segments == PROMPT) & (self.owners == 0)
        return int(first.cumprod(dim=1).sum(dim=1).min())


@dataclass
class _Item:
    """One prompt with its answers, or with one of them."""

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
    packed: bool = False,
    room: int = 0,
) -> Layout:
    """The rows of B prompts with N answers each (`answers[b][n]`), in one form or the other.

    Without a token before it, an answer's first token is predicted by nothing and not scored.
    `unscored` prompts are rows behind the others, which the model sees and nobody scores. `packed` lets
    shared prompts lie in one row as far as the longest is long, or `room` where that is more.
    """
    import torch

    count = len(prompts)
    owners, items = _items(prompts, answers, shared)
    sizes = [len(item.tokens) for item in items]
    rows = _packed(sizes, room) if shared and packed else [[place] for place in range(len(items))]
    order = [owners[place] for row in rows for place in row][:count]
    rows += [[place] for place in range(len(items), len(items) + len(unscored))]
    items += [_item(prompt.ids, []) for prompt in unscored]

    def padded(values: Sequence[Sequence[int]], filler: int = 0) -> torch.Tensor:
        """[R, T] of the items' values."""
        joined = [[value for place in row for value in values[place]] for row in rows]
        longest = max(1, *(len(row) for row in joined))
        return torch.tensor([[*row, *[filler] * (longest - len(row))] for row in joined], dtype=torch.long)

    input_ids = padded([item.tokens for item in items], pad_token)
    starts, within = {}, {}  # of each item: its first position among all R T, its number in its row
    for number, row in enumerate(rows):
        start = number * input_ids.shape[1]
        for turn, place in enumerate(row):
            starts[place], within[place] = start, turn
            start += len(items[place].tokens)
    width = max(len(answer) for group in answers for answer in group)
    scored: list[int] = []
    labels: list[int] = []
    places: list[int] = []
    for place, item in enumerate(items):
        for turn, (positions, tokens) in enumerate(zip(item.scored, item.labels, strict=True)):
            answer = (owners[place] + turn * count if shared else place) * width
            scored += [starts[place] + position for position in positions]
            labels += tokens
            places += range(answer, answer + len(tokens))
    of_items = [*(prompts[owner] for owner in owners), *unscored]
    extras = {
        name: [
            _extended(prompt.extras.get(name, ()), len(item.tokens))
            for prompt, item in zip(of_items, items, strict=True)
        ]
        for name in sorted({name for prompt in prompts for name in prompt.extras})
    }
    return Layout(
        input_ids=input_ids,
        segments=padded([item.segments for item in items], PADDING),
        owners=padded([[within[place]] * len(item.tokens) for place, item in enumerate(items)]),
        position_ids=padded([item.positions for item in items]),
        scored=torch.tensor(scored, dtype=torch.long),
        labels=torch.tensor(labels, dtype=torch.long),
        places=torch.tensor(places, dtype=torch.long),
        extras={name: padded(values) for name, values in extras.items()},
        order=order,
    )


def visible(segments: torch.Tensor, owners: torch.Tensor, prefix: int) -> torch.Tensor:
    """What each of the tokens [R, T] behind the first `prefix` may look at: boolean [R, 1, T - prefix, T].

    Itself and what stands before it in its own prompt or in its own answer.
    """
    import torch

    query, key = segments[:, prefix:, None], segments[:, None, :]
    places = torch.arange(segments.shape[1], device=segments.device)
    own = ((key == PROMPT) | (key == query)) & (places[prefix:, None] >= places[None, :])
    own &= owners[:, prefix:, None] == owners[:, None, :]
    return own[:, None]  # padding sees padding: a row that sees nothing would be NaN


def _items(
    prompts: Sequence[Prompt], answers: Sequence[Sequence[Sequence[int]]], shared: bool
) -> tuple[list[int], list[_Item]]:
    """What lies in rows, and each one's prompt: shared, a prompt an item, else an answer an item."""
    if shared:
        made = [_item(prompt.ids, group) for prompt, group in zip(prompts, answers, strict=True)]
        return [*range(len(prompts))], made
    turns = range(len(answers[0]))
    made = [_item(prompt.ids, [group[turn]]) for turn in turns for prompt, group in zip(prompts, answers, strict=True)]
    return [*range(len(prompts))] * len(turns), made


def _item(prompt: Sequence[int], answers: Sequence[Sequence[int]]) -> _Item:
    """The prompt without its last token, then each answer with that token at its head; or it alone."""
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
        # Alone, an answer needs no segment of its own: what is before it is all visible.
        segments += [PROMPT if len(answers) == 1 else PROMPT + 1 + number] * len(own)
        positions += range(len(common), len(common) + len(own))
        scored.append(list(range(start, start + len(own))))
        labels.append(list(answer if head else answer[1:]))
    return _Item(tokens, segments, positions, scored, labels)


def _packed(sizes: Sequence[int], room: int) -> list[list[int]]:
    """Items by the rows that take them, each in the first row with room for it, the longest first."""
    room = max([room, *sizes])
    rows: list[tuple[int, list[int]]] = []
    for place in sorted(range(len(sizes)), key=lambda place: -sizes[place]):
        for number, (left, row) in enumerate(rows):
            if sizes[place] <= left:
                rows[number] = left - sizes[place], [*row, place]
                break
        else:
            rows.append((room - sizes[place], [place]))
    return [row for _, row in rows]


def _extended(values: Sequence[int], length: int) -> list[int]:
    return [*values, *[0] * length][:length]
