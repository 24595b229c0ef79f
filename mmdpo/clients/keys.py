"""API keys, which are read from the environment only."""

from __future__ import annotations

import os
from collections.abc import Sequence

from mmdpo.errors import UserError


def api_key(names: Sequence[str], who: str, base_url: str | None) -> str:
    """Return the first of some environment variables that is set.

    Args:
        names: Environment variables that may hold the key.
        who: The override that needs the key, for messages, such as `judge=gemini`.
        base_url: The endpoint; one other than the service's own may go without a key.

    Raises:
        UserError: If no variable is set, or a value cannot be sent; names the variables and never shows a value.
    """
    for name in names:
        key = os.environ.get(name, "").strip()
        if key and not (key.isascii() and key.isprintable() and " " not in key):
            raise UserError(f"{name} holds no valid key: it contains spaces or non-ASCII characters. Set it again.")
        if key:
            return key
    if base_url is not None:
        return "none"
    raise UserError(
        f"{who} needs a key: set the environment variable {' or '.join(names)}. It is read from the environment "
        "only and never written."
    )


def without_key(text: str, names: Sequence[str]) -> str:
    """Remove the key from a service's message: some repeat the key that they refuse."""
    for name in names:
        key = os.environ.get(name, "").strip()
        text = text.replace(key, "***") if key else text
    return text
