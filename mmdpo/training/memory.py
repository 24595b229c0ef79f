"""Memory: the peak that is logged, and what to type when it runs out."""

from __future__ import annotations

import resource
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from mmdpo.errors import UserError

if TYPE_CHECKING:
    from mmdpo.config.schema import Config

GIB = 1 << 30


def peak_memory() -> float:
    """GiB at most in use so far: of this process's GPU where it has one, else of its main memory."""
    import torch

    if torch.cuda.is_available():
        return torch.cuda.max_memory_allocated() / GIB
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / GIB  # Linux counts KiB


@contextmanager
def out_of_memory_advice(cfg: Config) -> Iterator[None]:
    """Turn an out-of-memory error into a UserError that names the overrides that help, best first."""
    import torch

    try:
        yield
    except (torch.OutOfMemoryError, MemoryError) as error:
        raise UserError(_advice(cfg, str(error))) from error
    except RuntimeError as error:
        if "can't allocate memory" not in str(error):  # the CPU's allocator has no error of its own
            raise
        raise UserError(_advice(cfg, str(error))) from error


def _advice(cfg: Config, message: str) -> str:
    train = cfg.train
    helps = []
    if not train.activation_checkpointing:
        helps.append("train.activation_checkpointing=true (slower by a third)")
    if train.per_device_train_batch_size > 1:
        half = train.per_device_train_batch_size // 2
        steps = train.gradient_accumulation_steps * train.per_device_train_batch_size // half
        helps.append(
            f"train.per_device_train_batch_size={half} train.gradient_accumulation_steps={steps} "
            "(the same step from smaller batches)"
        )
    if not train.prefix_sharing and cfg.method.loss_type:
        helps.append("train.prefix_sharing=true")
    if cfg.model.dtype == "float32":
        helps.append("model.dtype=bfloat16")
    if train.zero_stage != 3:
        helps.append("train.zero_stage=3 on several GPUs (each holds a part of the weights)")
    helps.append("a smaller train.max_text_tokens")
    return (
        f"Out of memory: {message.splitlines()[0] if message else 'no more to give'}. Type, in this order: "
        + "; ".join(helps)
        + "."
    )
