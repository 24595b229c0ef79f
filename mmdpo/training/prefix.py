"""Prefix sharing in training: a test on the model itself, instead of a list of architectures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mmdpo.models.device import to_device
from mmdpo.training.collate import Collator
from mmdpo.training.rows import Row

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel

ONE_ROW = 1 << 20  # tokens; more than any probe has


@dataclass(frozen=True)
class Sharing:
    """Result of the test: `holds` if the answers of a prompt can share its prefix, else the reason."""

    holds: bool
    reason: str = ""


def sharing(model: PreTrainedModel, processor: Any, rows: Sequence[Row]) -> Sharing:
    """Test whether both layouts give the same log-probs.

    Up to two rows with images, one of them with as many as there are, and one without are tested, packed into one row.

    Args:
        model: A vision-language model in evaluation mode.
        processor: Its processor.
        rows: Rows of the data set.

    Returns:
        The result of the test.
    """
    reason = _unsuitable_attention(model) or _difference(model, processor, probe_rows(rows))
    return Sharing(reason is None, reason or "")


def probe_rows(rows: Sequence[Row]) -> list[Row]:
    """Select the rows that a test on the model needs: the first and a row with the most images, and one without."""
    with_image = [row for row in rows if row["images"]]
    most = sorted(with_image[1:], key=lambda row: -len(row["images"]))[:1]
    return with_image[:1] + most + [row for row in rows if not row["images"]][:1]


def _unsuitable_attention(model: PreTrainedModel) -> str | None:
    """Return the reason if attention reaches back only a limited distance, which a short probe does not show."""
    text = model.config.get_text_config()
    kinds = set(getattr(text, "layer_types", None) or ["full_attention"])
    if kinds != {"full_attention"}:
        return f"its layers are of the kinds {', '.join(sorted(kinds))}"
    if getattr(text, "sliding_window", None) and getattr(text, "use_sliding_window", True):
        return "it attends within a sliding window"
    return None


def _difference(model: PreTrainedModel, processor: Any, rows: Sequence[Row]) -> str | None:
    import torch

    from mmdpo.models.prefix import difference
    from mmdpo.training.scoring import shared_attention

    separate = row_log_probs(model, processor, rows, shared=False)
    try:
        with shared_attention(model):
            shared = row_log_probs(model, processor, rows, shared=True)
    except torch.OutOfMemoryError:
        raise
    except Exception as error:  # architectures reject an unknown mask in different ways
        return f"it does not accept the attention mask ({type(error).__name__})"
    tokens = max(1, int((separate != 0).sum()))
    return difference(separate, shared, tokens, model.dtype)


def row_log_probs(model: PreTrainedModel, processor: Any, rows: Sequence[Row], shared: bool) -> torch.Tensor:
    """Compute the log-probs of the answers' tokens as training does.

    Args:
        model: A vision-language model in evaluation mode.
        processor: Its processor.
        rows: B rows with N answers each.
        shared: Whether the answers of a row share its prompt.

    Returns:
        Log-probs [N B, A] on the CPU, the first answers of all rows first; zero where an answer has no token.
    """
    import torch

    from mmdpo.training.scoring import scoring

    device = next(model.parameters()).device
    with scoring(model) as scorer, torch.inference_mode():
        batch = to_device(Collator(processor, shared, max_row_tokens=ONE_ROW)(rows), device)
        return scorer(model, batch).log_probs.float().cpu()
