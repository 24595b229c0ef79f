"""Sources of prompts that a command line adds: `+data.sources.NAME.KEY=VALUE`."""

from __future__ import annotations

import re
from collections.abc import Sequence

KEY_OF_SOURCE = re.compile(r"(\+{0,2})(data\.sources\.(\w+)\.\w+=.*)", re.DOTALL)
EMPTY_SOURCES = re.compile(r"\+data\.sources=\{\w+:\{\}(,\w+:\{\})*\}")
NEW_SOURCE = re.compile(r"\+{1,2}data\.sources\.(\w+)=(\{.*\})", re.DOTALL)


def with_new_sources(words: Sequence[str]) -> list[str]:
    """Return the words of a command in a form in which Hydra can add sources.

    Hydra cannot add a key to a source that does not exist. So a source without keys is added before the first key of
    each source that has a key with a `+`. Sources of the preset keep their other keys.
    """
    words = [NEW_SOURCE.sub(r"+data.sources={\1:\2}", word) for word in words]
    found = {index: match for index, word in enumerate(words) if (match := KEY_OF_SOURCE.fullmatch(word))}
    names = added_sources(words)
    keys = {index: f"++{match[2]}" for index, match in found.items() if match[3] in names}  # some have defaults by then
    if not keys:
        return words
    empty = f"+data.sources={{{','.join(f'{name}:{{}}' for name in names)}}}"
    first = min(keys)
    return [*words[:first], empty, *(keys.get(index, word) for index, word in enumerate(words[first:], first))]


def without_empty_sources(words: Sequence[str]) -> list[str]:
    """Return the words of `with_new_sources` as a user types them."""
    kept = [word for word in words if not EMPTY_SOURCES.fullmatch(word)]
    return [word[1:] if word.startswith("++") and KEY_OF_SOURCE.fullmatch(word) else word for word in kept]


def added_sources(words: Sequence[str]) -> list[str]:
    """Return the names of the sources that have a key with a `+` in a command, each once."""
    found = map(KEY_OF_SOURCE.fullmatch, words)
    return [*dict.fromkeys(match[3] for match in found if match and match[1])]
