"""The command of a server: its fields, and the words of models without an adapter."""

from __future__ import annotations

from typing import Any

import pytest

from mmdpo.models.server_command import command_problems, command_words, served_name

LORA = "vllm serve {model} --enable-lora --lora-modules {point}={adapter} --port {port}"
VALUES: dict[str, Any] = {"model": "/m", "point": "p", "port": "80", "adapter": None}


@pytest.mark.parametrize(
    ("command", "given", "words", "name"),
    [
        (LORA, {"adapter": "/a"}, "vllm serve /m --enable-lora --lora-modules p=/a --port 80", "p"),
        (LORA, {}, "vllm serve /m --enable-lora --port 80", "/m"),
        ("s {model} --lora={point}={adapter} {port}", {}, "s /m 80", "/m"),
        ("s {model} -n {point} --lora x=y z={adapter} {port}", {}, "s /m -n p --lora x=y 80", "p"),
        ("s {model} -v --lora {adapter} {port}", {}, "s /m -v 80", "/m"),
        ("""s {model} --limit '{"image":2}' {port}""", {}, 's /m --limit {"image":2} 80', "/m"),
    ],
)  # fmt: skip
def test_words_without_a_value_are_left_out_with_their_option(
    command: str, given: dict[str, str], words: str, name: str
) -> None:
    assert [*command_problems("k", command)] == []
    assert command_words(command, {**VALUES, **given}) == words.split()
    assert served_name(command, {**VALUES, **given}) == name


@pytest.mark.parametrize(
    ("command", "problem"),
    [
        (None, "k is missing"),
        (" ", "k is missing"),
        ("s {model}", "{port}"),
        ("s --port {port}", "{model}"),
        ("s {model} {port} {prot}", "{prot} is unknown"),
        ("s {model} {port} 'open", "cannot be split"),
    ],
)
def test_a_wrong_command_is_described(command: str | None, problem: str) -> None:
    (found,) = command_problems("k", command)
    assert problem in found
