"""Predicted peak memory of a training and the time of its steps, for any of its plans."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

from mmdpo.training.fit.plan import Plan

if TYPE_CHECKING:
    from mmdpo.config.schema import ModelConfig
    from mmdpo.training.fit.meta import Device
    from mmdpo.training.fit.micro_batches import MicroBatches

GIB = 1 << 30
STEP_TOKENS = {True: 50, False: 4}
"""Cost of a micro-step besides its tokens, in tokens, on a GPU and on a CPU. An estimate: launching kernels."""
GATHERED = 2 * 10**9  # bytes of weights that ZeRO-3 gathers at once (DeepSpeed's default: a billion weights)


@dataclass(frozen=True)
class Peak:
    """Predicted peak memory of one process, in bytes."""

    weights: int
    trained: int  # LoRA, its gradients and Adam's states
    activations: int

    @property
    def total(self) -> int:
        """The sum."""
        return self.weights + self.trained + self.activations


@dataclass
class Predictor:
    """Predictor of memory and relative time, which runs the real code on the meta device.

    Attributes:
        model: Settings of the model.
        batches: The micro-batches of the training.
        device: The device to plan for.
    """

    model: ModelConfig
    batches: MicroBatches
    device: Device
    _activations: dict[tuple[int, bool], int] = field(default_factory=dict)

    def peak(self, plan: Plan) -> Peak:
        """Predict the peak memory of a plan: that of the micro-batch with the most positions.

        Args:
            plan: The plan. Its ZeRO stage divides what DeepSpeed partitions among the processes.
        """
        return self._peak(plan, self._traced(plan.per_device_train_batch_size, plan.activation_checkpointing))

    def estimate(self, plan: Plan, measured: Sequence[int]) -> Peak:
        """Estimate the peak memory of a plan from those of other sizes, in proportion to their positions.

        Args:
            plan: The plan.
            measured: Two sizes of micro-batches.
        """
        size, recompute = plan.per_device_train_batch_size, plan.activation_checkpointing
        positions, few, many = (self.batches.most_positions(one) for one in (size, *measured))
        least, most = (self._traced(one, recompute) for one in measured)
        slope = (most - least) / (many - few) if many > few else least / few
        return self._peak(plan, round(least + slope * (positions - few)))

    def seconds(self, plan: Plan) -> float:
        """Return the relative time of one row. Only ratios of plans with the same recomputation have a meaning."""
        size = plan.per_device_train_batch_size
        return self.batches.mean_positions(size) + STEP_TOKENS[self.device.gpu] / size

    def _peak(self, plan: Plan, activations: int) -> Peak:
        weights, trained = self._fixed
        processes = self.batches.steps.processes
        if processes > 1:
            activations += trained // 4  # DDP's or DeepSpeed's buckets: the gradients once more
        if plan.zero_stage == 3:
            weights = weights // processes + min(weights, GATHERED)
        if plan.zero_stage >= 2:  # the weights of LoRA stay whole: a quarter of `trained`
            trained = trained // 4 + 3 * trained // 4 // processes
        return Peak(weights, trained, activations)

    @cached_property
    def _meta(self) -> Any:
        from mmdpo.training.fit.meta import meta_model

        return meta_model(self.model, self.device.dtype)

    @cached_property
    def _fixed(self) -> tuple[int, int]:
        from mmdpo.training.fit.meta import fixed_bytes

        return fixed_bytes(self._meta)

    def _traced(self, size: int, recompute: bool) -> int:
        """Return the peak of activations of the largest micro-batch of a size."""
        from mmdpo.training.fit.meta import step_cost

        key = size, recompute
        if key not in self._activations:
            batch = self.batches.collator(self.batches.largest(size))
            self._activations[key] = step_cost(self._meta, batch, self.device, recompute).peak_bytes
        return self._activations[key]
