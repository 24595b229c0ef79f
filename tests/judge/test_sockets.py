"""Judges and rubrics of one's own: one file or one YAML each, named by `judge.client` and `judge.rubric`."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

import mmdpo.clients
import mmdpo.judge.rubrics
from mmdpo.config.schema import JudgeConfig
from mmdpo.entry.checks import check
from mmdpo.entry.compose import compose_config
from mmdpo.errors import UserError
from mmdpo.judge.judges import journal_of
from mmdpo.judge.stage import write_annotations
from mmdpo.records import Annotation, read_records
from mmdpo.training_data.rated import rated
from tests.judge.scripted import items

RUBRIC = """
from mmdpo.judge.rubric import Rubric

RUBRIC = Rubric(
    name="clear",
    attributes=("clarity", "length"),
    scale=(1, 10),
    aggregate=("clarity",),
    instructions="Rate clarity and length from 1 to 10.",
    task="Reply with JSON, one entry for each of %s.",
    reminder="That was no JSON (%s).",
)
"""
CLIENT = """
import json

from mmdpo.clients.answers import Answer
from mmdpo.clients.request import Request


class MyClient:
    def ask(self, request: Request) -> Answer:
        labels = request.schema["properties"]["ratings"]["items"]["properties"]["label"]["enum"]
        rows = [{"label": label, "clarity": 10 - index, "length": 1} for index, label in enumerate(labels)]
        return Answer(json.dumps({"ratings": rows}), tokens_in=10, tokens_out=5)


def make_client(judge):
    assert judge.model == "my-model"
    return MyClient()
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    def add(package: ModuleType, name: str, content: str) -> None:
        place = tmp_path / package.__name__
        place.mkdir()
        (place / name).write_text(content)
        monkeypatch.setattr(package, "__path__", [*package.__path__, str(place)])

    add(mmdpo.judge.rubrics, "clear.py", RUBRIC)
    add(mmdpo.clients, "my_service.py", CLIENT)
    monkeypatch.setenv("MMDPO_CACHE", str(tmp_path / "cache"))
    return tmp_path


def mine(**changes: Any) -> JudgeConfig:
    return JudgeConfig("mine", "my_service", "my-model", rubric="clear", **changes)


def test_a_client_and_a_rubric_are_one_file_each(folder: Path) -> None:
    judge = mine()
    assert journal_of(judge) == folder / "cache" / "journals" / "my_service.sqlite"
    counts = write_annotations(folder / "out", lambda: items(3), 3, folder, judge)
    assert counts == {"scored": 3, "unscored": {}, "read_by": {"schema": 3}}
    annotations = list(read_records(folder / "out" / "annotations.jsonl", Annotation))
    for one in annotations:
        assert sorted(rating["clarity"] for rating in one.ratings) == [7, 8, 9, 10]
    prompts, completions = [prompt for prompt, _ in items(3)], [one for _, given in items(3) for one in given]
    scores = [sorted(item.aggregate_scores(["clarity"])) for item in rated(prompts, completions, annotations)]
    assert scores == [[7, 8, 9, 10]] * 3


def test_the_config_takes_them_and_asks_the_rubric_for_its_attributes(folder: Path) -> None:
    judge = ["judge=openai", "judge.client=my_service", "judge.model=my-model", "judge.rubric=clear"]
    check(compose_config(judge))
    check(compose_config([*judge, "pairs.aggregate=[clarity,length]"]))
    with pytest.raises(UserError, match=r"pairs\.aggregate: helpfulness is unknown.*clarity, length"):
        check(compose_config([*judge, "pairs.aggregate=[helpfulness]"]))
    with pytest.raises(UserError, match=r"method\.attributes.*judge\.rubric=clear needs exactly clarity, length"):
        check(compose_config([*judge, "method=steerlm"]))
    config = compose_config([*judge, "model.attribute_template='{question} {attributes}'"])
    steerlm = compose_config(["method=steerlm"])
    config.method, config.lr, config.beta, config.logprob_avg = steerlm.method, steerlm.lr, None, None
    config.method.attributes = {"clarity": 10, "length": 1}
    check(config)
    config.method.attributes["clarity"] = 11
    with pytest.raises(UserError, match=r"method\.attributes\.clarity=11: must be at least 1 and at most 10"):
        check(config)


def test_unknown_names_are_refused_with_the_choices(folder: Path) -> None:
    with pytest.raises(UserError, match=r"judge\.client=gemini9: .*gemini.*my_service.*openai.*oracle"):
        check(compose_config(["judge=gemini", "judge.client=gemini9"]))
    with pytest.raises(UserError, match=r"judge\.rubric=none: .*clear, helpsteer_1"):
        check(compose_config(["judge=gemini", "judge.rubric=none"]))
    with pytest.raises(UserError, match=r"judge\.rubric=clear: judge=oracle rates by helpsteer_1 only"):
        check(compose_config(["judge.rubric=clear"]))
