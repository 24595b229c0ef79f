"""Memory: the logged peak, and the error message if it runs out."""

from __future__ import annotations

import resource
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mmdpo.training.settings import TrainingSettings

GIB = 1 << 30


def peak_memory() -> float:
    """Return the peak memory so far in GiB: of this process's GPU, or without a GPU of its main memory."""
    import torch

    if torch.cuda.is_available():
        return torch.cuda.max_memory_allocated() / GIB
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / GIB  # Linux counts KiB


def is_out_of_memory(error: BaseException) -> bool:
    """Return whether an error says that memory ran out; the CPU's allocator has no error class of its own."""
    import torch

    return isinstance(error, torch.OutOfMemoryError | MemoryError) or (
        isinstance(error, RuntimeError) and "can't allocate memory" in str(error)
    )


def out_of_memory_advice(settings: TrainingSettings, message: str) -> str:
    """Describe an out-of-memory error, with the overrides that help, cheapest first.

    Args:
        settings: Settings of the training that ran out of memory.
        message: The error's own message.
    """
    train = settings.train
    overrides = []
    if not train.activation_checkpointing:
        overrides.append("train.activation_checkpointing=true (a third slower)")
    if train.per_device_train_batch_size > 1:
        half = train.per_device_train_batch_size // 2
        steps = train.gradient_accumulation_steps * train.per_device_train_batch_size // half
        overrides.append(
            f"train.per_device_train_batch_size={half} train.gradient_accumulation_steps={steps} "
            "(the same steps from smaller batches)"
        )
    if not train.prefix_sharing and settings.trains_on_pairs:
        overrides.append("train.prefix_sharing=true")
    if settings.model.dtype == "float32":
        overrides.append("model.dtype=bfloat16")
    if train.zero_stage != 3:
        overrides.append("train.zero_stage=3 on several GPUs (each holds part of the weights)")
    overrides.append("a smaller train.max_text_tokens")
    return (
        f"Out of memory: {message.splitlines()[0] if message else 'no details'}. Type, in this order: "
        + "; ".join(overrides)
        + "."
    )
