"""The losses of a method: one of them (`method.loss_type`), or a sum of several (`method.losses`)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mmdpo.config.choices import BATCH_LOSSES

if TYPE_CHECKING:
    from mmdpo.config.schema import MethodConfig


def weighted_losses(method: MethodConfig) -> dict[str, float]:
    """Return the losses with their weights, in one order; none for supervised fine-tuning."""
    if method.losses:
        return dict(sorted(method.losses.items()))
    return {} if method.loss_type is None else {method.loss_type: 1.0}


def depends_on_micro_batch(method: MethodConfig) -> bool:
    """Return whether other micro-batches of the same optimizer step give another loss.

    TRL's `sft` loss averages over the tokens of a micro-batch, `aot` sorts its rows, and `kto` estimates the KL
    divergence from them.
    """
    return any(name in BATCH_LOSSES for name in weighted_losses(method))


def shown_losses(method: MethodConfig) -> str:
    """Return the losses as they are typed."""
    if method.losses:
        return f"method.losses={{{','.join(f'{name}:{weight:g}' for name, weight in method.losses.items())}}}"
    return f"method.loss_type={method.loss_type}"
