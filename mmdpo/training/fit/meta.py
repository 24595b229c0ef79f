"""A training step on the meta device: the model from its config alone, a batch without values, and what it costs."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import torch
from torch.utils._pytree import tree_leaves

from mmdpo.models.library_output import suppress_library_output
from mmdpo.models.loading import torch_dtype
from mmdpo.models.paths import resolve_path
from mmdpo.training.fit.kernels import device_kernels
from mmdpo.training.fit.trace import Trace
from mmdpo.training.lora import lora
from mmdpo.training.recomputation import recomputation
from mmdpo.training.scoring import Scorer, shared_attention

if TYPE_CHECKING:
    from peft import PeftModel
    from transformers import PretrainedConfig, PreTrainedModel

    from mmdpo.config.schema import ModelConfig

OUTPUTS = ("log_probs", "entropy", "mean_logits", "is_top1")
"""Values that TRL's fused head computes for its metrics."""

ADAM_BYTES = 8  # two float32 values per trained weight


@dataclass(frozen=True)
class Device:
    """Conditions that the numbers of a step depend on, besides model and batch.

    Attributes:
        gpu: Whether it is a GPU, with a GPU's kernels.
        dtype: Type of the base weights; with bfloat16, trainers use autocast.
    """

    gpu: bool
    dtype: torch.dtype

    @property
    def autocast(self) -> torch.dtype | None:
        """Type of autocast while a model is trained, or None."""
        return self.dtype if self.dtype is torch.bfloat16 else None


@dataclass(frozen=True)
class StepCost:
    """Cost of one micro-step: forward and backward of one batch.

    Attributes:
        forward_flops: FLOPs of the forward pass.
        backward_flops: FLOPs of the backward pass, with what it recomputes.
        peak_bytes: Most memory of activations, gradients and temporary tensors at once.
        tokens: Positions in the language model, with padding.
        operations: Number of operations of both passes.
        input_bytes: Bytes of the batch.
    """

    forward_flops: int
    backward_flops: int
    peak_bytes: int
    tokens: int
    operations: int
    input_bytes: int = 0

    @property
    def flops(self) -> int:
        """FLOPs of both passes."""
        return self.forward_flops + self.backward_flops


def meta_base(config: PretrainedConfig, dtype: torch.dtype, attention: str = "auto") -> PreTrainedModel:
    """Build a vision-language model without weights, as it is loaded for training.

    Args:
        config: The model's configuration.
        dtype: Type of the weights.
        attention: The attention (`model.attn_implementation`). All but eager attention, which keeps its weights, need
            the memory of sdpa.
    """
    from transformers import AutoModelForImageTextToText

    with torch.device("meta"), suppress_library_output():
        model: PreTrainedModel = AutoModelForImageTextToText.from_config(
            config, dtype=dtype, attn_implementation="eager" if attention == "eager" else "sdpa"
        )
    for module in model.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0  # training removes the base model's dropout, too
    return model


def meta_model(model: ModelConfig, dtype: torch.dtype | None = None) -> PeftModel:
    """Build a model with its LoRA layers without weights, from its config alone.

    Args:
        model: Settings of the model.
        dtype: Type of the base weights; None for that of `model.dtype`.
    """
    from transformers import AutoConfig

    with suppress_library_output():
        config = AutoConfig.from_pretrained(resolve_path(model.path), trust_remote_code=False)
    base = meta_base(config, dtype or torch_dtype(model.dtype), model.attn_implementation)
    return with_lora(base, model)


def with_lora(base: PreTrainedModel, model: ModelConfig) -> PeftModel:
    """Add TRL's fused head and LoRA layers to a model without weights; trained weights are float32.

    Args:
        base: The model.
        model: Settings of its LoRA layers.
    """
    from peft import get_peft_model
    from trl.trainer.utils import add_fused_lm_head

    with torch.device("meta"), suppress_library_output():
        peft: PeftModel = get_peft_model(base, lora(base, model))
    for weight in peft.parameters():
        if weight.requires_grad:
            weight.data = weight.data.float()
    add_fused_lm_head(base, outputs=OUTPUTS)
    peft.train()
    return peft


