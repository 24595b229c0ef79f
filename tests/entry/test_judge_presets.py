"""The files of conf/judge: what the services would refuse, cut or charge without being asked."""

from __future__ import annotations

from datetime import date
from typing import Any

import pytest

from mmdpo.clients.openai import REASONING_ROOM
from mmdpo.config.choices import CLIENTS
from mmdpo.config.schema import options
from mmdpo.entry.checks import check
from mmdpo.entry.compose import compose_config
from mmdpo.errors import UserError

OWN_MODEL = ("openai", "vllm")
REASONING = ("gpt_6_1_sol", "gpt_6_1_terra")


def composed(name: str) -> Any:
    more = ["judge.model=m"] if name in OWN_MODEL else []
    config = compose_config([f"judge={name}", *more])
    check(config)
    return config.judge


@pytest.mark.parametrize("name", options("judge"))
def test_a_paid_preset_has_prices_and_their_date(name: str) -> None:
    judge = composed(name)
    if judge.client in CLIENTS.names() and name not in OWN_MODEL:
        assert 0 < judge.price.input < judge.price.output
        assert judge.price.batch == 0.5
        assert date.fromisoformat(f"{judge.price.of}-01") > date(2025, 1, 1)
    if judge.reasoning_effort is not None:
        assert judge.reasoning_effort in REASONING_ROOM
    assert (judge.temperature is None) == (name in REASONING)  # these models refuse a temperature


@pytest.mark.parametrize("name", ["gpt_4o", "gpt_4_1"])
def test_a_model_that_ends_has_the_day_of_its_shutdown(name: str) -> None:
    assert composed(name).shutdown == "2027-01-14"


def test_a_judge_of_ones_own_needs_no_key_and_costs_nothing() -> None:
    judge = composed("vllm")
    assert judge.base_url is not None
    assert judge.price.input == judge.price.output == 0


def test_the_benchmarks_take_the_presets_too() -> None:
    config = compose_config(["bench=nano", "bench.judge=gpt_6_1_sol"])
    assert (config.bench.judge.model, config.bench.judge.reasoning_effort) == ("gpt-6.1-sol", "low")
    assert config.judge.name == "oracle"


def test_jobs_of_openai_send_extra_fields() -> None:
    words = ["+judge.extra_body.service_tier=flex", "judge.batch=true"]
    check(compose_config(["judge=gpt_4o", *words]))
    with pytest.raises(UserError, match=r"judge\.batch=false"):
        check(compose_config(["judge=gemini", *words]))
