"""Where a model computes: on the GPU that is this process's own, else on the CPU."""

from __future__ import annotations

import gc
import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel


def device() -> torch.device:
    """The GPU of this process's local rank, else the CPU."""
    import torch

    if not torch.cuda.is_available():
        return torch.device("cpu")
    return torch.device("cuda", int(os.environ.get("LOCAL_RANK", 0)) % torch.cuda.device_count())


def on_device(model: PreTrainedModel) -> PreTrainedModel:
    """The model, moved there. On a GPU models that nobody uses any more leave first: trainers hold cycles."""
    place = device()
    if place.type == "cuda":
        import torch

        torch.cuda.set_device(place)  # kernels of Triton's run on the current one
        gc.collect()
    return model.to(place)
