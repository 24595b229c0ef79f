"""Every extension costs what docs/extending.md promises: one YAML in a directory of one's own, and at most one file."""

import dataclasses
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import pytest
from hydra.errors import HydraException

import hydra_plugins.mmdpo.source
import mmdpo.config.keys
from mmdpo.config.choices import Runner
from mmdpo.config.markers import AT_LEAST_ONE
from mmdpo.config.schema import Config, JudgeConfig, TrainConfig
from mmdpo.entry.compose import compose_config, compose_data
from mmdpo.errors import UserError
from tests.support.program import launch

PRESETS = {
    "method/cautious.yaml": """\
        name: cautious
        train_on: pairs
        loss_type: apo_down
        axes: [beta, lr, seed, data_scale, data_limit]
        beta: 0.3
        lr: 1.0e-4
        per_device_train_batch_size: 2
        gradient_accumulation_steps: 1
        max_text_tokens: 100
        """,
    "model/mine.yaml": """\
        name: mine
        path: pkg://mmdpo/nano/weights/llava
        lora:
          r: 4
        lr:
          dpo: 3.0e-4
        """,
    "generator/served.yaml": """\
        name: served
        sampler: openai
        model: mine
        base_url: http://localhost:8000/v1
        """,
    "train/short.yaml": """\
        name: short
        num_train_epochs: 0.5
        """,
    "cluster/partition.yaml": """\
        defaults:
          - slurm
        name: partition
        partition: a100
        """,
    "tracking/team.yaml": """\
        name: team
        mode: offline
        project: team
        """,
    "sweep/betas.yaml": """\
        study: ${model.name}-betas
        train:
          num_train_epochs: 2
        hydra:
          mode: MULTIRUN
          sweeper:
            params:
              beta: 0.1,0.7
        """,
}


def write(directory: Path, files: dict[str, str]) -> Path:
    """Write files, without the indentation of this module."""
    for name, text in files.items():
        path = directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("\n".join(line.removeprefix(" " * 8) for line in text.splitlines()) + "\n")
    return directory


@pytest.fixture
def own(tmp_path: Path) -> Path:
    """A config directory of one's own, with a preset for each group and a sweep."""
    return write(tmp_path / "own", PRESETS)


def test_a_method_with_a_loss_of_trl_is_one_yaml(own: Path):
    config = compose_config(["method=cautious"], own)
    assert (config.method.loss_type, config.beta, config.lr) == ("apo_down", 0.3, 1e-4)
    with pytest.raises(UserError, match=r"method=cautious does not use label_noise"):
        compose_config(["method=cautious", "label_noise=0.5"], own)


def test_a_method_with_a_new_loss_is_one_yaml_and_one_file(own: Path, tmp_path: Path, monkeypatch):
    import mmdpo.training.losses

    write(own, {"method/mine.yaml": PRESETS["method/cautious.yaml"].replace("apo_down", "squared")})
    with pytest.raises(UserError, match=r"method.loss_type=squared: unknown; allowed are sigmoid"):
        compose_config(["method=mine"], own)
    write(tmp_path, {"losses/squared.py": "def loss(chosen_logratios, rejected_logratios, *, beta): ..."})
    folders = [*mmdpo.training.losses.__path__, str(tmp_path / "losses")]
    monkeypatch.setattr(mmdpo.training.losses, "__path__", folders)
    assert compose_config(["method=mine"], own).method.loss_type == "squared"


def test_a_model_is_one_yaml(own: Path):
    config = compose_config(["model=mine"], own)
    assert (config.model.lora.r, config.model.lora.lora_alpha, config.lr, config.study) == (4, 256, 3e-4, "mine")


def test_a_server_that_samples_is_one_yaml_and_its_name_is_a_label(own: Path):
    generator = compose_config(["generator=served"], own).generator
    assert (generator.name, generator.sampler, generator.model) == ("served", "openai", "mine")
    with pytest.raises(UserError, match=r"generator.base_url is missing: generator=served needs it"):
        compose_config(["generator=served", "generator.base_url=null"], own)
    write(own, {"generator/other.yaml": "name: model\nsampler: opnai"})
    with pytest.raises(UserError, match=r"generator.sampler=opnai: unknown; allowed are model, openai"):
        compose_config(["generator=other"], own)


@pytest.mark.skipif("client" not in vars(JudgeConfig()), reason="judge.client chooses")
def test_a_judge_behind_an_openai_compatible_server_is_one_yaml(own: Path):
    write(own, {"judge/local.yaml": "name: local\nclient: openai\nmodel: mine\nbase_url: http://localhost:8000/v1"})
    judge = compose_config(["judge=local"], own).judge
    assert (judge.name, judge.model, judge.base_url) == ("local", "mine", "http://localhost:8000/v1")
    with pytest.raises(UserError, match=r"judge.model is missing: judge=local needs one"):
        compose_config(["judge=local", "judge.model=null"], own)
    write(own, {"judge/other.yaml": "name: gemini\nclient: gmini\nmodel: mine"})
    with pytest.raises(UserError, match=r"judge.client=gmini: unknown; allowed are .*gemini"):
        compose_config(["judge=other"], own)


