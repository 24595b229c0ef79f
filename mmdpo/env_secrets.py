"""Secrets of the environment: they are written nowhere, neither to a file nor to W&B."""

from __future__ import annotations

import dataclasses
import os
import re
from collections.abc import Iterable, Iterator
from typing import Any

from mmdpo.errors import UserError

NAMES = re.compile("KEY|TOKEN|SECRET|PASSW|PASSPHRASE|CREDENTIAL")
"""Parts of the names of variables that hold a secret."""
LEAST = 8  # characters of a secret
WORD = re.compile("[a-z]{1,10}")


def secrets(names: Iterable[str] = ()) -> dict[str, str]:
    """Return the secrets of the environment by variable: those with a name like a secret's, and `names`."""
    wanted = set(names)
    values = {name: os.environ[name].strip() for name in os.environ if name in wanted or NAMES.search(name.upper())}
    return {name: value for name, value in values.items() if len(value) >= LEAST and not _is_harmless(value)}


def redacted(value: Any) -> Any:
    """Replace every secret of the environment in a value by the name of its variable."""
    if isinstance(value, str):
        for name, secret in secrets().items():
            value = value.replace(secret, f"${name}")
        return value
    if isinstance(value, dict):
        return {key: redacted(item) for key, item in value.items()}
    return [redacted(item) for item in value] if isinstance(value, list | tuple) else value


def refuse_secrets(values: Iterable[tuple[str, str]], names: Iterable[str] = ()) -> None:
    """Raise UserError if a text that is going to be written holds a secret of the environment.

    Args:
        values: Keys and texts.
        names: Further variables that hold a secret.
    """
    known = secrets(names)
    if not known:
        return
    found = dict.fromkeys((key, name) for key, text in values for name, secret in known.items() if secret in text)
    if found:
        raise UserError(
            "\n".join(
                f"{key}: holds the value of the environment variable {name}, which would be written to files and W&B. "
                f"Give {key} a value without it: what needs the secret reads it from the environment. If it is no "
                f"secret, rename the variable, or unset it: env -u {name} python launch.py ..."
                for key, name in found
            )
        )


def refuse_secret_words(words: Iterable[str]) -> None:
    """Raise UserError if a word of a command holds a secret: commands are written to files."""
    refuse_secrets((word.partition("=")[0].lstrip("+~") if "=" in word else "the command", word) for word in words)


def texts(value: Any, key: str = "") -> Iterator[tuple[str, str]]:
    """Yield the texts in a config, or in a part of it, with their dotted keys."""
    if isinstance(value, str):
        yield key, value
    elif dataclasses.is_dataclass(value):
        for field in dataclasses.fields(value):
            yield from texts(getattr(value, field.name), f"{key}.{field.name}".lstrip("."))
    elif isinstance(value, dict):
        for name, item in value.items():
            yield key, str(name)
            yield from texts(item, f"{key}.{name}")
    elif isinstance(value, list | tuple):
        for item in value:
            yield from texts(item, key)


def _is_harmless(value: str) -> bool:
    """Return whether a value is no secret: a path, as of a file that holds it, or a short word such as `rehearsal`."""
    return WORD.fullmatch(value) is not None or value.startswith(("/", "~", "./", "../")) or os.path.exists(value)
