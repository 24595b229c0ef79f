"""The batches, recomputation and ZeRO stage of a training, and the plans that give the same steps. Imports no torch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from math import ceil

from mmdpo.config.choices import FITTED
from mmdpo.config.losses import depends_on_micro_batch
from mmdpo.config.schema import MethodConfig, TrainConfig

BATCH = ("per_device_train_batch_size", "gradient_accumulation_steps")
RECOMPUTE = "activation_checkpointing"


def kept_settings(method: MethodConfig, train: TrainConfig) -> list[str]:
    """List the settings that a plan keeps: typed ones, and the batches of a loss that depends on them.

    NEFTune's noise depends on the length to which a micro-batch is padded.
    """
    by_batch = depends_on_micro_batch(method) or train.trl.get("neftune_noise_alpha")
    return [*train.fit_keeps, *(BATCH if by_batch else ())]


@dataclass(frozen=True)
class Plan:
    """The settings of a training that decide about its memory, with TRL's names."""

    per_device_train_batch_size: int
    gradient_accumulation_steps: int
    activation_checkpointing: bool
    zero_stage: int

    @classmethod
    def of(cls, train: TrainConfig) -> Plan:
        """Return the plan as configured."""
        return cls(**{name: getattr(train, name) for name in FITTED})

    def applied(self, train: TrainConfig) -> TrainConfig:
        """Return the settings with the values of this plan."""
        return replace(train, **asdict(self))

    def __str__(self) -> str:
        """Describe the plan in words."""
        kept = "recomputed" if self.activation_checkpointing else "kept"
        zero = f", ZeRO stage {self.zero_stage}" if self.zero_stage else ""
        return (
            f"micro-batches of {self.per_device_train_batch_size} x {self.gradient_accumulation_steps}, "
            f"activations {kept}{zero}"
        )


@dataclass(frozen=True)
class Steps:
    """Composition of the optimizer steps of a training, as configured.

    Attributes:
        rows: Rows of the data set.
        micro_batch: `train.per_device_train_batch_size`.
        accumulation: `train.gradient_accumulation_steps`.
        processes: Number of processes that train together.
        by_token: Whether a loss is divided by all tokens of a step (SFT), instead of averaged over micro-batches.
    """

    rows: int
    micro_batch: int
    accumulation: int
    processes: int = 1
    by_token: bool = False

    def micro_batches(self) -> list[int]:
        """List the micro-batches, in ascending order, with which each step sees the same rows with the same weights.

        A step has the configured number of rows. Only the last one of an epoch can have fewer, and there the weight of
        a row depends on the micro-batches. For a single process the loss is weighted (`weights.UpdateWeights`) if a
        micro-batch lies within a configured one. Several processes fill up their last micro-batches with rows from
        the beginning, so that it has to be the same number of rows.
        """
        total = self.micro_batch * self.accumulation
        return [size for size in range(1, total + 1) if total % size == 0 and self._gives_the_same_steps(size)]

    def _gives_the_same_steps(self, size: int) -> bool:
        if size == self.micro_batch:
            return True
        if self.processes > 1:
            return self._filled(size) == self._filled(self.micro_batch)
        if self.by_token or self.micro_batch % size == 0:
            return True
        return size % self.micro_batch == 0 and self._is_even(size) and self._is_even(self.micro_batch)

    def _filled(self, size: int) -> int:
        """Return the number of rows of a process and epoch, with those that fill up its last micro-batch."""
        return ceil(self.rows / (size * self.processes)) * size

    def _is_even(self, size: int) -> bool:
        """Return whether all rows of the last step have the same weight."""
        last = self.rows % (self.micro_batch * self.accumulation)
        return last <= size or last % size == 0


def smaller(plan: Plan, steps: Steps, fixed: Sequence[str] = ()) -> Plan | None:
    """Return the next plan that needs less memory with the same steps; None if there is none.

    The micro-batch becomes half as large, or the next smaller one that gives the same steps. Of one row, activations
    are recomputed.

    Args:
        plan: The plan that ran out of memory.
        steps: The steps as configured.
        fixed: Settings that must stay, of `choices.FITTED`.
    """
    size = plan.per_device_train_batch_size
    fitting = [other for other in steps.micro_batches() if other <= size // 2]
    if fitting and not set(BATCH) & set(fixed):
        return replace(
            plan,
            per_device_train_batch_size=fitting[-1],
            gradient_accumulation_steps=size * plan.gradient_accumulation_steps // fitting[-1],
        )
    if not plan.activation_checkpointing and RECOMPUTE not in fixed:
        return replace(plan, activation_checkpointing=True)
    return None
