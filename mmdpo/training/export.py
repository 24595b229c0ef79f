"""A trained adapter and its base as one Hugging Face folder."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from mmdpo.files import atomic_write
from mmdpo.models.adapter import merged
from mmdpo.models.library_output import suppress_library_output
from mmdpo.models.loading import load_processor

if TYPE_CHECKING:
    from mmdpo.config.schema import ModelConfig


def export(model: ModelConfig, adapter: Path, folder: Path) -> None:
    """Write model and processor, with the chat template of the training, as `from_pretrained` reads them."""
    with atomic_write(folder) as aside, suppress_library_output():
        merged(model, adapter).save_pretrained(aside)
        load_processor(model).save_pretrained(aside)
