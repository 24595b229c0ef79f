"""TensorFloat-32 in the matrix products of float32: while a model is trained, and only then."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch


@contextmanager
def tf32(enabled: bool) -> Iterator[None]:
    """Let float32 use TF32 within a block, or not; on a machine without a GPU that has it, change nothing.

    What is computed before and after a training then does not depend on it. transformers has a switch, too, which
    stays, and which works once per process, because its function is cached.
    """
    if not has_tf32():
        yield
        return
    owner: Any = torch.backends
    name: str = "fp32_precision"
    value: str | bool = "tf32" if enabled else "ieee"
    if not hasattr(owner, name):  # before torch 2.9
        owner, name, value = torch.backends.cuda.matmul, "allow_tf32", enabled
    before = getattr(owner, name)
    setattr(owner, name, value)
    try:
        yield
    finally:
        setattr(owner, name, before)


def has_tf32() -> bool:
    """Check for a GPU that has TF32: an A100 or a later one."""
    return torch.cuda.is_available() and torch.cuda.get_device_capability()[0] >= 8
