"""Models of a command: wrong ones are refused at once, and a dry run reads no more than the hub's metadata."""

from __future__ import annotations

import dataclasses
import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from mmdpo.config.choices import Runner, Stage
from mmdpo.config.schema import Config
from mmdpo.entry.compose import compose_config
from mmdpo.entry.model_checks import require_models
from mmdpo.errors import UserError
from mmdpo.models.fingerprints import hub_files
from tests.support.hub import Hub, local_hub
from tests.support.program import launch
from tests.support.tiny import save_tiny_causal, save_tiny_llava


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny_llava(tmp_path_factory.mktemp("tiny"))


def changed(tiny: Path, folder: Path, **config: str) -> Path:
    shutil.copytree(tiny, folder)
    content = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**content, **config}))
    return folder


@pytest.fixture
def hub(tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    mllama = changed(tiny, tmp_path / "mllama", model_type="mllama")
    paligemma = changed(tiny, tmp_path / "paligemma", model_type="paligemma")
    pickled = changed(tiny, tmp_path / "pickled")
    (pickled / "model.safetensors").rename(pickled / "pytorch_model.bin")
    adapter = tmp_path / "adapter"
    adapter.mkdir()
    (adapter / "adapter_config.json").write_text("{}")
    vicuna = save_tiny_causal(tmp_path / "vicuna")
    pickles = changed(vicuna, tmp_path / "vicuna-bin")
    (pickles / "model.safetensors").rename(pickles / "pytorch_model.bin")
    text = changed(vicuna, tmp_path / "mllama-text", model_type="mllama")
    models = {
        "vicuna": vicuna,
        "vicuna-bin": pickles,
        "mllama-text": text,
        "tiny": tiny,
        "mllama": mllama,
        "paligemma": paligemma,
        "pickled": pickled,
        "adapter": adapter,
    }
    monkeypatch.setenv("MMDPO_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    hub_files.cache_clear()
    with local_hub({f"owner/{name}": folder for name, folder in models.items()}) as hub:
        monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", hub.url)
        monkeypatch.setattr("huggingface_hub.constants.is_offline_mode", lambda: False)
        yield hub
    hub_files.cache_clear()


@pytest.fixture(scope="module")
def composed() -> Config:
    return compose_config(["model=auto", "model.path=owner/tiny"])


def point(config: Config, path: str, data_scale: float = 1.0) -> Config:
    model = dataclasses.replace(config.model, path=path)
    return dataclasses.replace(config, model=model, data_scale=data_scale)


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("owner/mllama", "cross-attention"),
        ("owner/paligemma", "later tokens"),
        ("owner/pickled", r"no weights in \*\.safetensors"),
        ("owner/adapter", r"generator\.adapter="),
        ("owner/absent", r"hf download owner/absent"),
    ],
)
def test_a_hub_model_is_refused_before_it_is_downloaded(hub: Hub, composed: Config, path: str, reason: str) -> None:
    with pytest.raises(UserError, match=rf"^model\.path={path}: .*{reason}"):
        require_models([point(composed, path)], Stage.experiment)
    of_models = [requested for requested in hub.requested if requested != "/api/agent-harnesses"]  # once a day
    assert of_models == [f"/api/models/{path}?blobs=true"]


def test_models_are_checked_for_what_the_stage_does_with_them(hub: Hub, composed: Config) -> None:
    require_models([point(composed, "owner/tiny")], Stage.experiment)
    require_models([point(composed, "owner/paligemma", data_scale=0)], Stage.experiment)
    require_models([point(composed, "owner/paligemma")], Stage.evaluate)
    require_models([point(composed, "owner/absent")], Stage.judge)
    before = dataclasses.replace(composed.model, before_visual_tuning="owner/mllama")
    with pytest.raises(UserError, match=r"^model\.before_visual_tuning=owner/mllama: "):
        require_models([dataclasses.replace(composed, model=before)], Stage.experiment)


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("owner/vicuna-bin", "pickles.*refs/pr"),
        ("owner/absent", "hf download owner/absent.*null"),
        ("owner/mllama-text", "cross-attention"),
    ],
)
def test_a_text_only_model_that_cannot_be_used_is_named_by_its_setting(
    hub: Hub, composed: Config, path: str, reason: str
) -> None:
    with pytest.raises(UserError, match=rf"^model\.before_visual_tuning={path}: .*{reason}"):
        require_models([with_before(composed, path)], Stage.experiment)
    require_models([with_before(composed, path)], Stage.evaluate)  # which does not measure it


def test_the_tasks_that_a_text_only_model_is_not_measured_on_are_told(
    hub: Hub, composed: Config, capsys: pytest.CaptureFixture[str]
) -> None:
    require_models([with_before(composed, "owner/vicuna")] * 2, Stage.experiment)
    assert capsys.readouterr().out.count("not measured on visual, presence, text_noisy") == 1
    bench = dataclasses.replace(composed.bench, tasks=["visual"])
    require_models([with_before(dataclasses.replace(composed, bench=bench), "owner/vicuna-bin")], Stage.experiment)


def with_before(config: Config, path: str) -> Config:
    return dataclasses.replace(config, model=dataclasses.replace(config.model, before_visual_tuning=path))


def test_offline_an_unknown_model_is_refused_where_it_would_run(
    composed: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(UserError, match=r"model\.path=owner/tiny: .*HF_HUB_OFFLINE.*model\.path=FOLDER"):
        require_models([composed], Stage.experiment)
    cluster = dataclasses.replace(composed.cluster, runner=Runner.slurm)
    require_models([dataclasses.replace(composed, cluster=cluster)], Stage.experiment)
    assert "hf download owner/tiny" in capsys.readouterr().out


def test_a_dry_run_asks_the_hub_for_metadata_alone(hub: Hub, tiny: Path, tmp_path: Path) -> None:
    common = ("model=auto", "dry_run=true", f"out={tmp_path / 'out'}")
    environment = {"HF_HUB_OFFLINE": "0", "HF_ENDPOINT": hub.url, "HF_HOME": str(tmp_path / "home")}
    planned = launch(*common, "model.path=owner/tiny", real=True, **environment)
    assert planned.returncode == 0, planned.stderr
    assert "/api/models/owner/tiny?blobs=true" in hub.requested
    assert all(path.startswith("/api/") for path in hub.requested)  # files have paths of another form
    assert not (tmp_path / "home" / "hub").exists()
    local = launch(*common, f"model.path={tiny}")
    of_hub, of_copy = (re.findall(r"-(\w{6}): would", done.stdout) for done in (planned, local))
    assert len(of_hub) == 2
    assert of_hub == of_copy
