"""Groups of rows with the same prompt and image, which are computed together: the prompt once for all of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from mmdpo.models.messages import IMAGE_TOKEN
from mmdpo.training.group_order import first_question
from mmdpo.training.layout import PromptTokens
from mmdpo.training.rows import Example, Row
from mmdpo.training.token_tree import common_beginning, token_tree

GROUP = "group"
"""Key of a row's group."""

MAX_TREE_TOKENS = 4096
"""Text tokens of the rows that share a tree, whose attention mask grows with the square of its length."""


@dataclass(frozen=True)
class Savings:
    """Work that groups save in a data set, before rows are batched and padded.

    Attributes:
        rows: Number of rows.
        prompts: Number of groups.
        images: Images to compute for separate rows, and for groups.
        tokens: Text tokens to compute for separate rows, and for groups.
        split: Number of groups with more rows than a batch, whose prompt is computed several times.
    """

    rows: int
    prompts: int
    images: tuple[int, int]
    tokens: tuple[int, int]
    split: int = 0

    def __str__(self) -> str:
        """Describe the savings in one line."""
        images = f"{self.images[1]} images and " if self.images[0] else ""
        separate = f"{self.images[0]} and {self.tokens[0]}" if self.images[0] else f"{self.tokens[0]}"
        least = "at least " if self.split else ""
        apart = f", except for {self.split} prompts with more rows than a batch" if self.split else ""
        return (
            f"each prompt once: {self.rows} rows of {self.prompts} prompts; {least}{images}{self.tokens[1]} text "
            f"tokens to compute per epoch instead of {separate}. Rows of a prompt share a batch{apart}; for other "
            "batches, type train.prompt_once=false"
        )


def prompt_groups(examples: Sequence[Example], rows: Sequence[Row]) -> list[int] | None:
    """Number the groups of rows whose conversations begin with the same images and question.

    These are the answers to a prompt, also where SteerLM's request for ratings follows the question, the pairs of a
    prompt, and the turns of a conversation.

    Args:
        examples: Examples in the order of their rows.
        rows: Their rows.

    Returns:
        The number of each row's group, or None if no two rows share one.
    """
    numbers: dict[tuple[Any, ...], int] = {}
    groups = [
        numbers.setdefault((*row["digests"], example.system, first_question(example)), len(numbers))
        for example, row in zip(examples, rows, strict=True)
    ]
    return groups if len(numbers) < len(rows) else None


def trees_of(rows: Sequence[Row], processor: Any) -> list[list[int]]:
    """Divide the rows of a batch into those that share a tree; rows without a group stay alone.

    Args:
        rows: The rows of a batch.
        processor: The model's processor.

    Returns:
        Indices of the rows of each tree. All images stand in the part of the prompts that the rows of a tree share.
    """
    image = processor.tokenizer.convert_tokens_to_ids(getattr(processor, "image_token", IMAGE_TOKEN))
    trees: list[list[int]] = []
    open_trees: dict[int, tuple[list[int], int]] = {}  # by group: the tree to add to, and the tokens of its rows
    for index, row in enumerate(rows):
        size = len(row["prompt_ids"]) + sum(map(len, row["answers"]))
        tree, tokens = open_trees.get(row.get(GROUP, -1), ([], 0))
        if tree and tokens + size <= MAX_TREE_TOKENS and image not in _tails(rows[tree[0]], row):
            tree.append(index)
        else:
            tree, tokens = [index], 0
            trees.append(tree)
        if GROUP in row:
            open_trees[row[GROUP]] = tree, tokens + size
    return trees


def continued_prompt(lead: Row, expanded: PromptTokens, row: Row) -> PromptTokens | None:
    """Return the prompt of a row from that of another one, in which the processor has expanded the images.

    Args:
        lead: The row that the processor has expanded.
        expanded: The tokens of its prompt.
        row: A row of the same tree.

    Returns:
        The tokens of the row's prompt; None if the processor changes more than the placeholders of images.
    """
    common = len(common_beginning([lead["prompt_ids"], row["prompt_ids"]]))
    tail = lead["prompt_ids"][common:]
    end = len(expanded.ids) - len(tail)
    if list(expanded.ids[end:]) != tail or any(any(values[end:]) for values in expanded.extras.values()):
        return None
    extras = {name: values[:end] for name, values in expanded.extras.items()}
    return PromptTokens([*expanded.ids[:end], *row["prompt_ids"][common:]], extras)


def savings(rows: Sequence[Row], groups: Sequence[int], batch_size: int | None = None) -> Savings:
    """Count the work that groups save.

    Args:
        rows: All rows of a data set.
        groups: The number of each row's group.
        batch_size: Rows per batch; None if groups of any size fit.

    Returns:
        The counts.
    """
    members: dict[int, list[Row]] = {}
    for row, group in zip(rows, groups, strict=True):
        members.setdefault(group, []).append(row)
    return Savings(
        rows=len(rows),
        prompts=len(members),
        images=(sum(len(row["images"]) for row in rows), sum(len(own[0]["images"]) for own in members.values())),
        tokens=(sum(_text_tokens([row]) for row in rows), sum(map(_text_tokens, members.values()))),
        split=sum(batch_size is not None and len(own) > batch_size for own in members.values()),
    )


def tree_tokens(rows: Sequence[Row]) -> int:
    """Count the tokens of the tree of some rows, a placeholder for each image among them."""
    return len(token_tree([[*row["prompt_ids"], *answer] for row in rows for answer in row["answers"]]).tokens)


def _text_tokens(rows: Sequence[Row]) -> int:
    return tree_tokens(rows) - len(rows[0]["images"])


def _tails(one: Row, other: Row) -> list[int]:
    """Return the tokens of two prompts after their common beginning."""
    common = len(common_beginning([one["prompt_ids"], other["prompt_ids"]]))
    return [*one["prompt_ids"][common:], *other["prompt_ids"][common:]]
