"""Order of the rows of an epoch in which the rows of a group share a batch."""

from __future__ import annotations

import math
import random
from collections import deque
from collections.abc import Callable, Iterator, Sequence

from torch.utils.data import Sampler


class GroupSampler(Sampler[int]):
    """Sampler of all rows in an order in which the rows of a group share an optimizer step, and in it a batch.

    The rows of a step depend on the seed, the epoch and their number alone, and not on the division of a step into
    batches. All processes get the same order, and successive batches of it.
    """

    def __init__(
        self, groups: Sequence[int], step_size: int, batch_size: int, seed: int, epoch: Callable[[], float]
    ) -> None:
        """Set what the order depends on.

        Args:
            groups: The group of each row.
            step_size: Rows per optimizer step, of all processes together.
            batch_size: Rows per batch of a process; a step has a whole number of batches.
            seed: Seed of the order.
            epoch: Returns the number of epochs so far when an epoch starts or is resumed. accelerate does not tell
                the sampler if several processes resume.
        """
        self.groups, self.step_size, self.batch_size = groups, step_size, batch_size
        self.seed, self.epoch = seed, epoch

    def __len__(self) -> int:
        """Return the number of rows."""
        return len(self.groups)

    def __iter__(self) -> Iterator[int]:
        """Yield the rows of an epoch."""
        rng = random.Random(f"groups {self.seed} {math.floor(self.epoch() + 1e-9)}")
        order = order_of_groups(self.groups, self.step_size, rng)
        for start in range(0, len(order), self.step_size):
            rows = order[start : start + self.step_size]
            groups = [self.groups[row] for row in rows]
            within = order_of_groups(groups, self.batch_size, random.Random(start))
            yield from (rows[index] for index in within)


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
