"""The command that starts a server, such as `vllm serve {model} --port {port}`: its check and its words.

Imports no torch: commands are checked before anything is loaded.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Mapping

FIELD = re.compile(r"\{([A-Za-z_]\w*)\}")
FIELDS = {
    "model": "the folder or hub id of the model",
    "point": "the name under which the model is asked for",
    "adapter": "the folder of the adapter",
    "port": "a free port",
}
"""The names that are replaced."""
NEEDED = ("model", "port")


def command_problems(key: str, command: str | None) -> Iterator[str]:
    """Describe what is wrong with the command of a server.

    Args:
        key: The setting, `bench.server.command` or `generator.command`.
        command: Its value.

    Yields:
        One message per problem, with what to type.
    """
    example = f"{key}='vllm serve {{model}} --port {{port}}'"
    if not command or not command.strip():
        yield f"{key} is missing: type the command that starts the server, as in {example}"
        return
    try:
        words = shlex.split(command)
    except ValueError as error:
        yield f"{key}={command}: cannot be split into words ({error}); type it as in {example}"
        return
    found = {name for word in words for name in FIELD.findall(word)}
    if unknown := sorted(found - {*FIELDS}):
        allowed = ", ".join(f"{{{name}}}" for name in FIELDS)
        yield f"{key}: {{{unknown[0]}}} is unknown; allowed are {allowed}"
    for name in NEEDED:
        if name not in found:
            yield f"{key}={command}: has no {{{name}}}, {FIELDS[name]}; type it as in {example}"


def has_field(command: str, name: str) -> bool:
    """Return whether a command has a field of this name."""
    return name in FIELD.findall(command)


def command_words(command: str, values: Mapping[str, str | None]) -> list[str]:
    """Return the words of a command with values in place of its fields.

    A word with a field whose value is None is left out, and so is the option before it.

    Args:
        command: The command, without problems.
        values: The value of each of `FIELDS`.
    """
    words: list[str] = []
    options: list[bool] = []  # whether each word is an option that may take the next word
    for word in shlex.split(command):
        if any(values[name] is None for name in FIELD.findall(word)):
            if not word.startswith("-") and options and options[-1]:
                words.pop()
                options.pop()
            continue
        words.append(FIELD.sub(lambda field: str(values[field[1]]), word))
        options.append(word.startswith("-") and "=" not in word)
    return words


def served_name(command: str, values: Mapping[str, str | None]) -> str:
    """Return the name under which the server lists the model: the point's where the command gives it, else {model}."""
    given = command_words(command, {**values, "point": "\0"})
    return str(values["point"] if any("\0" in word for word in given) else values["model"])
