"""Order of the rows of an epoch in which the rows of a group share a batch."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Iterator, Sequence

from torch.utils.data import Sampler

from mmdpo.training.group_order import epoch_order


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
        yield from epoch_order(self.groups, self.step_size, self.batch_size, rng)
