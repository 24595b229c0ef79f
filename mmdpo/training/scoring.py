"""Log-probs of the answers' tokens in a batch, for either layout, by TRL's fused head."""

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
"""Name under which the attention over shared rows is registered in transformers."""

PER_TOKEN = ("log_probs", "entropy", "log_sum_sq_probs", "mean_logits", "is_top1")


class Scorer:
    """Caller of a model with TRL's fused head, for outputs of shape [N B, A], one answer per row.

    The output head and the feed-forward block of the last layer are computed only for the positions that predict an
    answer's token. Without a GPU, TRL would run the head over all positions, image tokens included.

    With a shared prefix, the model must use `SHARED` attention (`shared_attention`).
    """

    def __init__(self, model: PreTrainedModel) -> None:
        """Register hooks on the model, without its PEFT wrapper."""
        self._scored: torch.Tensor | None = None  # [P]; kept for the recomputation of a checkpointed layer
        self._predictor: torch.Tensor | None = None  # [U]: which of them makes each prediction
        self._shape = torch.Size()  # [R, T]
        self._hooks = [model.base_model.register_forward_hook(self._gather)]
        if block := _last_feed_forward(model):
            self._hooks += [
                block.register_forward_pre_hook(self._narrow),
                block.register_forward_hook(self._widen),
            ]

    def __call__(self, model: Any, batch: dict[str, Any]) -> FusedCausalLMOutput:
        """Compute the outputs of a batch.

        Args:
            model: The model with TRL's fused head; possibly wrapped by PEFT, DDP or DeepSpeed.
            batch: A batch of `collate.Collator`, on the model's device.

        Returns:
            TRL's outputs; per-token fields such as `log_probs` (nats) are [N B, A], zero where an answer has no
            token.
        """
        inputs = dict(batch["model"])
        if "seen_until" in inputs:
            inputs["attention_mask"] = visible(inputs.pop("seen_until"), batch["prefix"])
        self._scored, self._predictor = batch["scored"], batch["predictor"]
        self._shape = inputs["input_ids"].shape
        outputs = model(**inputs, shift_labels=batch["targets"][None], use_cache=False, fused_lm_head=True)
        rows, width = batch["completion_mask"][:, 1:].shape
        for name in (*PER_TOKEN, "label_mask"):
            values = getattr(outputs, name)
            if values is not None:
                per_token = values[0].index_select(0, batch["source"])  # equal answers of a prompt have one prediction
                scattered = values.new_zeros(rows * width).index_copy(0, batch["indices"], per_token)
                setattr(outputs, name, scattered.view(rows, width))
        return outputs

    def remove(self) -> None:
        """Remove the hooks from the model."""
        for hook in self._hooks:
            hook.remove()

    def _at_scored(self, states: torch.Tensor) -> torch.Tensor:
        """Select the states [R, T, H] at the scored positions, [1, P, H]."""
        assert self._scored is not None
        return states.flatten(0, 1).index_select(0, self._scored)[None]

    def _gather(self, module: Any, args: Any, output: Any) -> Any:
        if self._predictor is not None:
            states = self._at_scored(output.last_hidden_state)
            output.last_hidden_state = states.index_select(1, self._predictor)
        return output

    def _narrow(self, module: Any, args: tuple[torch.Tensor]) -> tuple[torch.Tensor] | None:
        return None if self._scored is None else (self._at_scored(args[0]),)

    def _widen(self, module: Any, args: Any, output: torch.Tensor) -> torch.Tensor:
        if self._scored is None:
            return output
        wide = output.new_zeros(self._shape.numel(), output.shape[-1])
        return wide.index_copy(0, self._scored, output[0]).view(*self._shape, -1)


def _last_feed_forward(model: PreTrainedModel) -> nn.Module | None:
    """Return the last layer's feed-forward block if it treats each position alone, else None."""
    layers = getattr(model.get_decoder(), "layers", None)
    block = getattr(layers[-1], "mlp", None) if layers else None
    if block is None or any("expert" in name or "router" in name for name, _ in block.named_modules()):
        return None  # a router balances its load over positions
    return cast("nn.Module", block)


def _shared_prefix_attention(
    module: Any,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor,
    **settings: Any,
) -> tuple[torch.Tensor, None]:
    """Compute attention with a causal prefix, and the mask of `layout.visible` for the other tokens.

    sdpa computes the prefix (prompt, image and first answer, most of a row) in its causal kernel, on a GPU flash
    attention, and only the other answers in the kernel that takes a mask, on a GPU the memory-efficient one. Flex
    attention would be compiled for every length of a batch.

    Args:
        module: The attention module.
        query: Queries [B, H, T, D].
        key: Keys [B, H, T, D].
        value: Values [B, H, T, D].
        attention_mask: Mask of the tokens after the prefix, [B, 1, T - prefix, T].
        **settings: Arguments of transformers' sdpa attention.

    Returns:
        Attention outputs [B, T, H, D], and None for the weights.
    """
    from transformers.integrations.sdpa_attention import sdpa_attention_forward as sdpa

    prefix = key.shape[2] - attention_mask.shape[2]
    settings.pop("is_causal", None)
    parts = []
    if prefix:
        leading = [states[:, :, :prefix] for states in (query, key, value)]
        parts.append(sdpa(module, *leading, None, is_causal=True, **settings)[0])
    if prefix < key.shape[2]:
        parts.append(sdpa(module, query[:, :, prefix:], key, value, attention_mask, is_causal=False, **settings)[0])
    return torch.cat(parts, dim=1), None


AttentionInterface.register(SHARED, _shared_prefix_attention)


@contextlib.contextmanager
def shared_attention(model: PreTrainedModel) -> Iterator[None]:
    """Use the attention for shared rows in the language model, and only there, within the block."""
    text = model.config.get_text_config()
    usual, text._attn_implementation = text._attn_implementation, SHARED
    try:
        yield
    finally:
        text._attn_implementation = usual


@contextlib.contextmanager
def scoring(model: PreTrainedModel) -> Iterator[Scorer]:
    """Patch TRL's fused head into the model within the block, for the same numbers as in training."""
    with suppress_library_output():
        from trl.trainer.utils import add_fused_lm_head

    add_fused_lm_head(model)
    scorer = Scorer(model)
    try:
        yield scorer
    finally:
        scorer.remove()
        del model.forward  # removes the patched attribute of the instance
