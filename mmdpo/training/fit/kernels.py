"""The operations that a device would choose, for tensors on the meta device: attention, dropout, autocast."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Iterator
from typing import Any
from unittest import mock

import torch
from torch.nn import functional

aten = torch.ops.aten

LOWERED = (
    *((functional, name) for name in ("linear", "conv2d", "conv3d")),
    *((torch, name) for name in ("matmul", "bmm", "mm", "addmm")),
)
"""Functions that autocast runs in the lower type. Attention is another; see `_Kernels.attention`."""


@contextlib.contextmanager
def device_kernels(gpu: bool, autocast: torch.dtype | None = None) -> Iterator[None]:
    """Choose operations for tensors on the meta device as a device would, within the block.

    Attention is computed in one kernel that keeps no weights, as on any device of today. On a GPU, dropout keeps a
    mask of one byte an element; on a CPU, one of the tensor's type. The meta device has no autocast of its own.
    Functions are replaced for the whole process, as modes do not reach layers that a backward pass recomputes; on
    other devices they do what they always do.

    Args:
        gpu: Whether the device is a GPU.
        autocast: Type of autocast; None for none.
    """
    kernels = _Kernels(gpu, autocast)
    with contextlib.ExitStack() as stack:
        for owner, name in LOWERED:
            stack.enter_context(mock.patch.object(owner, name, kernels.lowering(getattr(owner, name))))
        for owner, name, own in (
            (functional, "scaled_dot_product_attention", kernels.attention),
            (functional, "dropout", kernels.dropout),
            (torch, "is_autocast_enabled", kernels.is_autocast_enabled),
            (torch, "get_autocast_dtype", kernels.autocast_dtype),
        ):
            stack.enter_context(mock.patch.object(owner, name, functools.partial(own, getattr(owner, name))))
        yield


class _Kernels:
    """Stand-ins for functions of torch; the first argument is the function itself."""

    def __init__(self, gpu: bool, autocast: torch.dtype | None) -> None:
        self.gpu, self.autocast = gpu, autocast
        self._casts: dict[int, torch.Tensor] = {}  # of trained weights, which autocast keeps

    def lowering(self, usual: Callable[..., Any]) -> Callable[..., Any]:
        def lowered(*args: Any, **kwargs: Any) -> Any:
            return usual(*map(self._cast, args), **kwargs)

        return lowered

    def _cast(self, value: Any) -> Any:
        if self.autocast is None or not isinstance(value, torch.Tensor) or not value.is_meta:
            return value
        if value.dtype is not torch.float32:
            return value
        if not (value.is_leaf and value.requires_grad):
            return value.to(self.autocast)
        if id(value) not in self._casts:
            self._casts[id(value)] = value.to(self.autocast)
        return self._casts[id(value)]

    def is_autocast_enabled(self, usual: Callable[..., bool], *kind: str) -> bool:
        return self.autocast is not None if kind == ("meta",) else usual(*kind)

    def autocast_dtype(self, usual: Callable[..., Any], kind: str) -> Any:
        return self.autocast if kind == "meta" else usual(kind)

    def dropout(
        self, usual: Callable[..., Any], input: Any, p: float = 0.5, training: bool = True, inplace: bool = False
    ) -> Any:
        if not (self.gpu and input.is_meta and training and p > 0):
            return usual(input, p, training, inplace)
        return aten.native_dropout(input, p, True)[0]

    def attention(
        self,
        usual: Callable[..., Any],
        query: torch.Tensor,
        key: torch.Tensor,
        value: torch.Tensor,
        attn_mask: torch.Tensor | None = None,
        dropout_p: float = 0.0,
        is_causal: bool = False,
        scale: float | None = None,
        enable_gqa: bool = False,
    ) -> Any:
        query, key, value = map(self._cast, (query, key, value))
        if not query.is_meta:
            return usual(query, key, value, attn_mask, dropout_p, is_causal, scale=scale, enable_gqa=enable_gqa)
        if enable_gqa and key.shape[1] != query.shape[1]:
            groups = query.shape[1] // key.shape[1]
            key, value = (states.repeat_interleave(groups, dim=1) for states in (key, value))
        if attn_mask is not None and attn_mask.dtype is torch.bool:  # sdpa makes a bias of it, too
            attn_mask = torch.zeros(attn_mask.shape, dtype=query.dtype, device=query.device)
        flash = aten._scaled_dot_product_flash_attention_for_cpu
        return flash(query, key, value, dropout_p, is_causal, attn_mask=attn_mask, scale=scale)[0]
