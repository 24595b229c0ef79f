"""Presets in a config directory of one's own. tests/test_extending.py uses those of the documentation."""

from pathlib import Path

import pytest
from hydra.errors import HydraException

from mmdpo.config.choices import Runner
from mmdpo.entry.compose import compose_config, compose_data
from mmdpo.errors import UserError
from tests.support.docs import write_presets

PRESETS = {
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
    """A config directory of one's own, with the presets of docs/extending.md and those above."""
    return write(write_presets(tmp_path / "own"), PRESETS)


def test_a_choice_that_does_not_exist_is_refused_with_the_choices(own: Path):
    write(own, {"generator/other.yaml": "name: model\nsampler: opnai"})
    with pytest.raises(UserError, match=r"generator.sampler=opnai: unknown; allowed are model, openai"):
        compose_config(["generator=other"], own)
    write(own, {"judge/other.yaml": "name: gemini\nclient: gmini\nmodel: mine"})
    with pytest.raises(UserError, match=r"judge.client=gmini: unknown; allowed are .*gemini"):
        compose_config(["judge=other"], own)


def test_a_preset_without_what_its_choice_needs_is_refused(own: Path):
    with pytest.raises(UserError, match=r"generator.base_url is missing: generator=served needs it"):
        compose_config(["generator=served", "generator.base_url=null"], own)
    with pytest.raises(UserError, match=r"judge.model is missing: judge=house needs one"):
        compose_config(["judge=house", "judge.model=null"], own)


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
    data, *_ = compose_data(["data=mine"], own)
    assert (data.name, data.path) == ("mine", "mine.jsonl")
    with pytest.raises(UserError, match=r"--config-dir nowhere: there is no such folder"):
        compose_data(["data=mine"], Path("nowhere"))
