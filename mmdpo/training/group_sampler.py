"""Order of the rows of an epoch in which the rows of a group share a batch."""

from __future__ import annotations

import math
import random
from collections import deque
from collections.abc import Callable, Iterator, Sequence

from torch.utils.data import Sampler


class GroupSampler(Sampler[int]):
    """Sampler of all rows in an order that depends on the seed and the epoch alone.

    All processes get the same order, and successive batches of it.
    """

    def __init__(self, groups: Sequence[int], batch_size: int, seed: int, epoch: Callable[[], float]) -> None:
        """Set what the order depends on.

        Args:
            groups: The group of each row.
            batch_size: Rows per batch.
            seed: Seed of the order.
            epoch: Returns the number of epochs so far when an epoch starts or is resumed. accelerate does not tell
                the sampler of several processes that resume.
        """
        self.groups, self.batch_size, self.seed, self.epoch = groups, batch_size, seed, epoch

    def __len__(self) -> int:
        """Return the number of rows."""
        return len(self.groups)

    def __iter__(self) -> Iterator[int]:
        """Yield the rows of an epoch."""
        epoch = math.floor(self.epoch() + 1e-9)
        yield from order_of_groups(self.groups, self.batch_size, random.Random(f"groups {self.seed} {epoch}"))


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
