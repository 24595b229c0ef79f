"""In-memory cache of the base model for a process that runs several points.

PEFT, TRL and accelerate change a model's modules in too many places to undo. Therefore each caller gets a copy of
the modules, and only the weights, which LoRA does not change, are shared between copies.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from transformers import PreTrainedModel

_models: dict[str, PreTrainedModel] = {}
_enabled = False


@contextmanager
def use_model_cache() -> Iterator[None]:
    """Keep the model that was loaded last in memory within the block; for a process that trains alone.

    A block within another one changes nothing.
    """
    global _enabled
    if _enabled:
        yield
        return
    _enabled = True
    try:
        yield
    finally:
        _enabled = False
        _models.clear()


def is_cache_enabled() -> bool:
    """Return whether loaded models are kept in memory now."""
    return _enabled


def cached_model(key: str, load: Callable[[], PreTrainedModel], own_weights: bool) -> PreTrainedModel:
    """Return a copy of the model with this key; load it first if it is not in memory.

    A model is not kept if the memory that stays free is smaller than the model.

    Args:
        key: Name of the weights' content and type.
        load: Loads the model.
        own_weights: Whether the copy gets weights of its own. Otherwise it shares them, and the caller may change
            everything but the weights.

    Returns:
        The copy, or the loaded model itself if it is not kept.
    """
    if key not in _models:
        _models.clear()  # before loading: the memory may not suffice for both
        model = load()
        if not _fits_twice(model):
            return model
        _models[key] = model
    return _copy(_models[key], own_weights)


def _fits_twice(model: PreTrainedModel) -> bool:
    import psutil

    size: int = model.get_memory_footprint()
    return size < psutil.virtual_memory().available


def _copy(model: PreTrainedModel, own_weights: bool) -> PreTrainedModel:
    from torch.nn import Parameter

    shared = [] if own_weights else model.parameters()
    memo = {id(weight): Parameter(weight.data, weight.requires_grad) for weight in shared}
    return copy.deepcopy(model, memo)
