"""Predicted peak memory of a training and the time of its steps, for any of its plans."""

from __future__ import annotations

import random
import statistics
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

from mmdpo.training.fit.plan import Plan

if TYPE_CHECKING:
    from mmdpo.config.schema import ModelConfig
    from mmdpo.training.collate import Collator
    from mmdpo.training.fit.meta import Device, StepCost
    from mmdpo.training.rows import Row

GIB = 1 << 30
SAMPLES = 200  # micro-batches for the mean number of padded tokens
TRIED = 4  # rows whose number of tokens is looked up with their images
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
        rows: All rows of the data set.
        collator: Makes batches of them.
        device: The device to plan for.
        processes: Number of processes that train together.
    """

    model: ModelConfig
    rows: Sequence[Row]
    collator: Collator
    device: Device
    processes: int = 1
    _costs: dict[tuple[bool, int], StepCost] = field(default_factory=dict)

    def peak(self, plan: Plan) -> Peak:
        """Predict the peak memory of a plan, if a micro-batch contains only rows as long as the longest.

        Args:
            plan: The plan. Its ZeRO stage divides what DeepSpeed partitions among the processes.
        """
        weights, trained = self._fixed
        one, two = (self._cost(plan.activation_checkpointing, size).peak_bytes for size in (1, 2))
        activations = one + (plan.per_device_train_batch_size - 1) * (two - one)
        if self.processes > 1:
            activations += trained // 4  # DDP's or DeepSpeed's buckets: the gradients once more
        if plan.zero_stage == 3:
            weights = weights // self.processes + min(weights, GATHERED)
        if plan.zero_stage >= 2:  # the weights of LoRA stay whole: a quarter of `trained`
            trained = trained // 4 + 3 * trained // 4 // self.processes
        return Peak(weights, trained, activations)

    def seconds(self, plan: Plan) -> float:
        """Return the relative time of one row: only ratios between plans have a meaning."""
        size = plan.per_device_train_batch_size
        base, own = (self._cost(recompute, 1).flops for recompute in (False, plan.activation_checkpointing))
        return (self.mean_tokens(size) + STEP_TOKENS[self.device.gpu] / size) * own / base

    def mean_tokens(self, size: int) -> float:
        """Return the mean number of tokens of a row in micro-batches of a size, with padding."""
        shuffled = random.Random(0)
        size = min(size, len(self._lengths))
        longest = (max(shuffled.sample(self._lengths, size)) for _ in range(SAMPLES))
        return statistics.fmean(longest)

    @cached_property
    def _meta(self) -> Any:
        from mmdpo.training.fit.meta import meta_model

        return meta_model(self.model, self.device.dtype)

    @cached_property
    def _fixed(self) -> tuple[int, int]:
        from mmdpo.training.fit.meta import fixed_bytes

        return fixed_bytes(self._meta)

    def _cost(self, recompute: bool, size: int) -> StepCost:
        from mmdpo.training.fit.meta import step_cost

        if (recompute, size) not in self._costs:
            batch = self.collator([self._longest[0]] * size)
            self._costs[recompute, size] = step_cost(self._meta, batch, self.device, recompute)
        return self._costs[recompute, size]

    @cached_property
    def _longest(self) -> tuple[Row, int]:
        """The longest row, and its tokens beyond its texts: those of images."""
        by_text = sorted(self.rows, key=self._text_tokens)[-TRIED:]
        by_images = sorted(self.rows, key=lambda row: (len(row["images"]), self._text_tokens(row)))[-TRIED:]
        sizes = [(self._tokens(row), index) for index, row in enumerate(by_text + by_images)]
        tokens, index = max(sizes)
        row = (by_text + by_images)[index]
        return row, tokens - self._text_tokens(row)

    @cached_property
    def _lengths(self) -> list[int]:
        """Tokens of each row; an image counts as in the longest row."""
        row, more = self._longest
        per_image = more / max(1, len(row["images"]))
        return [round(self._text_tokens(one) + per_image * len(one["images"])) for one in self.rows]

    def _tokens(self, row: Row) -> int:
        return int(self.collator([row])["model"]["input_ids"].numel())

    def _text_tokens(self, row: Row) -> int:
        """Count the tokens of a row without images, in the layout of the collator."""
        prompt, answers = len(row["prompt_ids"]), [len(answer) for answer in row["answers"]]
        return prompt + sum(answers) if self.collator.shared else len(answers) * (prompt + max(answers))
