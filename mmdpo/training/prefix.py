"""Prefix sharing in training: a test on the model itself, instead of a list of architectures."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mmdpo.cache import cached
from mmdpo.files import fingerprint, read_json, write_json
from mmdpo.models.device import on_device, to_device
from mmdpo.models.fingerprints import processor_fingerprint, weights_fingerprint
from mmdpo.models.loading import torch_dtype
from mmdpo.models.quantization import base_settings, load_training_base
from mmdpo.training.collate import Collator
from mmdpo.training.prompt_groups import GROUP
from mmdpo.training.rows import Row

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel

    from mmdpo.config.schema import ModelConfig

ONE_ROW = 1 << 20  # tokens; more than any probe has
GROUP_ROWS = 3  # of a group that are tested together
VERSION = 1  # of the test; raise it if another model would pass
RESULT = "sharing.json"


@dataclass(frozen=True)
class Sharing:
    """Result of the test: `holds` if the answers of a prompt can share its prefix, else the reason."""

    holds: bool
    reason: str = ""


def sharing(model: PreTrainedModel, processor: Any, rows: Sequence[Row]) -> Sharing:
    """Test whether both layouts give the same log-probs.

    Up to two rows with images, one of them with as many as there are, one without and some of a group are tested,
    packed into one row.

    Args:
        model: A vision-language model in evaluation mode.
        processor: Its processor.
        rows: Rows of the data set.

    Returns:
        The result of the test.
    """
    reason = _unsuitable_attention(model) or _difference(model, processor, probe_rows(rows) + _of_a_group(rows))
    return Sharing(reason is None, reason or "")


def group_sharing(model: ModelConfig, processor: Any, rows: Sequence[Row]) -> Sharing:
    """Return the result of the test with rows of a group, from the cache or by the base model on this device.

    It is computed before the training loads the model: ZeRO-3 partitions that one, and its modules cannot be called
    outside their engine.

    Args:
        model: The base model.
        processor: Its processor.
        rows: Rows of the data set, with groups.

    Returns:
        The result of the test.
    """
    probe = probe_rows(rows) + _of_a_group(rows)
    key = {
        "version": VERSION,
        "weights": weights_fingerprint(model.path),
        "processor": processor_fingerprint(model),
        "dtype": str(torch_dtype(model.dtype)),
        "rows": fingerprint([[row["digests"], row["prompt_ids"], row["answers"]] for row in probe]),
        **base_settings(model),
    }

    def make(folder: Path) -> None:
        base = on_device(load_training_base(model)).eval()
        found = sharing(base, processor, rows)
        write_json(folder / RESULT, {"holds": found.holds, "reason": found.reason})

    return Sharing(**read_json(cached("sharing", key, make) / RESULT))


def probe_rows(rows: Sequence[Row]) -> list[Row]:
    """Select the rows that a test on the model needs: the first and a row with the most images, and one without."""
    with_image = [row for row in rows if row["images"]]
    most = sorted(with_image[1:], key=lambda row: -len(row["images"]))[:1]
    return with_image[:1] + most + [row for row in rows if not row["images"]][:1]


def _of_a_group(rows: Sequence[Row]) -> list[Row]:
    """Select different rows of the largest group; none without groups."""
    sizes = Counter(row[GROUP] for row in rows if GROUP in row)
    if not sizes:
        return []
    largest = max(sizes, key=lambda group: sizes[group])
    found: list[Row] = []
    for row in rows:
        if row.get(GROUP) == largest and all(row["answers"] != one["answers"] for one in found):
            found.append(row)
    return found[:GROUP_ROWS]


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
    reason = difference(separate, shared, tokens, model.dtype)
    return reason and difference(separate, shared, tokens, model.dtype, rounding(model, processor, rows, separate))


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


def rounding(model: PreTrainedModel, processor: Any, rows: Sequence[Row], batched: torch.Tensor) -> float:
    """Measure what rounding alone does in the model's type: each row computed alone against a plain batch.

    Args:
        model: A vision-language model in evaluation mode.
        processor: Its processor.
        rows: B rows with N answers each.
        batched: Their log-probs in one plain batch [N B, A].

    Returns:
        The mean absolute difference of the log-probs (nats).
    """
    gap, tokens = 0.0, 0
    for index, row in enumerate(rows):
        alone = row_log_probs(model, processor, [row], shared=False)
        same = batched[index :: len(rows), : alone.shape[1]]
        gap += float((same - alone).abs().sum())
        tokens += int((alone != 0).sum())
    return gap / max(1, tokens)
