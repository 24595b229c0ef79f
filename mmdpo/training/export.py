"""Export of a trained adapter and its base model as one Hugging Face folder."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from mmdpo.files import atomic_write
from mmdpo.models.adapter import merged
from mmdpo.models.library_output import suppress_library_output
from mmdpo.models.loading import load_processor

if TYPE_CHECKING:
    from mmdpo.config.schema import ModelConfig


def export_model(model: ModelConfig, adapter: Path, folder: Path) -> None:
    """Write the merged model and its processor, with the training's chat template, for `from_pretrained`.

    Args:
        model: The base model.
        adapter: Folder of the adapter, in PEFT format.
        folder: Folder to create.
    """
    with atomic_write(folder) as partial, suppress_library_output():
        merged(model, adapter).save_pretrained(partial)
        load_processor(model).save_pretrained(partial)
