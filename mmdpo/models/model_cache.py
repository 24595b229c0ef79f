"""Keeps the base model in main memory while one process runs several points.

PEFT, TRL and accelerate change a model's modules in too many places to undo. So no module is handed out
twice: each caller gets modules of its own, and below them the same weights, which LoRA leaves as they are.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from transformers import PreTrainedModel

_kept: dict[str, PreTrainedModel] = {}
_keeps = False


@contextmanager
def use_model_cache() -> Iterator[None]:
    """Within, the model that was loaded last stays in memory; for a process that trains alone."""
    global _keeps
    _keeps = True
    try:
        yield
    finally:
        _keeps = False
        _kept.clear()


def keeps() -> bool:
    """Whether models are kept now."""
    return _keeps


def kept(name: str, load: Callable[[], PreTrainedModel], own_weights: bool) -> PreTrainedModel:
    """The model that `name` stands for, loaded where it is not in memory.

    Everything about it may be changed but the weights, and these too where they are its own. It is not
    kept where less memory than it needs is left beside it.
    """
    if name not in _kept:
        _kept.clear()  # first: both might not find room
        model = load()
        if not _has_room_beside(model):
            return model
        _kept[name] = model
    return _copy(_kept[name], own_weights)


def _has_room_beside(model: PreTrainedModel) -> bool:
    import psutil

    size: int = model.get_memory_footprint()
    return size < psutil.virtual_memory().available


def _copy(model: PreTrainedModel, own_weights: bool) -> PreTrainedModel:
    from torch.nn import Parameter

    weights = [] if own_weights else model.parameters()
    same = {id(weight): Parameter(weight.data, weight.requires_grad) for weight in weights}
    return copy.deepcopy(model, same)
