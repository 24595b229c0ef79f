"""Whether a model may share a prompt's prefix between its answers: measured, not looked up in a list."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch

from mmdpo.models.prefix import difference
from mmdpo.training.collate import Collator
from mmdpo.training.reference import Sharing
from mmdpo.training.rows import Row
from mmdpo.training.scoring import scoring, shared_attention

if TYPE_CHECKING:
    from transformers import PreTrainedModel

ONE_ROW = 1 << 20  # tokens: room for any probe


def sharing(model: PreTrainedModel, processor: Any, rows: Sequence[Row]) -> Sharing:
    """Whether both layouts give the same log-probs on these rows.

    Two rows with an image and one without are tried, where there are such; all of them in one row.
    """
    probe = [row for row in rows if row["image"]][:2] + [row for row in rows if not row["image"]][:1]
    reason = _unsuitable(model) or _differs(model, processor, probe)
    return Sharing(reason is None, reason or "")


def _unsuitable(model: PreTrainedModel) -> str | None:
    """What a short probe would not show: attention that looks back only so far."""
    text = model.config.get_text_config()
    kinds = set(getattr(text, "layer_types", None) or ["full_attention"])
    if kinds != {"full_attention"}:
        return f"its layers are of the kinds {', '.join(sorted(kinds))}"
    if getattr(text, "sliding_window", None) and getattr(text, "use_sliding_window", True):
        return "it attends within a sliding window"
    return None


def _differs(model: PreTrainedModel, processor: Any, rows: Sequence[Row]) -> str | None:
    alone = _log_probs(model, processor, rows, shared=False)
    try:
        with shared_attention(model):
            shared = _log_probs(model, processor, rows, shared=True)
    except torch.OutOfMemoryError:
        raise
    except Exception as error:  # whatever an architecture makes of a mask that it does not know
        return f"it takes no such mask ({type(error).__name__})"
    tokens = max(1, int((alone != 0).sum()))
    return difference(alone, shared, tokens, model.dtype)


def _log_probs(model: PreTrainedModel, processor: Any, rows: Sequence[Row], shared: bool) -> torch.Tensor:
    device = next(model.parameters()).device
    with scoring(model) as scorer, torch.inference_mode():
        batch = to_device(Collator(processor, shared, room=ONE_ROW)(rows), device)
        return scorer(model, batch).log_probs.float().cpu()


def to_device(batch: dict[str, Any], device: torch.device) -> dict[str, Any]:
    """A batch of the collator, its tensors on `device`."""
    return {
        name: to_device(value, device)
        if isinstance(value, dict)
        else value.to(device)
        if isinstance(value, torch.Tensor)
        else value
        for name, value in batch.items()
    }
