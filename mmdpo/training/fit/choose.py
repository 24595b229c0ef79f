"""The choice among the plans of a training: the fastest that fits."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from mmdpo.training.fit.memory import GIB, Peak, Predictor
from mmdpo.training.fit.plan import BATCH, RECOMPUTE, Plan, Steps

EQUAL = 1.01  # plans whose predicted times differ by less count as equally fast
UNSURE = 1.2  # plans whose estimated memory is above the limit by less are predicted


@dataclass(frozen=True)
class Choice:
    """A plan, its predicted peak memory, the bytes that it may use, and whether it fits."""

    plan: Plan
    peak: Peak
    limit: int

    @property
    def fits(self) -> bool:
        """True if the predicted peak is within the limit."""
        return self.peak.total <= self.limit

    def __str__(self) -> str:
        """Describe the choice and its reason in one line."""
        parts = (self.peak.total, self.limit, self.peak.weights, self.peak.trained, self.peak.activations)
        total, limit, weights, trained, activations = (f"{part / GIB:.2f}" for part in parts)
        beyond = "" if self.fits else "; nothing is predicted to fit, so this is the plan with the least memory"
        return (
            f"{self.plan}; predicted peak {total} of {limit} GiB (weights {weights}, LoRA with gradients and Adam "
            f"{trained}, activations {activations}){beyond}"
        )


def choose(
    configured: Plan, steps: Steps, fixed: Collection[str], predictor: Predictor, limit: int, deepspeed: bool
) -> Choice:
    """Choose the plan that is predicted to be the fastest within a limit.

    Plans without ZeRO come first: the time of its gathering depends on the network. Recomputation takes about a third
    of a step, more than any micro-batch saves. Of plans that are equally fast, the one nearest to the configured
    micro-batch is taken. If none fits, it is the one with the least memory.

    Args:
        configured: The plan as configured.
        steps: The steps, which all plans keep.
        fixed: Settings that keep their configured value, of `choices.FITTED`.
        predictor: Predicts memory and time.
        limit: Bytes that one process may use.
        deepspeed: Whether ZeRO can be used.

    Returns:
        The choice.
    """
    unfit: list[Choice] = []
    for stage in _stages(configured, fixed, steps.processes, deepspeed):
        for recompute in [configured.activation_checkpointing] if RECOMPUTE in fixed else [False, True]:
            plans = [Plan(size, count, recompute, stage) for size, count in _batches(steps, fixed)]
            choice = _fastest(plans, configured, predictor, limit)
            if choice.fits:
                return choice
            unfit.append(choice)
    return min(unfit, key=lambda choice: choice.peak.total)


def _fastest(plans: Sequence[Plan], configured: Plan, predictor: Predictor, limit: int) -> Choice:
    """Choose the fastest plan that fits among those that differ in their micro-batches, in ascending order.

    If none fits, it is the first one.
    """
    least = Choice(plans[0], predictor.peak(plans[0]), limit)
    if not least.fits:
        return least
    if len(plans) == 1:
        return least
    sizes = [plan.per_device_train_batch_size for plan in plans[:2]]
    waiting = [plan for plan in plans if predictor.estimate(plan, sizes).total <= limit * UNSURE]
    seconds = {plan: predictor.seconds(plan, sizes[0]) for plan in plans}
    wanted = configured.per_device_train_batch_size
    while waiting:
        best = min(seconds[plan] for plan in waiting)
        near = [plan for plan in waiting if seconds[plan] <= best * EQUAL]
        plan = min(near, key=lambda plan: abs(plan.per_device_train_batch_size - wanted))
        choice = Choice(plan, predictor.peak(plan), limit)
        if choice.fits:
            return choice
        waiting.remove(plan)
    return least


def _stages(configured: Plan, fixed: Collection[str], processes: int, deepspeed: bool) -> list[int]:
    if "zero_stage" in fixed or processes == 1:
        return [configured.zero_stage]
    return [0, configured.zero_stage or 3] if deepspeed else [0]


def _batches(steps: Steps, fixed: Collection[str]) -> list[tuple[int, int]]:
    """List micro-batches with their accumulation."""
    total = steps.micro_batch * steps.accumulation
    sizes = [steps.micro_batch] if set(BATCH) & set(fixed) else steps.micro_batches()
    return [(size, total // size) for size in sizes]
