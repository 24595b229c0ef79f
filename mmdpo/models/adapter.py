"""A trained adapter in its base model."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from mmdpo.files import read_json
from mmdpo.models.adapter_patterns import require_quick_patterns
from mmdpo.models.library_output import suppress_library_output
from mmdpo.models.loading import load_model

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from mmdpo.config.schema import ModelConfig


def merged(model: ModelConfig, adapter: Path) -> PreTrainedModel:
    """Return the base model with the adapter merged into its weights, and its projector if that was trained."""
    with suppress_library_output():
        from peft import PeftModel

        base = load_model(model.path, model.dtype, own_weights=True)
        require_quick_patterns(adapter, read_json(adapter / "adapter_config.json"), dict(base.named_modules()))
        adapted = PeftModel.from_pretrained(base, str(adapter))
        result: PreTrainedModel = adapted.merge_and_unload()
    return result.eval()
