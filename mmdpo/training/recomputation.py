"""Recomputation of activations, by the names that it has in older and newer versions of transformers."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from peft import PeftModel

NAMES = ("activation_checkpointing", "gradient_checkpointing")
"""The newer name, and the one before transformers 5.23."""


def recomputation_argument(recompute: bool) -> dict[str, bool]:
    """Return the training argument of transformers that enables or disables recomputation, by its name."""
    from transformers import TrainingArguments

    return {next(name for name in NAMES if name in TrainingArguments.__dataclass_fields__): recompute}


@contextlib.contextmanager
def recomputation(model: PeftModel, recompute: bool) -> Iterator[None]:
    """Recompute activations within the block, or keep them all."""
    if not recompute:
        yield
        return
    base: Any = model.get_base_model()
    name = next(name for name in NAMES if hasattr(base, f"{name}_enable"))
    model.enable_input_require_grads()
    getattr(base, f"{name}_enable")()
    try:
        yield
    finally:
        getattr(base, f"{name}_disable")()
        base.disable_input_require_grads()
