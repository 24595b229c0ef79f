"""A trained adapter in its base model."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mmdpo.errors import UserError
from mmdpo.models.adapter_config import read_adapter_config
from mmdpo.models.adapter_files import check_adapter_weights
from mmdpo.models.adapter_patterns import require_quick_patterns
from mmdpo.models.library_output import suppress_library_output
from mmdpo.models.loading import load_model

if TYPE_CHECKING:
    from peft import PeftModel
    from transformers import PreTrainedModel

    from mmdpo.config.schema import ModelConfig

ADAPTER_NAME = "default"


def merged(model: ModelConfig, adapter: Path) -> PreTrainedModel:
    """Return the base model with the adapter merged into its weights, and its projector if that was trained.

    Raises UserError unless every weight of the adapter has its place in the base, and every place its weight.
    """
    content = read_adapter_config(adapter)
    names = check_adapter_weights(adapter)
    with suppress_library_output():
        base = load_model(model.path, model.dtype, own_weights=True)
        require_quick_patterns(adapter, content, dict(base.named_modules()))
        try:
            adapted, missing, unexpected = _with_adapter(base, adapter, content, names)
        except (UserError, MemoryError):
            raise
        except Exception as error:  # PEFT raises many kinds, from KeyError to those of `re`
            raise UserError(_unfit(model, adapter, _reason(error))) from error
        if missing or unexpected:
            counts = f"{len(missing)} weights are missing and {len(unexpected)} of {len(names)} have no place"
            raise UserError(_unfit(model, adapter, f"{counts}, such as {[*missing, *unexpected][0]}"))
        result: PreTrainedModel = adapted.merge_and_unload()
    return result.eval()


def _with_adapter(
    base: PreTrainedModel, adapter: Path, content: dict[str, Any], names: Sequence[str]
) -> tuple[PeftModel, list[str], list[str]]:
    """Add the adapter's layers to the base and load its weights.

    Args:
        base: The base model, which is changed.
        adapter: The adapter's folder.
        content: The adapter's configuration.
        names: The names of the adapter's weights.

    Returns:
        The model with the adapter, the weights that it lacks, and those that have no place in it.
    """
    from peft import LoraConfig, PeftModel, get_peft_model_state_dict

    known = {field.name for field in dataclasses.fields(LoraConfig)} | {"peft_version"}
    if unknown := sorted(key for key, value in content.items() if key not in known and value):
        raise UserError(
            f"{adapter}: this version of PEFT would ignore {', '.join(unknown)} in adapter_config.json; install the "
            "version that wrote the adapter"
        )
    config = LoraConfig.from_pretrained(str(adapter))
    config.inference_mode = True
    adapted = PeftModel(base, config, ADAPTER_NAME)
    expected = [*get_peft_model_state_dict(adapted, save_embedding_layers=False)]
    if any("lora_" not in name and name not in names for name in expected):
        # PEFT stops at the first missing copy of a whole module, such as the projector's.
        missing, unexpected = set(expected) - set(names), set(names) - set(expected)
        return adapted, sorted(missing), sorted(unexpected)
    mapping = getattr(base, "_checkpoint_conversion_mapping", None)
    loaded = adapted.load_adapter(str(adapter), ADAPTER_NAME, torch_device="cpu", key_mapping=mapping or {})
    return adapted, list(loaded.missing_keys), list(loaded.unexpected_keys)


def _reason(error: Exception) -> str:
    """Shorten an error of PEFT; weights of another shape, as with another rank, are counted."""
    text = str(error)
    if wrong := text.count("size mismatch"):
        first = text[text.index("size mismatch") :].splitlines()[0]
        return f"{wrong} weights have another shape than the base and r need; {first.rstrip('.')[:300]}"
    return f"{type(error).__name__}: {' '.join(text.split())[:300]}"


def _unfit(model: ModelConfig, adapter: Path, reason: str) -> str:
    return (
        f"{adapter} does not fit model.path={model.path}: {reason}. Name the adapter of a point that was trained on "
        "this model, as in generator.adapter=outputs/STUDY/POINT/adapter, or the adapter's own model.path="
    )
