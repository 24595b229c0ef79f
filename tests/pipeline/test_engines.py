"""The engine of a point: what a server is started with, and the names that it is asked by."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psutil
import pytest

from mmdpo.config.choices import Stage
from mmdpo.config.schema import Config
from mmdpo.entry.compose import compose_config
from mmdpo.evaluation.task import Response
from mmdpo.files import read_json, write_json
from mmdpo.models.fingerprints import adapter_fingerprint
from mmdpo.pipeline import engines
from mmdpo.pipeline.evaluating import adapter_of, answer_tasks
from mmdpo.points.identity import Role
from mmdpo.points.point import Point, baselines, before_visual_tuning, point
from mmdpo.records import read_records
from mmdpo.sweep.local import run_stage
from mmdpo.testing.fake_openai import fake_openai
from tests.support.adapters import write_adapter
from tests.support.tiny import save_tiny_causal

LORA = "serve {model} --lora-modules {point}={adapter} --port {port}"
Compose = Callable[..., Config]


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Compose:
    monkeypatch.setenv("MMDPO_CACHE", str(tmp_path / "cache"))
    line = ["bench.items=4", "bench.resamples=20", "tracking=none", f"out={tmp_path}", "bench.tasks=[text]"]
    return lambda *more: compose_config([*line, *more])


@pytest.fixture
def values(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Return what the next server is started with."""
    found: dict[str, Any] = {}

    def start(key: str, settings: Any, given: dict[str, Any], log: Path) -> Any:
        found.update(given, log=log)
        return SimpleNamespace(base_url="http://127.0.0.1:9/v1"), "name"

    monkeypatch.setattr("mmdpo.models.server_process.start_server", start)
    return found


def trained(config: Config, **adapter: Any) -> Point:
    p = point(config)
    write_adapter(p.folder / "adapter")
    (p.folder / "adapter" / "adapter_config.json").write_text(json.dumps({"peft_type": "LORA", **adapter}))
    write_json(p.folder / "training.json", {"seconds": 1.0})
    return p


def exports(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    found: list[Path] = []

    def export(model: Any, adapter: Path, folder: Path) -> None:
        found.append(adapter)
        folder.mkdir(exist_ok=True)
        write_json(folder / "config.json", {})

    monkeypatch.setattr("mmdpo.training.export.export_model", export)
    return found


def test_an_adapter_is_served_beside_its_base(config: Compose, values: dict[str, Any]) -> None:
    p = trained(config("bench.engine=server", f"bench.server.command={LORA}"))
    engines.engine_of(p)
    assert values["adapter"] == str(p.folder / "adapter")
    assert values["model"].endswith("nano/weights/llava")
    assert values["log"] == p.folder / "logs" / "server.log"
    base = baselines(p.config)[0]
    engines.engine_of(base)
    assert (values["point"], values["adapter"]) == (base.name, None)


def test_the_start_of_the_trainings_is_its_base_with_its_adapter(
    config: Compose, values: dict[str, Any], tmp_path: Path
) -> None:
    adapter = trained(config()).folder / "adapter"
    asked = config("bench.engine=server", f"bench.server.command={LORA}", f"model.adapter={adapter}")
    start = baselines(asked)[-1]
    assert start.role is Role.start
    engines.engine_of(start)
    assert (values["point"], values["adapter"]) == (start.name, str(adapter))
    assert adapter_of(start) == adapter_fingerprint(adapter)


@pytest.mark.parametrize(
    ("command", "adapter"),
    [(LORA, {"modules_to_save": ["multi_modal_projector"]}), ("serve {model} --port {port}", {})],
)
def test_what_a_server_cannot_load_as_lora_is_merged_once(
    command: str, adapter: Any, config: Compose, values: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    exported = exports(monkeypatch)
    p = trained(config("bench.engine=server", f"bench.server.command={command}"), **adapter)
    for _ in range(2):
        engines.engine_of(p)
        assert (values["model"], values["adapter"]) == (str(p.folder / "merged"), None)
    assert exported == [p.folder / "adapter"]
    write_adapter(p.folder / "adapter", "another")
    (p.folder / "adapter" / "adapter_config.json").write_text(json.dumps({"peft_type": "LORA", **adapter}))
    engines.engine_of(p)
    assert len(exported) == 2


def test_a_text_only_model_is_measured_on_the_tasks_without_images(config: Compose, tmp_path: Path) -> None:
    path = save_tiny_causal(tmp_path / "causal")
    line = ["bench.tasks=[text,visual,presence]", f"model.before_visual_tuning={path}", "model.chat_template=vicuna_v1"]
    asked = config(*line, "bench.max_new_tokens=5")
    before = before_visual_tuning(asked)
    assert before is not None
    assert before.config.bench.tasks == ["text"]
    assert engines.is_text_only(before)
    assert before_visual_tuning(config(*line[1:], "bench.tasks=[visual]", "objective=visual")) is None
    answer_tasks(before)
    found = list(read_records(before.folder / "answers" / "text.jsonl", Response))
    assert len(found) == 4
    assert "engine" not in read_json(before.folder / "answers" / "text.json")


def test_each_point_is_asked_by_its_name_at_a_server_that_runs(config: Compose) -> None:
    with fake_openai() as server:
        line = ["bench.engine=openai", f"bench.server.base_url={server.url}", "bench.server.model='x-{point}'"]
        p = point(config(*line, "data_scale=0"))
        server.served = (f"x-{p.name}",)
        (outcome,) = run_stage([p.config], Stage.evaluate)
        assert outcome.error is None
        assert server.complaints == []
    assert read_json(p.folder / "answers" / "text.json")["engine"] == "openai"


def test_a_job_starts_its_server_and_stops_it(config: Compose, tmp_path: Path) -> None:
    child = tmp_path / "child"
    command = f"{sys.executable} -m mmdpo.testing.fake_openai --served-model-name {{model}} --port {{port}}"
    p = point(config("bench.engine=server", f"bench.server.command={command} --child {child}", "data_scale=0"))
    engine = engines.engine_of(p)
    assert psutil.pid_exists(int(child.read_text()))
    engine.close()  # type: ignore[attr-defined]
    assert not psutil.pid_exists(int(child.read_text()))
