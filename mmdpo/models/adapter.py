"""Trained adapters: merging one into its base model, naming its content."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from mmdpo.errors import UserError
from mmdpo.files import file_fingerprint, fingerprint
from mmdpo.models.library_output import suppress_library_output
from mmdpo.models.loading import load_model

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from mmdpo.config.schema import ModelConfig

FILES = ("adapter_config.json", "adapter_model.safetensors")


def merged(model: ModelConfig, adapter: Path) -> PreTrainedModel:
    """Load the base model with the adapter merged into its weights, a trained projector included."""
    with suppress_library_output():
        from peft import PeftModel

        base = load_model(model.path, model.dtype, own_weights=True)
        adapted = PeftModel.from_pretrained(base, str(adapter))
        result: PreTrainedModel = adapted.merge_and_unload()
    return result.eval()


def adapter_fingerprint(adapter: Path) -> str:
    """Hash the content of an adapter. Raises UserError if the folder holds none."""
    for name in FILES:
        if not (adapter / name).is_file():
            raise UserError(f"generator.adapter={adapter}: has no {name}; type generator.adapter=STUDY/POINT/adapter")
    return fingerprint([file_fingerprint(adapter / name) for name in FILES])
