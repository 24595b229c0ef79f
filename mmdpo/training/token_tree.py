"""Token trees: sequences with a common beginning, in which each token of that beginning stands once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field


@dataclass
class TokenTree:
    """Sequences of tokens, without the last token of each, as one list in which a common beginning stands once.

    Branches follow each other in the order of their first sequences, and a token stands before all that follow it in
    any sequence. The last token of a sequence predicts nothing, so it is left out, unless another sequence continues
    with it.

    Attributes:
        tokens: The tokens [T].
        ends: For each token the end of the part that follows it: it is seen by those from itself to this index [T].
        positions: Position of each token in its sequences, from 0 [T].
        owners: The first sequence that holds each token [T].
        paths: For each sequence the indices of its tokens but the last.
    """

    tokens: list[int] = field(default_factory=list)
    ends: list[int] = field(default_factory=list)
    positions: list[int] = field(default_factory=list)
    owners: list[int] = field(default_factory=list)
    paths: list[list[int]] = field(default_factory=list)


def token_tree(sequences: Sequence[Sequence[int]]) -> TokenTree:
    """Build the tree of some sequences, in their order."""
    tree = TokenTree(paths=[[] for _ in sequences])
    _grow(tree, [list(sequence[:-1]) for sequence in sequences], range(len(sequences)), 0)
    return tree


def common_beginning(sequences: Sequence[list[int]]) -> list[int]:
    """Return the tokens with which all sequences begin."""
    low, high = min(sequences), max(sequences)  # in alphabetical order, the least alike
    return next((low[:index] for index, token in enumerate(low) if token != high[index]), low)


def _grow(tree: TokenTree, sequences: Sequence[list[int]], members: Sequence[int], depth: int) -> None:
    """Add the part of a tree that some sequences share from a depth on, and then its branches."""
    if len(members) == 1:
        run = sequences[members[0]][depth:]
    else:
        run = common_beginning([sequences[member][depth:] for member in members])
    start, end = len(tree.tokens), depth + len(run)
    tree.tokens += run
    tree.ends += [0] * len(run)
    tree.positions += range(depth, end)
    tree.owners += [members[0]] * len(run)
    branches: dict[int, list[int]] = {}
    for member in members:
        tree.paths[member] += range(start, start + len(run))
        if len(sequences[member]) > end:
            branches.setdefault(sequences[member][end], []).append(member)
    for branch in branches.values():
        _grow(tree, sequences, branch, end)
    tree.ends[start : start + len(run)] = [len(tree.tokens)] * len(run)
