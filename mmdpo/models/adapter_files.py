"""Checks of an adapter's files that need no base model: complete, finite, and with an effect."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from mmdpo.errors import UserError

CONFIG, WEIGHTS = "adapter_config.json", "adapter_model.safetensors"


def read_adapter_config(adapter: Path) -> dict[str, Any]:
    """Read an adapter's configuration. Raises UserError if the file is missing, damaged or not LoRA's."""
    path = adapter / CONFIG
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise UserError(f"{path} cannot be read: {' '.join(str(error).split())[:200]}") from error
    kind = content.get("peft_type") if isinstance(content, dict) else None
    if kind != "LORA":
        raise UserError(f"{path}: peft_type is {kind!r}; only adapters of the type LORA can be used")
    return dict(content)


def holds_modules(adapter: Path) -> bool:
    """Return whether an adapter holds whole modules, such as the projector, in addition to LoRA.

    Raises UserError if its configuration cannot be read.
    """
    return bool(read_adapter_config(adapter).get("modules_to_save"))


def check_adapter_header(adapter: Path) -> None:
    """Check an adapter as far as that needs no weights, so that a command with a wrong one is refused at once.

    Raises UserError if a file is missing or damaged, or if the weights have another rank than the configuration.
    """
    from safetensors import SafetensorError, safe_open

    content = read_adapter_config(adapter)
    path = adapter / WEIGHTS
    try:
        with safe_open(path, framework="np") as file:
            shapes = {name: file.get_slice(name).get_shape() for name in file.keys()}  # noqa: SIM118 (no mapping)
    except (OSError, SafetensorError) as error:
        raise UserError(f"{path} is missing or damaged: {error}") from error
    ranks = {shape[0] for name, shape in shapes.items() if "lora_A" in name}
    if not ranks:
        raise UserError(f"{path} has no weights of LoRA among its {len(shapes)}")
    if not content.get("rank_pattern") and ranks != {content.get("r")}:
        found = ", ".join(map(str, sorted(ranks)))
        raise UserError(f"{path} has weights of rank {found}, and {CONFIG} says r={content.get('r')}")


def check_adapter_weights(adapter: Path) -> tuple[str, ...]:
    """Check that the weights are complete, finite and not without effect.

    An adapter whose `lora_B` weights are all zero leaves its base as it is.

    Returns:
        The names of the weights.

    Raises:
        UserError: The file is missing, torn, holds NaN or infinity, or changes nothing.
    """
    import torch
    from safetensors import SafetensorError, safe_open

    path = adapter / WEIGHTS
    wrong: list[str] = []
    has_effect = False
    try:
        with safe_open(path, framework="pt") as file:
            names = tuple(file.keys())
            for name in names:
                weight = file.get_tensor(name)
                if not bool(torch.isfinite(weight).all()):
                    wrong.append(name)
                has_effect = has_effect or ("lora_A" not in name and bool(weight.any()))
    except (OSError, SafetensorError) as error:
        raise UserError(f"{path} is missing or damaged: {error}") from error
    if wrong:
        raise UserError(f"{path}: {len(wrong)} of {len(names)} weights hold NaN or infinity, such as {wrong[0]}")
    if not has_effect:
        count = sum("lora_B" in name for name in names)
        raise UserError(f"{path} changes nothing: all of its {count} lora_B weights are zero, as before any training")
    return names
