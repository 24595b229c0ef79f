"""Settings whose values may hold {names}: Hydra's grammar takes braces for a dictionary unless the value is quoted."""

from __future__ import annotations

WITH_NAMES = ("bench.server.command=", "bench.server.model=", "generator.command=")


def quoted_names(word: str) -> str:
    """Return a word of a command line with quotes for Hydra around a value with {names}; others are unchanged."""
    key = next((key for key in WITH_NAMES if word.startswith(key)), None)
    value = word.removeprefix(key or "")
    if key is None or "{" not in value or value.lstrip().startswith(("'", '"')):
        return word
    escaped = value.replace("\\'", "\\\\'").replace("'", "\\'")
    return f"{key}'{escaped}'"
