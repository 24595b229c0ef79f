"""Settings that hold the command of a server: Hydra's grammar refuses their braces unless the value is quoted."""

from __future__ import annotations

SERVER_COMMANDS = ("bench.server.command=", "generator.command=")


def quoted_command(word: str) -> str:
    """Return a word of a command line in which the command of a server is quoted for Hydra; others are unchanged."""
    key = next((key for key in SERVER_COMMANDS if word.startswith(key)), None)
    value = word.removeprefix(key or "")
    if key is None or "{" not in value or value.lstrip().startswith(("'", '"')):
        return word
    escaped = value.replace("\\'", "\\\\'").replace("'", "\\'")
    return f"{key}'{escaped}'"
