"""The key of a service: from the environment, and nowhere else."""

from __future__ import annotations

import os
from collections.abc import Sequence

from mmdpo.errors import UserError


def api_key(names: Sequence[str], who: str, base_url: str | None) -> str:
    """The first of these environment variables that is set; another endpoint may go without.

    Raises UserError, naming them.
    """
    for name in names:
        if os.environ.get(name):
            return os.environ[name]
    if base_url is not None:
        return "none"
    raise UserError(
        f"{who} needs a key: set the environment variable {' or '.join(names)}. It is read from "
        "there only, and written nowhere."
    )
