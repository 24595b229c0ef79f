"""Room for the thoughts of a Gemini model, which the service counts in the limit of a reply."""

from __future__ import annotations

ENOUGH = 4096  # tokens; a smaller limit is meant for the reply alone
ROOM = 8192  # tokens


def limit_with_thoughts(limit: int) -> int:
    """Return the limit to send: benchmarks limit a grade to some tokens, which thoughts would use up.

    Only the tokens that are used cost money.
    """
    return limit if limit >= ENOUGH else limit + ROOM
