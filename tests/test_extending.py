"""The examples of docs/extending.md, extracted from the page and used as its reader would use them."""

from __future__ import annotations

import dataclasses
import importlib
import json
import math
import sys
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

import mmdpo.config.keys
from mmdpo.analysis import figures
from mmdpo.analysis.study import read_study
from mmdpo.clients.answers import ParseFailure
from mmdpo.clients.journal import Journal
from mmdpo.config import schema
from mmdpo.config.schema import BenchConfig, Config, LimitsConfig, TrainConfig
from mmdpo.entry.compose import compose_config
from mmdpo.errors import UserError
from mmdpo.evaluation.answers import write_answers
from mmdpo.evaluation.judgments import bench_judge, write_judgments
from mmdpo.evaluation.samples import sample_sets
from mmdpo.evaluation.task import load_task
from mmdpo.judge.annotate import annotate
from mmdpo.judge.judges import client_of, journal_of
from mmdpo.judge.rubric import load_rubric
from mmdpo.pipeline.training_sets import training_set
from mmdpo.points.identity import Role, identity
from mmdpo.records import Annotation, Prompt, Unscored
from mmdpo.sources.doctor import examine
from mmdpo.testing.fake_openai import fake_openai
from mmdpo.training.custom_loss import CustomLoss
from mmdpo.training.run import train_adapter
from mmdpo.training.settings import TrainingSettings
from tests.judge.scripted import items
from tests.sources.files import as_lines
from tests.support.docs import add_module, examples, write_presets
from tests.support.engines import ENGINE
from tests.support.program import launch
from tests.support.studies import make_study
from tests.support.tiny import save_tiny_llava, tiny_pairs

SETTING = "mmdpo/config/schema.py, in class TrainConfig"
USED = {
    "DIR/method/apo_down.yaml",
    "mmdpo/training/losses/dpop.py",
    "DIR/method/dpop.yaml",
    "mmdpo/evaluation/tasks/trivia.py",
    "DIR/bench/trivia.yaml",
    "mmdpo/sources/ranked.py",
    "DIR/judge/house.yaml",
    "DIR/generator/served.yaml",
    "mmdpo/clients/acme.py",
    "DIR/judge/acme.yaml",
    "mmdpo/judge/rubrics/plain.py",
    "DIR/model/next.yaml",
    "mmdpo/analysis/figures/seconds.py",
    SETTING,
    "DIR/sweep/betas.yaml",
}
"""The examples that the tests below use."""


@pytest.fixture
def own(tmp_path: Path) -> Path:
    """A config directory with the presets of the page."""
    return write_presets(tmp_path / "own")


def add(place: str, folder: Path, patch: pytest.MonkeyPatch) -> None:
    assert place in USED
    add_module(place, folder, patch)


def test_every_example_is_used_here() -> None:
    assert set(examples()) == USED


def steps(config: Config, folder: Path) -> list[dict[str, float]]:
    """Train two steps of a config on the tiny model; returns what was logged."""
    logged: list[dict[str, float]] = []
    settings = TrainingSettings(
        method=config.method,
        model=dataclasses.replace(config.model, path=str(save_tiny_llava(folder / "model"))),
        train=dataclasses.replace(config.train, num_train_epochs=1.0, per_device_train_batch_size=2, warmup_ratio=0.0),
        lr=1e-2,
        beta=config.beta,
        logprob_avg=config.logprob_avg,
    )
    pairs = tiny_pairs(folder / "images", count=4)
    train_adapter(
        settings, pairs, folder / "images", folder / "run", lambda step, _: logged.append(step), lambda _: None
    )
    assert (folder / "run" / "adapter" / "adapter_model.safetensors").is_file()
    return logged


def test_a_method_with_a_loss_of_trl(own: Path, tmp_path: Path) -> None:
    config = compose_config(["method=apo_down"], own)
    assert (config.method.loss_type, config.beta, config.lr) == ("apo_down", 0.1, 5e-5)
    with pytest.raises(UserError, match="method=apo_down does not use label_noise"):
        compose_config(["method=apo_down", "label_noise=0.5"], own)


def test_a_method_with_a_new_loss(own: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UserError, match=r"method.loss_type=dpop: unknown; allowed are sigmoid"):
        compose_config(["method=dpop"], own)
    add("mmdpo/training/losses/dpop.py", tmp_path, monkeypatch)
    config = compose_config(["method=dpop", "model=next"], own)
    others = dict.fromkeys(("label_smoothing", "chosen_logps", "rejected_logps", "chosen_tokens", "rejected_tokens"))
    found = CustomLoss("dpop")(torch.tensor([-1.0, 1.0]), torch.tensor([-2.0, 0.0]), beta=0.1, **others)
    # margins -1 + 2 - 50 * 1 = -49, and 1 - 0 without a penalty
    expected = (math.log(1 + math.exp(4.9)) + math.log(1 + math.exp(-0.1))) / 2
    assert float(found) == pytest.approx(expected, rel=1e-6)
    first, second = [step for step in steps(config, tmp_path) if "loss" in step]
    assert first["loss"] == pytest.approx(math.log(2), abs=1e-5)  # the adapter starts as the reference
    assert second["loss"] != pytest.approx(first["loss"], abs=1e-4)


