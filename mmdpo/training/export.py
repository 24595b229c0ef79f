"""A trained adapter and its base as one Hugging Face folder."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from mmdpo.files import written_aside
from mmdpo.models.loading import load_model, load_processor
from mmdpo.models.quiet import quiet

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from mmdpo.config import ModelConfig


def merged(model: ModelConfig, adapter: Path) -> PreTrainedModel:
    """The base with the adapter's weights, and its projector where that was trained, in its own."""
    with quiet():
        from peft import PeftModel

        adapted = PeftModel.from_pretrained(load_model(model.path, model.dtype), str(adapter))
        result: PreTrainedModel = adapted.merge_and_unload()
    return result.eval()


def export(model: ModelConfig, adapter: Path, folder: Path) -> None:
    """Write model and processor, with the chat template of the training, as `from_pretrained` reads them."""
    with written_aside(folder) as aside, quiet():
        merged(model, adapter).save_pretrained(aside)
        load_processor(model).save_pretrained(aside)
