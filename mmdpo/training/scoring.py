"""Per-token log-probs of the answers in a batch, from either layout, through TRL's fused head."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import torch

from mmdpo.models.quiet import quiet
from mmdpo.training.layout import visible

if TYPE_CHECKING:
    from transformers import PreTrainedModel
    from trl.trainer.utils import FusedCausalLMOutput

PER_TOKEN = ("log_probs", "entropy", "mean_logits", "is_top1")


class Scorer:
    """Calls a model that has TRL's fused head and returns its outputs as [N B, A], an answer a row.

    Only the hidden states that predict an answer token reach the head: a hook behind the backbone
    gathers them. Off a GPU, TRL scores every position, image tokens and all.

    Attention over a shared prefix takes the mask of `layout.visible`: a block mask for flex attention,
    or a dense one, with which sdpa uses its memory-efficient kernel. Neither was run on a GPU.
    """

    def __init__(self, model: PreTrainedModel) -> None:
        self._config = model.config.get_text_config()
        self._scored: torch.Tensor | None = None
        self._hook = model.base_model.register_forward_hook(self._gather)

    def __call__(self, model: Any, batch: dict[str, Any]) -> FusedCausalLMOutput:
        """Outputs whose per-token fields are [N B, A], zero where an answer has no token."""
        inputs = dict(batch["model"])
        if "segments" in inputs:
            inputs["attention_mask"] = self._mask(inputs.pop("segments"))
        rows = len(batch["completion_mask"])
        width = batch["completion_mask"].shape[1] - 1
        self._scored = batch["scored"]
        try:
            outputs = model(**inputs, shift_labels=batch["labels"], use_cache=False, fused_lm_head=True)
        finally:
            self._scored = None
        for name in (*PER_TOKEN, "label_mask"):
            values = getattr(outputs, name)
            if values is not None:
                setattr(outputs, name, _an_answer_a_row(values, rows, width))
        return outputs

    def remove(self) -> None:
        """Take the hook off the model."""
        self._hook.remove()

    def _gather(self, module: Any, args: Any, output: Any) -> Any:
        if self._scored is not None:
            states = output.last_hidden_state
            places = self._scored[:, :, None].expand(-1, -1, states.shape[-1])
            output.last_hidden_state = states.gather(1, places)
        return output

    def _mask(self, segments: torch.Tensor) -> Any:
        if self._config._attn_implementation == "flex_attention":
            return _block_mask(segments)
        return visible(segments)


def _an_answer_a_row(values: torch.Tensor, rows: int, width: int) -> torch.Tensor:
    """[R, K] as [N B, A]: of a shared row's answers side by side, the first of all rows come first."""
    answers = values.shape[1] // width if width else 1
    values = values[: rows // answers] if answers > 1 else values[:rows]
    return values.view(len(values), answers, width).transpose(0, 1).reshape(rows, width)


def _block_mask(segments: torch.Tensor) -> Any:
    from torch.nn.attention.flex_attention import create_block_mask

    from mmdpo.training.layout import PROMPT

    def sees(batch: Any, head: Any, query: Any, key: Any) -> Any:
        of_key = segments[batch, key]
        return (query >= key) & ((of_key == PROMPT) | (of_key == segments[batch, query]))

    rows, length = segments.shape
    return create_block_mask(sees, rows, None, length, length, device=segments.device)


def set_attention(model: PreTrainedModel, kind: str) -> None:
    """Give the language model, and it alone, another attention."""
    model.config.get_text_config()._attn_implementation = kind


@contextlib.contextmanager
def scoring(model: PreTrainedModel) -> Iterator[Scorer]:
    """Give the model TRL's fused head for a while: the very numbers that training sees."""
    with quiet():
        from trl.trainer.utils import add_fused_lm_head

    add_fused_lm_head(model)
    scorer = Scorer(model)
    try:
        yield scorer
    finally:
        scorer.remove()
        del model.forward  # the patch is an attribute of the instance; the class's method is back
