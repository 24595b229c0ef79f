"""Weights of micro-batches in the last step of an epoch, if they are smaller than configured."""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil

from mmdpo.training.fit.plan import Steps


@dataclass
class UpdateWeights:
    """Weights with which micro-batches give the loss of the configured, larger ones.

    A trainer averages the losses of the micro-batches of a step. If the last one of an epoch has fewer rows than the
    others, each of its rows weighs more. Smaller micro-batches would change that weight. In all other steps the
    weights are 1.

    Attributes:
        steps: The steps as configured, of a single process.
        micro_batch: Rows of a micro-batch; the configured number is a multiple of it.
    """

    steps: Steps
    micro_batch: int
    _step: int = -1
    _index: int = 0

    def next(self, step: int, rows: int) -> float:
        """Return the weight of the next micro-batch.

        Args:
            step: Optimizer steps taken so far.
            rows: Rows of the micro-batch.
        """
        if step != self._step:
            self._step, self._index = step, 0
        start = self._index * self.micro_batch
        self._index += 1
        configured, per_step = self.steps.micro_batch, self.steps.micro_batch * self.steps.accumulation
        per_epoch = ceil(self.steps.rows / per_step)
        last = self.steps.rows - (per_epoch - 1) * per_step
        total = last if (step + 1) % per_epoch == 0 else per_step
        group = min(configured, total - start // configured * configured)
        return ceil(total / self.micro_batch) * rows / (ceil(total / configured) * group)
