"""Limits that end the run of some points while others can go on."""

from __future__ import annotations

from collections.abc import Sequence

from mmdpo.errors import Outstanding, Stopped

SHOWN_REASONS = 5  # points whose reason is printed


def raise_stopped(stops: Sequence[Stopped]) -> None:
    """Raise the limit that ended the run, or what several points wait for; do nothing if there is neither."""
    for stop in stops:
        if not isinstance(stop, Outstanding):
            raise stop
    if stops:
        reasons = list(dict.fromkeys(map(str, stops)))
        more = [f"and {len(reasons) - SHOWN_REASONS} more"] if len(reasons) > SHOWN_REASONS else []
        raise Outstanding("\n".join([f"{len(stops)} points wait for replies", *reasons[:SHOWN_REASONS], *more]))
