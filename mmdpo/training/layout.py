"""Layout of prompts and answers in the model's rows: one row per answer, or shared rows with each prompt once.

A shared row holds token trees (`token_tree.TokenTree`). A tree holds what its sequences, prompts with their answers,
have in common once, followed by the parts in which they differ. These do not attend to each other, and positions
restart with each, so every token has the log-prob that it has in a row of its own. A pair is a tree of two sequences;
rows of one prompt, such as SteerLM's answers or all pairs of a prompt, can share a tree, in which equal answers stand
once. Short trees share a row while they are together no longer than the longest one, which saves padding; they do not
attend to each other. The last token of an answer predicts nothing and is left out.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from mmdpo.training.token_tree import TokenTree, token_tree

if TYPE_CHECKING:
    import torch

Place = tuple[int, int]  # numbers of a prompt and of one of its answers


@dataclass(frozen=True)
class PromptTokens:
    """Tokens of a prompt, an image's included, and per-token extras of the processor by name."""

    ids: Sequence[int]
    extras: dict[str, Sequence[int]] = field(default_factory=dict)


@dataclass(frozen=True)
class Layout:
    """R rows of T tokens that hold B prompts with N answers each.

    The answers have M tokens with a log-prob, which the model computes for U of them: where sequences share a tree,
    equal tokens with the same beginning are one. P positions predict these; a position at which answers part predicts
    several. A is the number of tokens of the longest answer. Separate rows: R = N B, the first answers of all prompts
    first. Shared rows: R is at most B.
    """

    input_ids: torch.Tensor  # [R, T], padded on the right
    seen_until: torch.Tensor  # [R, T]: end of the tokens in the row that see a token, from itself on; 0: padding
    position_ids: torch.Tensor  # [R, T]
    scored: torch.Tensor  # [P]: index of each position that predicts an answer token, among all R T
    predictor: torch.Tensor  # [U]: index in `scored` of the position that predicts it
    targets: torch.Tensor  # [U]: the token predicted there
    source: torch.Tensor  # [M]: index in `targets` of each answer token
    labels: torch.Tensor  # [M]: that token
    indices: torch.Tensor  # [M]: index of that token in [N B, A], the first answers first, among all N B A
    extras: dict[str, torch.Tensor]  # [R, T] each
    order: list[int]  # the prompts in the order of the rows; of a tree the first alone

    @property
    def prefix(self) -> int:
        """Number of leading tokens in every row that see all before them; these have causal attention."""
        import torch

        counts = torch.arange(1, self.seen_until.shape[1] + 1)
        causal = self.seen_until.cummin(dim=1).values >= counts
        return int(causal.long().cumprod(dim=1).sum(dim=1).min())


@dataclass(frozen=True)
class _Item:
    """A tree in a row, and the prompt and answer of each of its sequences."""

    tree: TokenTree
    sequences: Sequence[Place]


