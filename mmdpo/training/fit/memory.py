"""Predicted peak memory of a training and the time of its steps, for any of its plans."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

from mmdpo.training.fit.plan import Plan

if TYPE_CHECKING:
    from mmdpo.config.schema import ModelConfig
    from mmdpo.training.fit.meta import Device, StepCost
    from mmdpo.training.fit.micro_batches import MicroBatches

GIB = 1 << 30
OPERATION_FLOPS = {True: 2 * 10**9, False: 7 * 10**5}
"""FLOPs that take as long as starting an operation, on a GPU and on a CPU core. Of a GPU it is an estimate: 8
microseconds at 250 TFLOP/s. The models of benchmarks/fit.py have .4 to 1.2 million on a CPU, 14 microseconds at 50
GFLOP/s."""
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
    _costs: dict[tuple[int, bool], StepCost] = field(default_factory=dict)

    def peak(self, plan: Plan) -> Peak:
        """Predict the peak memory of a plan: that of its largest micro-batch.

        Args:
            plan: The plan. Its ZeRO stage divides what DeepSpeed partitions among the processes.
        """
        size = plan.per_device_train_batch_size
        return self._peak(plan, self._traced(size, plan.activation_checkpointing).peak_bytes, size)

    def estimate(self, plan: Plan, measured: Sequence[int]) -> Peak:
        """Estimate the peak memory of a plan from those of other sizes, in proportion to their positions.

        Args:
            plan: The plan.
            measured: Two sizes of micro-batches.
        """
        size, recompute = plan.per_device_train_batch_size, plan.activation_checkpointing
        positions, few, many = (self.batches.most_positions(one) for one in (size, *measured))
        least, most = (self._traced(one, recompute).peak_bytes for one in measured)
        slope = (most - least) / (many - few) if many > few else least / few
        return self._peak(plan, round(least + slope * (positions - few)), measured[0])

    def seconds(self, plan: Plan, measured: int) -> float:
        """Return the relative time of one row. Only ratios of plans with the same recomputation have a meaning.

        A CPU starts an operation and then computes it; a GPU computes while the next ones are started.

        Args:
            plan: The plan.
            measured: A size of micro-batches, from whose cost that of others follows.
        """
        size = plan.per_device_train_batch_size
        cost, gpu = self._traced(measured, plan.activation_checkpointing), self.device.gpu
        computing = cost.flops / cost.tokens * self.batches.mean_positions(size)
        starting = cost.operations * OPERATION_FLOPS[gpu] / size
        return max(computing, starting) if gpu else computing + starting

    def _peak(self, plan: Plan, activations: int, measured: int) -> Peak:
        """Add what a plan keeps besides the activations of its largest micro-batch.

        Args:
            plan: The plan.
            activations: Bytes of activations.
            measured: A size of micro-batches whose inputs are known. The trainer loads all inputs of a step at once.
        """
        rows = plan.gradient_accumulation_steps * plan.per_device_train_batch_size
        activations += rows * self._traced(measured, plan.activation_checkpointing).input_bytes // measured
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

    def _traced(self, size: int, recompute: bool) -> StepCost:
        """Return the cost of the micro-batch of a size that needs the most memory."""
        from mmdpo.training.fit.meta import step_cost

        key = size, recompute
        if key not in self._costs:
            steps, collator = self.batches.steps, self.batches.collator
            accumulates = size < steps.micro_batch * steps.accumulation
            costs = [
                step_cost(self._meta, collator(rows), self.device, recompute, accumulates)
                for rows in self.batches.largest(size)
            ]
            self._costs[key] = max(costs, key=lambda cost: cost.peak_bytes)
        return self._costs[key]
