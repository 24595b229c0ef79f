"""Per-token log-probs of the answers in a batch, from either layout, through TRL's fused head."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, cast

import torch
from torch import nn
from transformers import AttentionInterface

from mmdpo.models.library_output import suppress_library_output
from mmdpo.training.layout import visible

if TYPE_CHECKING:
    from transformers import PreTrainedModel
    from trl.trainer.utils import FusedCausalLMOutput

SHARED = "mmdpo_shared_prefix"
"""The name of the attention over shared rows, among those of transformers."""

PER_TOKEN = ("log_probs", "entropy", "mean_logits", "is_top1")


class Scorer:
    """Calls a model that has TRL's fused head and returns its outputs as [N B, A], an answer a row.

    What only serves positions that predict no answer token is left out: the output head, which TRL runs
    over all of them off a GPU, image tokens too, and the feed-forward block of the last layer.

    Over a shared prefix the model must have `SHARED` attention (shared_attention).
    """

    def __init__(self, model: PreTrainedModel) -> None:
        self._scored: torch.Tensor | None = None  # [M]; kept for a checkpointed layer's second run
        self._shape = torch.Size()  # [R, T]
        self._hooks = [model.base_model.register_forward_hook(self._gather)]
        if block := _last_feed_forward(model):
            self._hooks += [
                block.register_forward_pre_hook(self._narrow),
                block.register_forward_hook(self._widen),
            ]

    def __call__(self, model: Any, batch: dict[str, Any]) -> FusedCausalLMOutput:
        """Outputs whose per-token fields are [N B, A], zero where an answer has no token."""
        inputs = dict(batch["model"])
        if "segments" in inputs:
            segments, owners = inputs.pop("segments"), inputs.pop("owners")
            inputs["attention_mask"] = visible(segments, owners, batch["prefix"])
        self._scored, self._shape = batch["scored"], inputs["input_ids"].shape
        outputs = model(**inputs, shift_labels=batch["labels"][None], use_cache=False, fused_lm_head=True)
        rows, width = batch["completion_mask"][:, 1:].shape
        for name in (*PER_TOKEN, "label_mask"):
            values = getattr(outputs, name)
            if values is not None:
                placed = values.new_zeros(rows * width).index_copy(0, batch["places"], values[0])
                setattr(outputs, name, placed.view(rows, width))
        return outputs

    def remove(self) -> None:
        """Take the hooks off the model."""
        for hook in self._hooks:
            hook.remove()

    def _at_scored(self, states: torch.Tensor) -> torch.Tensor:
        """States [R, T, H] at the scored positions, [1, M, H]."""
        assert self._scored is not None
        return states.flatten(0, 1).index_select(0, self._scored)[None]

    def _gather(self, module: Any, args: Any, output: Any) -> Any:
        if self._scored is not None:
            output.last_hidden_state = self._at_scored(output.last_hidden_state)
        return output

    def _narrow(self, module: Any, args: tuple[torch.Tensor]) -> tuple[torch.Tensor] | None:
        return None if self._scored is None else (self._at_scored(args[0]),)

    def _widen(self, module: Any, args: Any, output: torch.Tensor) -> torch.Tensor:
        if self._scored is None:
            return output
        wide = output.new_zeros(self._shape.numel(), output.shape[-1])
        return wide.index_copy(0, self._scored, output[0]).view(*self._shape, -1)


def _last_feed_forward(model: PreTrainedModel) -> nn.Module | None:
    """The last layer's feed-forward block, where it treats each position alone; None for others."""
    layers = getattr(model.get_decoder(), "layers", None)
    block = getattr(layers[-1], "mlp", None) if layers else None
    if block is None or any("expert" in name or "router" in name for name, _ in block.named_modules()):
        return None  # a router counts positions
    return cast("nn.Module", block)


def _shared_prefix_attention(
    module: Any,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor,
    **settings: Any,
) -> tuple[torch.Tensor, None]:
    """Attention [B, T, H, D] where the first tokens are causal and `layout.visible` masks the others.

    So sdpa runs most of a row, prompt and image, in its causal kernel (on a GPU, flash attention), and
    only the answers in the kernel that takes a mask (there, the memory-efficient one). Flex attention
    would be compiled anew for each length of a batch. Not run on a GPU.
    """
    from transformers.integrations.sdpa_attention import sdpa_attention_forward as sdpa

    prefix = key.shape[2] - attention_mask.shape[2]
    settings.pop("is_causal", None)
    masked, _ = sdpa(module, query[:, :, prefix:], key, value, attention_mask, is_causal=False, **settings)
    if prefix == 0:
        return masked, None
    before = [states[:, :, :prefix] for states in (query, key, value)]
    causal, _ = sdpa(module, *before, None, is_causal=True, **settings)
    return torch.cat([causal, masked], dim=1), None


AttentionInterface.register(SHARED, _shared_prefix_attention)


@contextlib.contextmanager
def shared_attention(model: PreTrainedModel) -> Iterator[None]:
    """Give the language model, and it alone, the attention for shared rows for a while."""
    text = model.config.get_text_config()
    usual, text._attn_implementation = text._attn_implementation, SHARED
    try:
        yield
    finally:
        text._attn_implementation = usual


@contextlib.contextmanager
def scoring(model: PreTrainedModel) -> Iterator[Scorer]:
    """Give the model TRL's fused head for a while: the very numbers that training sees."""
    with suppress_library_output():
        from trl.trainer.utils import add_fused_lm_head

    add_fused_lm_head(model)
    scorer = Scorer(model)
    try:
        yield scorer
    finally:
        scorer.remove()
        del model.forward  # the patch is an attribute of the instance; the class's method is back