def fixed_bytes(model: PeftModel) -> tuple[int, int]:
    """Return the bytes of the weights that are not trained, and those of trained weights, gradients and Adam."""
    trained = {id(weight): weight for weight in model.parameters() if weight.requires_grad}
    frozen = [weight for weight in (*model.parameters(), *model.buffers()) if id(weight) not in trained]
    storages = {weight.untyped_storage()._cdata: weight.untyped_storage().nbytes() for weight in frozen}
    own = sum(weight.nbytes * 2 + weight.numel() * ADAM_BYTES for weight in trained.values())
    return sum(storages.values()), own


def on_meta(batch: Mapping[str, Any]) -> dict[str, Any]:
    """Return a batch of the collator whose floating-point tensors have shapes alone."""
    moved: dict[str, Any] = {}
    for name, value in batch.items():
        if isinstance(value, Mapping):
            moved[name] = on_meta(value)
        elif isinstance(value, torch.Tensor) and value.is_floating_point():
            moved[name] = value.to("meta")
        else:
            moved[name] = value
    return moved


def step_cost(
    model: PeftModel, batch: Mapping[str, Any], device: Device, recompute: bool, accumulates: bool = True
) -> StepCost:
    """Count FLOPs and memory of one micro-step of mmdpo's training, without computing it.

    Args:
        model: The model, of `meta_model`.
        batch: A batch of the collator.
        device: The device to plan for.
        recompute: Whether activations are recomputed (`train.activation_checkpointing`).
        accumulates: Whether gradients of an earlier micro-step are there already. They count as fixed.

    Returns:
        The cost; its memory does not contain what `fixed_bytes` counts.
    """
    tokens = int(batch["model"]["input_ids"].numel())
    with recomputation(model, recompute), _scored(model, batch) as log_probs:
        cost = traced(model, log_probs, tokens, device, accumulates)
    inputs = [leaf for leaf in tree_leaves(dict(batch)) if isinstance(leaf, torch.Tensor)]
    return replace(cost, input_bytes=sum(tensor.nbytes for tensor in inputs))


def traced(
    model: PeftModel, log_probs: Callable[[], torch.Tensor], tokens: int, device: Device, accumulates: bool = True
) -> StepCost:
    """Count FLOPs and memory of a forward pass and the backward pass of a preference loss.

    Args:
        model: The model, without weights.
        log_probs: Function that runs the model and returns the answers' log-probs, first answers first.
        tokens: Positions in the language model.
        device: The device to plan for.
        accumulates: Whether gradients are there already.

    Returns:
        The cost.
    """
    trained = [weight for weight in model.parameters() if weight.requires_grad]
    for weight in trained:
        weight.grad = torch.zeros_like(weight) if accumulates else None
    grads = 0 if accumulates else sum(weight.nbytes for weight in trained)
    try:
        with Trace() as trace, device_kernels(device.gpu, device.autocast):
            sums = log_probs().float().sum(dim=1)
            first, second = sums.tensor_split(2) if len(sums) > 1 else (sums, torch.zeros_like(sums))
            loss = -torch.nn.functional.logsigmoid(first - second).mean()
            forward = trace.flops
            torch.autograd.backward(loss)
    finally:
        for weight in trained:
            weight.grad = None
    peak = max(0, trace.peak_bytes - grads)
    return StepCost(forward, trace.flops - forward, peak, tokens, trace.operations)


def reference_flops(model: PeftModel, batch: Mapping[str, Any] | Callable[[], torch.Tensor], device: Device) -> int:
    """Count the FLOPs of the reference pass: the base model, forward only.

    Args:
        model: The model, of `meta_model`.
        batch: A batch of the collator, or a function that runs the model.
        device: The device to plan for.
    """
    scored = contextlib.nullcontext(batch) if callable(batch) else _scored(model, batch)
    kernels = device_kernels(device.gpu, device.autocast)
    with scored as log_probs, model.disable_adapter(), torch.no_grad(), Trace() as trace, kernels:
        log_probs()
    return trace.flops


@contextlib.contextmanager
def _scored(model: PeftModel, batch: Mapping[str, Any]) -> Iterator[Callable[[], torch.Tensor]]:
    """Yield a function that runs the model on a batch as training does and returns the answers' log-probs."""
    base: Any = model.get_base_model()
    scorer = Scorer(base)
    shared = shared_attention(base) if "seen_until" in batch["model"] else contextlib.nullcontext()
    try:
        with shared:
            yield lambda: scorer(model, on_meta(batch)).log_probs
    finally:
        scorer.remove()
