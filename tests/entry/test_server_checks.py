"""Settings of servers: what is missing or without effect is refused before anything starts."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from mmdpo.entry.compose import compose_config
from mmdpo.entry.server_checks import engine_problems
from mmdpo.errors import UserError

SERVE = "vllm serve {model} --enable-lora --lora-modules {point}={adapter} --port {port}"
OPENAI = ["bench.engine=openai", "bench.server.base_url=http://gpu:8000/v1"]


@pytest.mark.parametrize(
    ("overrides", "told"),
    [
        (["bench.engine=openai"], "bench.server.base_url=http"),
        (OPENAI, "bench.server.model={point}"),
        ([*OPENAI, "bench.server.model=llava"], "bench.server.model={point}"),
        (["bench.engine=server"], "bench.server.command is missing"),
        (["bench.engine=server", "bench.server.command=vllm serve {model} {pint} {port}"], "{pint} is unknown"),
        (["generator=server"], "generator.command is missing"),
    ],
)
def test_what_an_engine_needs_is_named(overrides: list[str], told: str) -> None:
    with pytest.raises(UserError) as raised:
        compose_config(overrides)
    assert told in str(raised.value)


@pytest.mark.parametrize(
    "overrides",
    [
        ["bench.engine=server", f"bench.server.command={SERVE}", "method=steerlm"],
        ["bench.engine=server", f"bench.server.command='{SERVE}'"],
        ["generator=server", f"generator.command={SERVE}"],
        [*OPENAI, "bench.server.model={point}"],
        [*OPENAI, "bench.server.model='lora-{point}'"],
        [*OPENAI, "bench.server.model=llava", "data_scale=0", "model.before_visual_tuning=null"],
    ],
)
def test_commands_are_taken_as_they_are_typed(overrides: list[str]) -> None:
    config = compose_config(overrides)
    assert [*engine_problems(config)] == []
    assert {config.bench.server.command, config.generator.command} <= {SERVE, None}


def test_a_quote_in_a_command_is_kept() -> None:
    command = """vllm serve {model} --limit-mm-per-prompt '{"image": 2}' --port {port}"""
    config = compose_config(["bench.engine=server", f"bench.server.command={command}"])
    assert config.bench.server.command == command


@pytest.mark.parametrize(
    ("adapter", "command", "told"),
    [({}, "serve {model} {port}", "{adapter}"), ({"modules_to_save": ["projector"]}, SERVE, "stage=export")],
)
def test_an_adapter_that_a_server_would_not_get_is_refused(
    adapter: dict[str, object], command: str, told: str, tmp_path: Path
) -> None:
    (tmp_path / "adapter_config.json").write_text(json.dumps({"peft_type": "LORA", **adapter}))
    with pytest.raises(UserError) as raised:
        compose_config(["generator=server", f"generator.command={command}", f"generator.adapter={tmp_path}"])
    assert told in str(raised.value)
