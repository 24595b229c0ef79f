"""The device of this process: the GPU of its local rank, else the CPU."""

from __future__ import annotations

import gc
import os
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel


def device() -> torch.device:
    """Return the GPU of this process's local rank, or the CPU on a machine without GPUs."""
    import torch

    if not torch.cuda.is_available():
        return torch.device("cpu")
    return torch.device("cuda", int(os.environ.get("LOCAL_RANK", 0)) % torch.cuda.device_count())


def on_device(model: PreTrainedModel) -> PreTrainedModel:
    """Move a model to this process's device.

    On a GPU, models that are no longer used are freed first: trainers hold them in reference cycles.
    """
    target = device()
    if target.type == "cuda":
        import torch

        torch.cuda.set_device(target)  # Triton kernels run on the current device
        gc.collect()
    return model.to(target)


def to_device(batch: dict[str, Any], target: torch.device) -> dict[str, Any]:
    """Move the tensors of a batch to a device; dictionaries within it included."""
    import torch

    moved: dict[str, Any] = {}
    for name, value in batch.items():
        if isinstance(value, dict):
            moved[name] = to_device(value, target)
        else:
            moved[name] = value.to(target) if isinstance(value, torch.Tensor) else value
    return moved
