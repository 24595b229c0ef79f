"""The configuration of an adapter in PEFT format. Imports no torch."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from mmdpo.errors import UserError

CONFIG = "adapter_config.json"


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
