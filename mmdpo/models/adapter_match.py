"""Settings that an adapter must share with the LoRA that continues its training. Imports no torch."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from mmdpo.models.adapter_config import read_adapter_config

if TYPE_CHECKING:
    from mmdpo.config.schema import ModelConfig

COMPARED = {"r": 8, "lora_alpha": 8, "use_rslora": False, "use_dora": False}
"""Settings of PEFT with its defaults, which an adapter's file may leave out."""

MERGE = "model.adapter_use=merge to train a new LoRA on it"


def start_mismatch(adapter: Path, model: ModelConfig) -> str | None:
    """Describe why an adapter cannot be trained further with a model's settings, with what to type; None if it can.

    Args:
        adapter: The folder of the adapter.
        model: The settings of the training.

    Raises:
        UserError: The adapter's configuration cannot be read.
    """
    content = read_adapter_config(adapter)
    for key, usual in COMPARED.items():
        has, needed = content.get(key, usual), getattr(model.lora, key)
        if has != needed:
            return (
                f"model.adapter={adapter}: its {key} is {has}, and model.lora has {needed}; type "
                f"model.lora.{key}={str(has).lower()}, or {MERGE}"
            )
    if content.get("rank_pattern") or content.get("alpha_pattern"):
        return f"model.adapter={adapter}: its layers have several ranks; type {MERGE}"
    has_projector = bool(content.get("modules_to_save"))
    if has_projector != model.train_projector:
        holds = "holds a projector" if has_projector else "holds no projector"
        return (
            f"model.adapter={adapter}: {holds}, and model.train_projector={str(model.train_projector).lower()}; type "
            f"model.train_projector={str(has_projector).lower()}, or {MERGE}"
        )
    return None
