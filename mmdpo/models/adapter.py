"""A trained adapter in its base model."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
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
    base = load_model(model.path, model.dtype, own_weights=True)
    result: PreTrainedModel = adapted(base, model, adapter).merge_and_unload()
    return result.eval()


def adapted(base: PreTrainedModel, model: ModelConfig, adapter: Path) -> PeftModel:
    """Return a base model with the adapter's layers beside its weights, none of which is trained.

    Args:
        base: The base model, which is changed.
        model: Its settings, for messages.
        adapter: Folder of the adapter, in PEFT format.

    Returns:
        The model in evaluation mode.

    Raises:
        UserError: A weight of the adapter has no place in the base, or a place has no weight.
    """
    content = read_adapter_config(adapter)
    names = check_adapter_weights(adapter)
    with suppress_library_output():
        require_quick_patterns(adapter, content, dict(base.named_modules()))
        with _fitting(model, adapter):
            found, missing, unexpected = _with_adapter(base, adapter, content, names)
        _require_all(model, adapter, len(names), missing, unexpected)
    return found.eval()


def load_adapter_weights(trained: PeftModel, model: ModelConfig, adapter: Path) -> None:
    """Give the LoRA layers of a model the weights of an adapter.

    Args:
        trained: The model with LoRA layers, perhaps with some other values.
        model: Its base model, for messages.
        adapter: Folder of the adapter, in PEFT format.

    Raises:
        UserError: The layers are others than the adapter's.
    """
    names = check_adapter_weights(adapter)
    with suppress_library_output(), _fitting(model, adapter):
        missing, unexpected = _load(trained, trained.get_base_model(), adapter)
    _require_all(model, adapter, len(names), missing, unexpected)


@contextmanager
def _fitting(model: ModelConfig, adapter: Path) -> Iterator[None]:
    """Turn PEFT's errors about an adapter that does not fit into a UserError."""
    try:
        yield
    except (UserError, MemoryError):
        raise
    except Exception as error:  # PEFT raises many kinds, from KeyError to those of `re`
        raise UserError(_unfit(model, adapter, _reason(error))) from error


def _require_all(
    model: ModelConfig, adapter: Path, count: int, missing: Sequence[str], unexpected: Sequence[str]
) -> None:
    """Raise UserError if some of an adapter's weights are missing or have no place."""
    if missing or unexpected:
        counts = f"{len(missing)} weights are missing and {len(unexpected)} of {count} have no place"
        raise UserError(_unfit(model, adapter, f"{counts}, such as {[*missing, *unexpected][0]}"))


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
    with_layers = PeftModel(base, config, ADAPTER_NAME)
    expected = [*get_peft_model_state_dict(with_layers, save_embedding_layers=False)]
    if any("lora_" not in name and name not in names for name in expected):
        # PEFT stops at the first missing copy of a whole module, such as the projector's.
        missing, unexpected = set(expected) - set(names), set(names) - set(expected)
        return with_layers, sorted(missing), sorted(unexpected)
    return with_layers, *_load(with_layers, base, adapter)


def _load(with_layers: PeftModel, base: Any, adapter: Path) -> tuple[list[str], list[str]]:
    """Load an adapter's weights into the layers of a model; returns the missing and the unexpected names."""
    mapping = getattr(base, "_checkpoint_conversion_mapping", None)
    loaded = with_layers.load_adapter(str(adapter), ADAPTER_NAME, torch_device="cpu", key_mapping=mapping or {})
    return list(loaded.missing_keys), list(loaded.unexpected_keys)


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
