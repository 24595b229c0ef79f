"""The key of a service: from the environment, and nowhere else."""

from __future__ import annotations

import os
from collections.abc import Sequence

from mmdpo.errors import UserError


def api_key(names: Sequence[str], who: str, base_url: str | None) -> str:
    """The first of these environment variables that is set; another endpoint may go without.

    Raises UserError, naming them, where there is none or none that could be sent.
    """
    for name in names:
        key = os.environ.get(name, "").strip()
        if key and not (key.isascii() and key.isprintable() and " " not in key):
            raise UserError(f"{name} holds no key: spaces or letters outside ASCII are in it. Set it anew.")
        if key:
            return key
    if base_url is not None:
        return "none"
    raise UserError(
        f"{who} needs a key: set the environment variable {' or '.join(names)}. It is read from "
        "there only, and written nowhere."
    )


def without_key(text: str, names: Sequence[str]) -> str:
    """What a service said, without the key: some repeat it when they refuse it."""
    for name in names:
        key = os.environ.get(name, "").strip()
        text = text.replace(key, "***") if key else text
    return text
