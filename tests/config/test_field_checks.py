"""Ranges and choices that stand beside the schema's fields."""

import dataclasses
import math
from dataclasses import dataclass, field
from typing import Annotated

import pytest
from annotated_types import Ge, Gt, Interval, Le, Lt

from mmdpo.config.choices import LOSSES, SCHEDULERS, loss_types
from mmdpo.config.field_checks import field_problems, rules
from mmdpo.config.markers import NO_RESULT, SEVERAL_LINES, OneOf
from mmdpo.config.schema import Config, TrainConfig


@dataclass
class Inner:
    """An entry of a dictionary."""

    count: Annotated[int | None, Ge(1)] = None


@dataclass
class Outer:
    """One field of each kind."""

    above: Annotated[float, Gt(0)] = 1.0
    below: Annotated[float, Lt(1)] = 0.0
    least: Annotated[int, Ge(2)] = 2
    most: Annotated[int, Le(4)] = 4
    share: Annotated[float, Interval(ge=0, lt=0.5), NO_RESULT] = 0.0
    free: float = 0.0
    maybe: Annotated[int | None, Ge(1)] = None
    name: Annotated[str, OneOf(("cosine", "linear"))] = "cosine"
    made: Annotated[str | None, OneOf(lambda: ("new",))] = None
    names: Annotated[list[str], OneOf(("a", "b"))] = field(default_factory=list)
    rates: Annotated[dict[str, float], Gt(0)] = field(default_factory=dict)
    text: str | None = None
    labels: dict[str, str] = field(default_factory=dict)
    script: Annotated[list[str], SEVERAL_LINES] = field(default_factory=list)
    inner: Inner = field(default_factory=Inner)
    inners: dict[str, Inner] = field(default_factory=dict)


@pytest.mark.parametrize(
    ("values", "problem"),
    [
        ({"above": 0.0}, "x.above=0.0: must be above 0"),
        ({"below": 1.0}, "x.below=1.0: must be below 1"),
        ({"least": 1}, "x.least=1: must be at least 2"),
        ({"most": 5}, "x.most=5: must be at most 4"),
        ({"share": 0.5}, "x.share=0.5: must be at least 0 and below 0.5"),
        ({"share": -0.1}, "x.share=-0.1: must be at least 0 and below 0.5"),
        ({"above": math.inf}, "x.above=inf: must be above 0"),
        ({"above": math.nan}, "x.above=nan: must be above 0"),
        ({"free": math.nan}, "x.free=nan: must be finite"),
        ({"most": 10**400}, f"x.most={10**400}: must be at most 4"),
        ({"maybe": 0}, "x.maybe=0: must be at least 1"),
        ({"name": "cosin"}, "x.name=cosin: unknown; allowed are cosine, linear; did you mean cosine?"),
        ({"name": "xyz"}, "x.name=xyz: unknown; allowed are cosine, linear"),
        ({"made": "old"}, "x.made=old: unknown; allowed are new"),
        ({"names": ["a", "zz"]}, "x.names=zz: unknown; allowed are a, b"),
        ({"rates": {"dpo": 1.0, "ipo": -1.0}}, "x.rates.ipo=-1.0: must be above 0"),
        ({"inner": Inner(0)}, "x.inner.count=0: must be at least 1"),
        ({"inners": {"one": Inner(1), "two": Inner(0)}}, "x.inners.two.count=0: must be at least 1"),
    ],
)
def test_a_value_outside_its_range_or_choices_is_named(values, problem):
    assert [*field_problems(Outer(**values), "x.")] == [problem]


@pytest.mark.parametrize(
    ("values", "key", "character"),
    [
        ({"text": "two\nlines"}, "x.text=", "\\n"),
        ({"text": "\x1b[31m"}, "x.text=", "\\x1b"),
        ({"text": "n\x85"}, "x.text=", "\\x85"),
        ({"text": "\udcff"}, "x.text=", "\\udcff"),  # a byte of the command line that is not UTF-8
        ({"labels": {"a": "1\r"}}, "x.labels.a=", "\\r"),
        ({"labels": {"a\t": "1"}}, "x.labels", "\\t"),
        ({"names": ["a\n"]}, "x.names=", "\\n"),
        ({"script": ["true\0"]}, "x.script=", "\\x00"),
    ],
)
def test_control_characters_are_refused_in_every_string(values, key, character):
    (problem,) = field_problems(Outer(**values), "x.")
    assert problem.startswith(key)
    assert character in problem
    assert problem.isprintable()


def test_values_at_their_limits_are_allowed():
    allowed = Outer(least=2, most=4, share=0.0, maybe=1, made="new", names=["a", "b"], rates={"dpo": 1e-9})
    allowed = dataclasses.replace(allowed, text="ü – 文 '\"%", script=["if true\nthen\ttrue; fi"])
    assert [*field_problems(allowed)] == []


def test_every_problem_is_named():
    assert len([*field_problems(Outer(above=0.0, least=0, names=["x", "y"]))]) == 4


def numbers(schema):
    """The dotted names of the numeric fields of a dataclass and of those in it, with their rules."""
    for rule in rules(schema):
        default = next(one for one in dataclasses.fields(schema) if one.name == rule.name)
        if dataclasses.is_dataclass(default.type) and isinstance(default.type, type):
            for name, inner in numbers(default.type):
                yield f"{rule.name}.{name}", inner
        elif "int" in str(default.type) or "float" in str(default.type):
            yield rule.name, rule


def test_every_number_of_the_schema_has_a_range():
    """Except the defaults of the axes, which are checked as axes, and ratings, whose range is the rubric's."""
    without = {name for name, rule in numbers(Config) if not rule.bounds and rule.choices is None}
    assert without == {"method.beta", "method.attributes"}


def test_a_class_with_another_field_is_checked_by_its_own_rules():
    more = dataclasses.make_dataclass(
        "More", [("patience", Annotated[int, Ge(1)], field(default=1))], bases=(TrainConfig,)
    )
    assert [*field_problems(more(name="x", patience=0), "train.")] == ["train.patience=0: must be at least 1"]


def test_schedulers_exist_in_transformers_and_need_no_argument():
    import torch
    from transformers import get_scheduler
    from transformers.trainer_utils import SchedulerType

    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
    for name in SCHEDULERS:
        get_scheduler(SchedulerType(name), optimizer, num_warmup_steps=1, num_training_steps=10)


def test_losses_are_those_of_trl():
    from trl import DPOConfig

    text = DPOConfig.__dataclass_fields__["loss_type"].metadata["help"]
    assert [name for name in LOSSES if f"`'{name}'`" not in text] == []
    assert text.count("`'") == len(LOSSES)


def test_a_file_of_training_losses_is_a_choice_of_the_loss(tmp_path, monkeypatch):
    import mmdpo.training.losses

    assert "mine" not in loss_types()
    (tmp_path / "mine.py").write_text("def loss(chosen_logratios, rejected_logratios, *, beta):\n    ...\n")
    monkeypatch.setattr(mmdpo.training.losses, "__path__", [*mmdpo.training.losses.__path__, str(tmp_path)])
    assert "mine" in loss_types()
    assert set(LOSSES) < set(loss_types())
