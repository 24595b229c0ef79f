"""Commands that a message suggests, with the settings that the user has typed."""

from __future__ import annotations

import shlex
from collections.abc import Collection, Iterable, Sequence

MULTIRUN = ("-m", "--multirun")
WITH_VALUE = ("--config-dir", "-cd", "--config-name", "-cn", "--config-path", "-cp", "--package", "-p")
"""Hydra's flags whose value is the next word."""
SWEEPS = ("choice(", "range(", "interval(", "glob(", "shuffle(", "tag(")
SEARCH = ("hydra/sweeper", "hydra.sweeper.", "search")
"""Beginnings of the keys of a search, which no other sweep has."""
OPENING, CLOSING = "([{", ")]}"


def hint(words: Sequence[str], *changes: str, without: Collection[str] = (), sweep: bool = False) -> str:
    """Return a command like a typed one, quoted for the shell.

    Args:
        words: The words of the typed command; empty if it is not known.
        changes: Overrides that replace those of the same keys, or are added.
        without: Keys whose overrides are left out, with those of the keys below them.
        sweep: Leave out what was swept and the settings of a search, and add -m.

    Returns:
        The command.
    """
    words = list(words) or ["python", "launch.py"]
    changed = {key_of(change): change for change in changes}
    left, kept = dict(changed), list[str]()
    for word, is_override in _marked(words):
        if not is_override:
            kept += [] if sweep and word in MULTIRUN else [word]
            continue
        key = key_of(word)
        if key in changed:
            kept += [left.pop(key)] if key in left and not sweep else []
        elif any(key == one or key.startswith(f"{one}.") for one in without):
            continue
        elif not (sweep and (is_swept(word) or key.startswith(SEARCH))):
            kept.append(word)
    if sweep:
        place = 1 + next((index for index, word in enumerate(kept) if word.endswith("launch.py")), len(kept) - 1)
        added = ["-m", *changes]
        kept[place:place] = added
    else:
        kept += left.values()
    return shlex.join(kept)


def key_of(override: str) -> str:
    """Return the key of an override such as `+train.x=1` or `~model.lr`."""
    return override.partition("=")[0].strip().lstrip("+~").partition("@")[0]


def is_swept(override: str) -> bool:
    """Return whether an override has several values: a comma outside of brackets and quotes, or a sweep's function."""
    value = override.partition("=")[2].strip()
    if value.startswith(SWEEPS):
        return True
    depth, quote = 0, ""
    for letter in value:
        if quote:
            quote = "" if letter == quote else quote
        elif letter in "'\"":
            quote = letter
        elif letter in OPENING:
            depth += 1
        elif letter in CLOSING:
            depth -= 1
        elif letter == "," and depth == 0:
            return True
    return False


def _marked(words: Sequence[str]) -> Iterable[tuple[str, bool]]:
    """Yield each word, and whether it is an override of the config."""
    is_value = False
    for word in words:
        override = not is_value and not word.startswith("-") and ("=" in word or word.startswith("~"))
        yield word, override
        is_value = word in WITH_VALUE