def test_a_benchmark(own: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    add("mmdpo/evaluation/tasks/trivia.py", tmp_path, monkeypatch)
    monkeypatch.setenv("MMDPO_DATA", str(tmp_path))
    rows = [{"question": f"What is {n} + 1?", "answer": str(n + 1)} for n in range(4)]
    as_lines(tmp_path / "trivia.jsonl", rows)
    config = compose_config(["bench=trivia", "objective=trivia"], own)
    before = identity(config, Role.base).hex
    bench = dataclasses.replace(config.bench, tasks=["trivia"])
    monkeypatch.setattr(ENGINE, "reply", lambda prompt: "3.")
    try:
        sets = sample_sets(bench, {}, "")
        write_answers(sets, ENGINE, {}, bench, tmp_path)
        scores = write_judgments(sets, bench_judge(BenchConfig().judge), {}, bench, tmp_path).scores
        assert (scores["trivia"].value, scores["trivia"].n) == (0.25, 4)
        as_lines(tmp_path / "trivia.jsonl", rows[1:])
        assert identity(config, Role.base).hex != before
    finally:
        load_task.cache_clear()


def test_a_data_format(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    add("mmdpo/sources/ranked.py", tmp_path, monkeypatch)
    rows = [
        {"id": "a", "question": "What?", "answers": ["A cup.", "A mug.", "A dog."]},
        {"id": "b", "question": "Who?", "answers": ["Nobody."]},
    ]
    path = as_lines(tmp_path / "ranked.jsonl", rows)
    config = compose_config(["data=pairs", "data.format=ranked", f"data.path={path}", "data.on_bad_row=drop"])
    (pair,) = training_set(config).examples
    assert (pair.id, pair.question, pair.chosen, pair.rejected) == ("a", "What?", "A cup.", "A dog.")  # type: ignore[union-attr]
    (finding,) = examine(config.data)
    assert (finding.format, finding.kept) == ("ranked", 1)
    with pytest.raises(UserError, match="field 'answers': too few"):
        training_set(compose_config(["data=pairs", "data.format=ranked", f"data.path={path}"]))


def test_a_judge_and_a_sampler_behind_a_compatible_server(own: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv("HOUSE_KEY", "secret")
    config = compose_config(["judge=house", "generator=served"], own)
    generator = config.generator
    assert (generator.name, generator.sampler, generator.base_url) == ("served", "openai", "http://gpu2:8000/v1")
    assert (config.judge.name, config.judge.limits.concurrency) == ("house", 32)
    with fake_openai() as server:
        judge = dataclasses.replace(config.judge, base_url=server.url)
        found = list(annotate(lambda: items(2), 2, own, judge, client_of(judge), Journal(None)))
        assert server.complaints == []
        assert len(server.answered) == 2
    assert [(type(one), one.judge) for one in found] == [(Annotation, "openai")] * 2  # type: ignore[union-attr]


class Busy(Exception):
    seconds = 0.0


class Refused(Exception):
    pass


def test_a_judge_with_its_own_sdk(own: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The runner retries while the service is busy, and a refused prompt stays unscored."""
    calls: list[tuple[str, str]] = []

    class Service:
        def __init__(self, key: str) -> None:
            assert key == "secret"

        def complete(self, model: str, text: str, images: list[bytes], timeout: float) -> SimpleNamespace:
            calls.append((model, text))
            if len(calls) == 1:
                raise Busy
            if "picture 1" in text:
                raise Refused
            ratings = [dict.fromkeys(("label", *attributes), 3) | {"label": label} for label in "ABCD"]
            return SimpleNamespace(text=json.dumps({"ratings": ratings}), tokens_in=10, tokens_out=5)

    sdk = SimpleNamespace(Service=Service, Busy=Busy, Refused=Refused)
    monkeypatch.setitem(sys.modules, "acme_sdk", sdk)  # type: ignore[arg-type]
    monkeypatch.setenv("ACME_API_KEY", "secret")
    with pytest.raises(UserError, match=r"judge.client=acme: unknown; allowed are .*gemini.*openai.*oracle"):
        compose_config(["judge=acme"], own)
    add("mmdpo/clients/acme.py", tmp_path, monkeypatch)
    judge = compose_config(["judge=acme"], own).judge
    attributes = load_rubric(judge.rubric).attributes
    judge = dataclasses.replace(judge, limits=LimitsConfig(backoff_seconds=0.01))
    assert journal_of(judge) is not None
    rated, unscored = list(annotate(lambda: items(2), 2, tmp_path, judge, client_of(judge), Journal(None)))
    assert isinstance(rated, Annotation)
    assert rated.ratings[0] == dict.fromkeys(attributes, 3)
    assert isinstance(unscored, Unscored)
    assert unscored.reason == "refused"
    assert [model for model, _ in calls] == ["acme-large"] * 3


def test_a_rubric(own: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    add("mmdpo/judge/rubrics/plain.py", tmp_path, monkeypatch)
    config = compose_config(["judge=house", "judge.rubric=plain", "pairs.aggregate=[clarity,brevity]"], own)
    rubric = load_rubric(config.judge.rubric)
    text = rubric.prompt_text(Prompt("p", "Why?"), ["Because.", "So."])
    assert "Why?" in text
    assert "# Completion B\nSo." in text
    assert text.endswith("one entry for each of A, B.")
    reply = {"ratings": [{"label": "B", "clarity": 2, "brevity": 5}, {"label": "A", "clarity": 4, "brevity": 1}]}
    parsed = rubric.parse(json.dumps(reply), 2)
    assert not isinstance(parsed, ParseFailure)
    assert parsed.ratings == ({"clarity": 4, "brevity": 1}, {"clarity": 2, "brevity": 5})
    assert isinstance(rubric.parse(json.dumps(reply).replace("5", "6"), 2), ParseFailure)
    with pytest.raises(UserError, match=r"pairs.aggregate: helpfulness is unknown.*clarity, brevity"):
        compose_config(["judge=house", "judge.rubric=plain", "pairs.aggregate=[helpfulness]"], own)


def test_a_model(own: Path) -> None:
    config = compose_config(["model=next"], own)
    assert (config.study, config.model.lora.r, config.model.lora.lora_dropout, config.lr) == ("next", 64, 0.05, 1e-4)


def test_a_figure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    add("mmdpo/analysis/figures/seconds.py", tmp_path, monkeypatch)
    several = read_study(make_study(tmp_path / "several", [{"beta": 0.1}, {"beta": 0.2}], n=2))
    drawn = {one.path.name: one for one in figures.draw_figures(several, tmp_path / "figures")}
    assert drawn["seconds.png"].caption == "Seconds of each point."
    assert drawn["seconds.png"].path.read_bytes().startswith(b"\x89PNG")
    assert drawn["seconds.png"].path.with_suffix(".pdf").is_file()
    assert len(drawn) > 1
    assert [*drawn][-1] == "seconds.png"
    one = read_study(make_study(tmp_path / "one", [{}], n=2))
    assert not any(kind.caption("") == "Seconds of each point." for kind in figures.kinds(one))


def test_a_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    """The line of the page is added to the schema: it has a default and a range, and changes no identity."""
    before = identity(compose_config(), Role.trained).hex
    scope: dict[str, Any] = {**vars(schema), "dataclass": dataclass}
    exec(f"@dataclass\nclass TrainConfig(TrainConfig):\n    {examples()[SETTING]}", scope)
    train = scope["TrainConfig"]
    assert issubclass(train, TrainConfig)
    fields = [("train", train, dataclasses.field(default_factory=train))]
    longer = dataclasses.make_dataclass("Config", fields, bases=(Config,))
    monkeypatch.setattr(importlib.import_module("hydra_plugins.mmdpo.source"), "Config", longer)
    monkeypatch.setattr(mmdpo.config.keys, "Config", longer)
    assert compose_config().train.patience == 3  # type: ignore[attr-defined]
    assert identity(compose_config(), Role.trained).hex == before
    changed = compose_config(["train.patience=5"])
    assert changed.train.patience == 5  # type: ignore[attr-defined]
    assert identity(changed, Role.trained).hex != before
    with pytest.raises(UserError, match=r"train.patience=0: must be at least 1"):
        compose_config(["train.patience=0"])


def test_a_study(own: Path, tmp_path: Path) -> None:
    """The one test of this file that starts launch.py."""
    config = compose_config(["sweep=betas"], own)
    assert (config.study, config.train.num_train_epochs) == ("nano-betas", 2)
    done = launch("--config-dir", str(own), "sweep=betas", "method=dpo,apo_down", "dry_run=true", f"out={tmp_path}")
    assert done.returncode == 0, done.stderr
    for name in ("dpo-beta0.1-", "dpo-beta0.3-", "apo_down-beta0.1-", "apo_down-beta0.3-"):
        assert f"{tmp_path}/nano-betas/{name}" in done.stdout
