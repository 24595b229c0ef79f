"""Groups of rows, and an order in which those of a group share a batch. Light: a sweep is planned with this."""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Sequence

from mmdpo.records import LabelledAnswer, PreferencePair, SftExample, SteeredExample


def first_question(example: PreferencePair | SftExample | LabelledAnswer) -> str:
    """Return the question with which an example's conversation begins, without SteerLM's request for ratings."""
    if example.history:
        return example.history[0].question
    return example.original_question if isinstance(example, SteeredExample) else example.question


def epoch_order(groups: Sequence[int], step_size: int, batch_size: int, rng: random.Random) -> list[int]:
    """Order the rows of an epoch so that those of a group share an optimizer step, and in it a batch.

    The rows of a step depend on the source and their number alone, and not on the division of a step into batches.

    Args:
        groups: The group of each row.
        step_size: Rows per optimizer step.
        batch_size: Rows per batch; a step has a whole number of batches.
        rng: Source of the random order.

    Returns:
        The indices of the rows.
    """
    order = order_of_groups(groups, step_size, rng)
    found: list[int] = []
    for start in range(0, len(order), step_size):
        rows = order[start : start + step_size]
        within = order_of_groups([groups[row] for row in rows], batch_size, random.Random(start))
        found += [rows[index] for index in within]
    return found


def order_of_groups(groups: Sequence[int], batch_size: int, rng: random.Random) -> list[int]:
    """Order rows so that those of a group fall into one batch; all batches but the last are full.

    Groups come in random order, except that a batch is filled with the next group that fits. A group is split over
    batches if it is larger than a batch, or if no group fits.

    Args:
        groups: The group of each row.
        batch_size: Rows per batch.
        rng: Source of the random order.

    Returns:
        The indices of the rows.
    """
    members: dict[int, list[int]] = {}
    for row, group in enumerate(groups):
        members.setdefault(group, []).append(row)
    pieces = list(members.values())
    rng.shuffle(pieces)
    waiting: dict[int, deque[tuple[int, list[int]]]] = {}  # pieces by size, each with its place in the order
    for place, rows in enumerate(pieces):
        rng.shuffle(rows)
        waiting.setdefault(len(rows), deque()).append((place, rows))
    order: list[int] = []
    while waiting:
        room = batch_size - len(order) % batch_size
        fitting = [size for size in waiting if size <= room] or list(waiting)
        size = min(fitting, key=lambda size: waiting[size][0][0])
        place, rows = waiting[size].popleft()
        if not waiting[size]:
            del waiting[size]
        order += rows[:room]
        if rows[room:]:
            waiting.setdefault(size - room, deque()).appendleft((-1, rows[room:]))
    return order
