"""Plans that are refused, with the override that mends them."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import replace

import pytest

from mmdpo.config.choices import SearchKind, Split, Stage
from mmdpo.config.plan_settings import PlanConfig
from mmdpo.entry.compose import compose_config
from mmdpo.entry.plan_checks import check_plans, plan_problems
from mmdpo.errors import UserError

CONFIG = compose_config([])
PLAN = PlanConfig(hypothesis="DPO helps", primary="text", seeds=[0, 1])


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({}, ""),
        ({"compared": {"method": "dpo", "beta": 0.1}, "against": {"method": "sft"}}, ""),
        ({"primary": None}, "plan.primary=text"),
        ({"primary": "pope"}, "plan.primary"),
        ({"hypothesis": " "}, "plan.hypothesis"),
        ({"seeds": [1, 1]}, "plan.seeds"),
        ({"compared": {"betta": 0.1}}, "beta"),
        ({"compared": {"beta": [0.1, 0.2]}}, "plan.compared={beta:VALUE}"),
        ({"against": {"seed": 1}}, "plan.against"),
    ],
)
def test_a_plan_is_checked_by_itself(change: dict[str, object], named: str) -> None:
    problems = [*plan_problems(replace(CONFIG, plan=replace(PLAN, **change)))]
    assert [named in problem for problem in problems] == ([True] if named else [])


def test_the_seeds_are_those_that_are_swept() -> None:
    configs = [replace(CONFIG, plan=PLAN, seed=seed) for seed in (0, 1)]
    base = replace(configs[0], data_scale=0.0, seed=7)
    check_plans([*configs, base], Stage.experiment, searching=False)
    check_plans(configs[:1], Stage.judge, searching=False)
    with pytest.raises(UserError, match="seed=0,1"):
        check_plans(configs[:1], Stage.experiment, searching=False)
    with pytest.raises(UserError, match="one plan"):
        check_plans([configs[0], replace(configs[1], plan=PlanConfig())], Stage.experiment, searching=False)


@pytest.mark.parametrize(
    ("bench", "planned", "refused"), [("test", None, True), ("dev", "dev", True), ("dev", "test", False)]
)
def test_a_search_does_not_select_on_the_split_of_the_plan(bench: str, planned: str | None, refused: bool) -> None:
    config = CONFIG
    plan = replace(PLAN, seeds=[], split=None if planned is None else Split(planned))
    config = replace(config, plan=plan, bench=replace(config.bench, split=Split(bench)))
    check_plans([config], Stage.experiment, searching=False)
    if refused:
        with pytest.raises(UserError, match=r"plan\.split"):
            check_plans([config], Stage.experiment, searching=True)
    else:
        check_plans([config], Stage.experiment, searching=True)


@pytest.mark.parametrize(
    ("bench", "planned", "refused"), [("dev", None, True), ("test", "dev", True), ("dev", "test", False)]
)
def test_halving_selects_on_dev(bench: str, planned: str | None, refused: bool) -> None:
    plan = replace(PLAN, seeds=[], split=None if planned is None else Split(planned))
    config = replace(CONFIG, plan=plan, bench=replace(CONFIG.bench, split=Split(bench)))
    halved = replace(config, search=replace(config.search, kind=SearchKind.halving))
    with pytest.raises(UserError, match=r"plan\.split=dev") if refused else nullcontext():
        check_plans([halved], Stage.experiment, searching=False)


def test_a_plan_is_typed_and_an_unknown_key_is_refused() -> None:
    words = ["plan.primary=text", "plan.hypothesis=it helps", "plan.compared={method:dpo,beta:0.1}", "plan.seeds=[0]"]
    assert compose_config(words).plan.compared == {"method": "dpo", "beta": 0.1}
    with pytest.raises(UserError, match=r"plan\.primary"):
        compose_config(["plan.primry=text"])
