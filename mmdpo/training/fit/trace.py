"""FLOPs and peak memory of code that runs on real tensors, or on the meta device without computing anything.

On the meta device floating-point tensors have shapes alone, while integers and booleans stay real, on the CPU. So a
model can look at its token ids and image sizes as usual, and code that builds masks or indices from them works.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map
from torch.utils.flop_counter import flop_registry

aten = torch.ops.aten

BLOCK = 512
"""Bytes to which torch's allocator rounds a tensor up."""

INDEXED = (aten.index, aten.index_put, aten.index_put_, aten._unsafe_index_put)
"""Operations that take booleans as indices, whose number of elements the meta device cannot know."""


class Trace(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Counter of the operations, their FLOPs, and the bytes of all tensors that the code within the block creates.

    FLOPs are those of torch's own counter: two for each multiplication with addition in a matrix product, convolution
    or attention. Of causal attention in a CPU's kernel, which on the meta device stands for a GPU's, only the lower
    half is counted. Tensors from before the block do not count as memory, nor does the memory that one operation uses
    within itself.
    """

    def __init__(self) -> None:
        """Start at zero."""
        super().__init__()  # type: ignore[no-untyped-call]
        self.flops = 0
        self.operations = 0
        self.live_bytes = 0
        self.peak_bytes = 0
        self._storages: dict[int, weakref.ref[Any]] = {}

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        """Run one operation, and count it."""
        args, kwargs = _placed(func, args, dict(kwargs or {}))
        if func is aten._local_scalar_dense.default and args[0].is_meta:
            return _value_of(args[0])
        before = {leaf.untyped_storage()._cdata for leaf in tree_leaves((args, kwargs)) if _is_tensor(leaf)}
        output = func(*args, **kwargs)
        self.flops += flops_of(func, args, kwargs, output)
        self.operations += 1
        for leaf in tree_leaves(output):
            if _is_tensor(leaf) and leaf.untyped_storage()._cdata not in before:
                self._hold(leaf.untyped_storage())
        return output

    def _hold(self, storage: Any) -> None:
        key = storage._cdata
        if key in self._storages:
            return
        size = -(-storage.nbytes() // BLOCK) * BLOCK

        def release(_: Any) -> None:
            self._storages.pop(key, None)
            self.live_bytes -= size

        self._storages[key] = weakref.ref(storage, release)
        self.live_bytes += size
        self.peak_bytes = max(self.peak_bytes, self.live_bytes)


def flops_of(func: Any, args: Sequence[Any], kwargs: Mapping[str, Any], output: Any) -> int:
    """Return the FLOPs of one operation.

    Args:
        func: The operation.
        args: Its arguments.
        kwargs: Its arguments by name.
        output: What it returned.
    """
    own = ATTENTION.get(func)
    if own is not None:
        return own(args, kwargs)
    formula = flop_registry.get(getattr(func, "overloadpacket", func))
    return int(formula(*args, **kwargs, out_val=output)) if formula else 0


def _attention(first: int) -> Callable[[Sequence[Any], Mapping[str, Any]], int]:
    """Return the formula of attention whose query, key and value start at an argument.

    Forward has two matrix products, backward five.
    """

    def formula(args: Sequence[Any], kwargs: Mapping[str, Any]) -> int:
        query, key, value = args[first : first + 3]
        # forward: dropout_p, is_causal; backward: out, logsumexp, dropout_p, is_causal
        position = 4 if first == 0 else 7
        causal = args[position] if len(args) > position else kwargs.get("is_causal", False)
        batch, heads, rows, width = query.shape
        products = 2 if first == 0 else 5
        flops = products * batch * heads * rows * key.shape[2] * (width + value.shape[3])
        return flops // 2 if causal else flops

    return formula


ATTENTION = {
    aten._scaled_dot_product_flash_attention_for_cpu.default: _attention(0),
    aten._scaled_dot_product_flash_attention_for_cpu_backward.default: _attention(1),
}


def _value_of(tensor: torch.Tensor) -> float:
    """Return a stand-in for the value of a tensor without one.

    Raises NotImplementedError for an integer: a size or an index that depends on it would be wrong.
    """
    if tensor.dtype.is_floating_point or tensor.dtype is torch.bool:
        return 1.0
    raise NotImplementedError("the model's code reads an integer that is computed from activations")


def _is_tensor(value: Any) -> bool:
    return isinstance(value, torch.Tensor)


def _placed(func: Any, args: Sequence[Any], kwargs: dict[str, Any]) -> tuple[Sequence[Any], dict[str, Any]]:
    """Keep integers real, and move them to the meta device where an operation also has arguments there."""
    tensors = [leaf for leaf in tree_leaves((args, kwargs)) if _is_tensor(leaf)]
    target = kwargs.get("device")
    if target is not None and torch.device(target).type == "meta" and _makes_integers(func, args, kwargs, tensors):
        kwargs["device"] = torch.device("cpu")
        return args, kwargs
    if not any(tensor.is_meta for tensor in tensors) or all(tensor.is_meta for tensor in tensors):
        return args, kwargs
    if getattr(func, "overloadpacket", None) in INDEXED:
        args = [args[0], _numbers(args[1]), *args[2:]]
    return tree_map(_on_meta, args), tree_map(_on_meta, kwargs)


def _makes_integers(func: Any, args: Sequence[Any], kwargs: Mapping[str, Any], tensors: Sequence[Any]) -> bool:
    """Return whether an operation with a `device` makes a tensor that stays real."""
    dtype = kwargs.get("dtype")
    if tensors:  # it copies one, or makes one like it
        return not tensors[0].is_meta and not (dtype or tensors[0].dtype).is_floating_point
    if dtype is not None:
        return not dtype.is_floating_point
    return func.overloadpacket is aten.arange and all(isinstance(value, int) for value in args)


def _numbers(indices: Sequence[Any]) -> list[Any]:
    """Return indices with booleans as numbers."""
    found: list[Any] = []
    for index in indices:
        if _is_tensor(index) and index.dtype is torch.bool and not index.is_meta:
            found += index.nonzero(as_tuple=True)
        else:
            found.append(index)
    return found


def _on_meta(value: Any) -> Any:
    return torch.empty_like(value, device="meta") if _is_tensor(value) and not value.is_meta else value
