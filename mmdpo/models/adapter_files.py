"""Checks of an adapter's files that need no base model: complete, finite, and with an effect."""

from __future__ import annotations

from pathlib import Path

from mmdpo.errors import UserError
from mmdpo.models.adapter_config import CONFIG, read_adapter_config

WEIGHTS = "adapter_model.safetensors"


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