def lay_out(
    prompts: Sequence[PromptTokens],
    answers: Sequence[Sequence[Sequence[int]]],
    pad_token: int,
    shared: bool,
    unscored: Sequence[PromptTokens] = (),
    packed: bool = False,
    max_row_tokens: int = 0,
    trees: Sequence[Sequence[int]] | None = None,
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
        trees: Numbers of the prompts that share a tree, for each tree of shared rows; each prompt is in one. None for
            a tree per prompt.

    Returns:
        The rows and the indices of the scored tokens.
    """
    import torch

    count = len(prompts)
    turns = range(len(answers[0]))
    if shared:
        groups = [[(index, turn) for index in tree for turn in turns] for tree in trees or [[i] for i in range(count)]]
    else:
        groups = [[(index, turn)] for turn in turns for index in range(count)]
    items = [_Item(token_tree([[*prompts[b].ids, *answers[b][n]] for b, n in group]), group) for group in groups]
    sizes = [len(item.tree.tokens) for item in items]
    rows = pack(sizes, max_row_tokens) if shared and packed else [[index] for index in range(len(items))]
    order = [items[index].sequences[0][0] for row in rows for index in row][: len(trees or prompts)]
    rows += [[len(items) + index] for index in range(len(unscored))]
    all_trees = [item.tree for item in items] + [token_tree([[*prompt.ids, pad_token]]) for prompt in unscored]
    longest = max(1, *(sum(len(all_trees[index].tokens) for index in row) for row in rows))

    def padded(values: Sequence[Sequence[int]], filler: int = 0) -> torch.Tensor:
        """Join the trees' values to rows [R, T]."""
        joined = [[value for index in row for value in values[index]] for row in rows]
        return torch.tensor([[*row, *[filler] * (longest - len(row))] for row in joined], dtype=torch.long)

    starts: dict[int, int] = {}  # of each tree within its row
    firsts: dict[int, int] = {}  # index of its first token among all R T
    for number, row in enumerate(rows):
        start = 0
        for index in row:
            starts[index], firsts[index] = start, number * longest + start
            start += len(all_trees[index].tokens)
    prompts_of_trees = [[prompts[b] for b, _ in item.sequences] for item in items] + [[prompt] for prompt in unscored]
    extras = {
        name: padded(
            [
                [
                    _extra(owners[owner], name, position)
                    for owner, position in zip(tree.owners, tree.positions, strict=True)
                ]
                for tree, owners in zip(all_trees, prompts_of_trees, strict=True)
            ]
        )
        for name in sorted({name for prompt in prompts for name in prompt.extras})
    }
    width = max(len(answer) for group in answers for answer in group)
    return Layout(
        input_ids=padded([tree.tokens for tree in all_trees], pad_token),
        seen_until=padded([[starts[index] + end for end in tree.ends] for index, tree in enumerate(all_trees)]),
        position_ids=padded([tree.positions for tree in all_trees]),
        **_predictions(items, [firsts[index] for index in range(len(items))], prompts, answers, width),
        extras=extras,
        order=order,
    )


def visible(seen_until: torch.Tensor, prefix: int) -> torch.Tensor:
    """Build the attention mask of the tokens after the common prefix.

    A token attends to itself and to what precedes it in its sequences.

    Args:
        seen_until: End of the tokens that see each token [R, T], of a layout.
        prefix: Number of leading tokens that are left out of the mask, because they are causal.

    Returns:
        Boolean mask [R, 1, T - prefix, T], true for visible tokens.
    """
    import torch

    positions = torch.arange(seen_until.shape[1], device=seen_until.device)
    query, key = positions[prefix:, None], positions[None, :]
    seen = (key <= query) & (query < seen_until[:, None, :])
    return (seen | (key == query))[:, None]  # padding sees itself: a row that sees nothing would be NaN


def _predictions(
    items: Sequence[_Item],
    firsts: Sequence[int],
    prompts: Sequence[PromptTokens],
    answers: Sequence[Sequence[Sequence[int]]],
    width: int,
) -> dict[str, torch.Tensor]:
    """Find the position that predicts each answer token.

    Args:
        items: The trees.
        firsts: Index of each tree's first token among all positions.
        prompts: B prompts.
        answers: N answers of each.
        width: Tokens of the longest answer.

    Returns:
        The fields `scored`, `predictor`, `targets`, `source`, `labels` and `indices` of a layout.
    """
    import torch

    positions: dict[int, int] = {}  # number of each scored position
    predictions: dict[tuple[int, int], int] = {}  # number of each prediction, by position and token
    found: dict[str, list[int]] = {"source": [], "labels": [], "indices": []}
    for item, first in zip(items, firsts, strict=True):
        for (prompt, turn), path in zip(item.sequences, item.tree.paths, strict=True):
            length, answer = len(prompts[prompt].ids), answers[prompt][turn]
            unpredicted = 0 if length else 1
            for position, token in zip(path[max(length - 1, 0) :], answer[unpredicted:], strict=True):
                positions.setdefault(first + position, len(positions))
                found["source"].append(predictions.setdefault((first + position, token), len(predictions)))
                found["labels"].append(token)
            start = (turn * len(prompts) + prompt) * width
            found["indices"] += range(start, start + len(answer) - unpredicted)
    found["scored"] = list(positions)
    found["predictor"] = [positions[position] for position, _ in predictions]
    found["targets"] = [token for _, token in predictions]
    return {name: torch.tensor(values, dtype=torch.long) for name, values in found.items()}


def pack(sizes: Sequence[int], max_row_tokens: int) -> list[list[int]]:
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


def _extra(prompt: PromptTokens, name: str, position: int) -> int:
    """Return a token's extra; that of an answer's token is 0."""
    values = prompt.extras.get(name, ())
    return values[position] if position < len(values) else 0