def test_training_settings_a_cluster_and_tracking_are_one_yaml_each(own: Path):
    config = compose_config(["train=short", "cluster=partition", "tracking=team"], own)
    assert (config.train.name, config.train.num_train_epochs, config.train.lr_scheduler_type) == (
        "short",
        0.5,
        "cosine",
    )
    assert (config.cluster.runner, config.cluster.partition) == (Runner.slurm, "a100")
    assert config.cluster.timeout_min == compose_config(["cluster=slurm"]).cluster.timeout_min
    assert (config.tracking.mode.value, config.tracking.project) == ("offline", "team")


@pytest.mark.parametrize(
    ("file", "text", "override", "message"),
    [
        ("train/odd.yaml", "lr_scheduler_type: cosin", "train=odd", "train.lr_scheduler_type=cosin: unknown"),
        ("train/odd.yaml", "epochs: 1", "train=odd", "odd.yaml: train.epochs is now train.num_train_epochs"),
        ("train/odd.yaml", "colour: 1", "train=odd", "odd.yaml: train.colour: unknown key"),
        ("cluster/odd.yaml", "runner: slrm", "cluster=odd", "expected one of .in_turn, parallel, slurm"),
        ("cluster/odd.yaml", "gpus: 4\nrunner: slurm", "cluster=odd", "cluster.gpus is now cluster.gpus_per_node"),
        ("tracking/odd.yaml", "mode: onlin", "tracking=odd", "expected one of .auto, online, offline, none"),
        ("sweep/odd.yaml", "train: {keep: 1}", "sweep=odd", "odd.yaml: train.keep is now train.save_total_limit"),
    ],
)
def test_a_mistake_in_a_file_of_ones_own_is_named(own: Path, file: str, text: str, override: str, message: str):
    write(own, {file: f"name: odd\n{text}" if "sweep" not in file else text})
    with pytest.raises((UserError, HydraException)) as caught:
        compose_config([override], own)
    reason = f"{caught.value} {caught.value.__cause__}"
    assert message.replace(".in_turn", "[in_turn").replace(".auto", "[auto") in reason


def test_a_preset_with_a_built_in_name_is_refused_and_not_taken_for_it(own: Path):
    write(own, {"model/nano.yaml": "name: nano\npath: elsewhere"})
    with pytest.raises(UserError, match=r"model/nano.yaml: model=nano is a built-in preset.*rename the file"):
        compose_config([], own)


def test_a_sweep_needs_no_package_header(own: Path):
    config = compose_config(["sweep=betas"], own)
    assert (config.study, config.train.num_train_epochs) == ("nano-betas", 2)
    write(own, {"sweep/headed.yaml": "# @package _global_\nstudy: headed"})
    assert compose_config(["sweep=headed"], own).study == "headed"
    assert compose_config(["sweep=data_scaling"], own).study == "nano-data_scaling"


def test_a_data_set_of_ones_own_is_known_to_the_doctor(own: Path):
    write(own, {"data/mine.yaml": "name: mine\nformat: pairs\npath: mine.jsonl"})
    data, _ = compose_data(["data=mine"], own)
    assert (data.name, data.path) == ("mine", "mine.jsonl")
    with pytest.raises(UserError, match=r"--config-dir nowhere: there is no such folder"):
        compose_data(["data=mine"], Path("nowhere"))


def test_presets_of_ones_own_are_swept(own: Path, tmp_path: Path):
    """The one test of this file that starts launch.py: a sweep file, and a list of presets with -m."""
    done = launch("--config-dir", str(own), "sweep=betas", "model=mine", "dry_run=true", f"out={tmp_path}")
    assert done.returncode == 0, done.stderr
    for beta in ("0.1", "0.7"):
        assert f"{tmp_path}/mine-betas/dpo-beta{beta}-" in done.stdout
    done = launch("-m", "--config-dir", str(own), "method=dpo,cautious", "dry_run=true", f"out={tmp_path}")
    assert done.returncode == 0, done.stderr
    assert f"{tmp_path}/nano/dpo-" in done.stdout
    assert f"{tmp_path}/nano/cautious-" in done.stdout


def test_a_setting_is_one_line_in_the_schema(monkeypatch):
    @dataclass
    class More(TrainConfig):
        """The schema with one line more."""

        patience: Annotated[int, AT_LEAST_ONE] = 3

    config_class = dataclasses.make_dataclass("Config", [("train", More, field(default_factory=More))], bases=(Config,))
    monkeypatch.setattr(hydra_plugins.mmdpo.source, "Config", config_class)
    monkeypatch.setattr(mmdpo.config.keys, "Config", config_class)
    assert compose_config().train.patience == 3
    assert compose_config(["train.patience=5"]).train.patience == 5
    with pytest.raises(UserError, match=r"train.patience=0: must be at least 1"):
        compose_config(["train.patience=0"])
