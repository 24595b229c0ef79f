"""Check that a checkpoint filled a model: no weight may be left as it was initialized."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mmdpo.console import print_line
from mmdpo.errors import UserError


def check_loaded(path: str, info: Mapping[str, Any], key: str = "model.path") -> None:
    """Raise UserError unless all weights were loaded; print how many weights of the checkpoint are not used.

    Args:
        path: The value of the setting.
        info: The loading info of transformers' `from_pretrained`.
        key: The setting that names the checkpoint.
    """
    missing = sorted(info["missing_keys"])
    mismatched = sorted(str(one[0]) if isinstance(one, tuple) else str(one) for one in info["mismatched_keys"])
    errors = [str(one) for one in info.get("error_msgs", [])]
    if missing or mismatched or errors:
        counts = {"missing": len(missing), "of another shape": len(mismatched), "not readable": len(errors)}
        parts = [f"{count} {kind}" for kind, count in counts.items() if count]
        first = [*missing, *mismatched, *errors][0]
        raise UserError(
            f"{key}={path}: the checkpoint does not fill the model: weights {', '.join(parts)}, such as {first}. "
            "They would be random; name a complete checkpoint"
        )
    if unexpected := sorted(info["unexpected_keys"]):
        print_line(
            f"{key}={path}: {len(unexpected)} weights of the checkpoint have no place in the model and are not "
            f"used, such as {unexpected[0]}"
        )
