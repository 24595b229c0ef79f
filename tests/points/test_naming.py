"""Folder names of points."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmdpo.entry.compose import compose_config
from mmdpo.points.naming import run_name, without_seed
from mmdpo.points.point import Role, baselines, point, points_of

CONFIG = compose_config()
IDENTITY = point(CONFIG).identity


def name_of(*overrides: str) -> str:
    return point(compose_config(overrides)).name


def test_a_point_is_named_readably_from_its_axes() -> None:
    name = name_of("beta=0.1", "lr=5e-5")
    assert name.startswith("dpo-beta0.1-lr5e-05-sum-data1.0-seed0-")
    assert len(name.rpartition("-")[2]) == 6
    assert name_of("method=ipo").startswith("ipo-beta0.1-lr")
    assert "-avg-" in name_of("logprob_avg=true")
    assert "-noise0.25-" in name_of("label_noise=0.25")
    assert "-data0.5-limit1000-seed0-" in name_of("data_limit=1000", "data_scale=0.5")
    assert "-limit" not in name
    assert name_of("method=sft").startswith("sft-lr")
    assert "-data0.3-" in point(dataclasses.replace(CONFIG, data_scale=0.1 + 0.2)).name


@pytest.mark.parametrize(
    ("overrides", "part"),
    [
        (["model.lora.r=8"], "-r8-"),
        (["train.num_train_epochs=2"], "-num_train_epochs2-"),
        (["model.lora.r=8", "train.num_train_epochs=0.5"], "-r8-num_train_epochs0.5-"),
        (["data.seed=3"], "-data_seed3-"),  # not the axis
        (["bench.max_new_tokens=3"], "-bench_max_new_tokens3-"),
        (["method.fine_grained=true"], "-fine_grained-"),
        (["train.prefix_sharing=false"], "-no_prefix_sharing-"),
        (["method=steerlm", "method.attributes.verbosity=1"], "-verbosity1-"),
        (["bench.tasks=[visual,text]", "bench.split=dev"], "-tasks_text_visual-split_dev-"),
        (["data_scale=0", "bench.items=9"], "base-items9-"),
        (["model.path=pkg://mmdpo/nano/weights/instruct"], "-model_instruct-"),
        (["train=paper", "train.per_device_train_batch_size=3"], "-train_per_device_train_batch_size3-"),
    ],
)
def test_what_was_swept_is_named(overrides: list[str], part: str) -> None:
    assert part in name_of(*overrides)


@pytest.mark.parametrize(
    "overrides",
    [
        ["method=steerlm"],
        ["train=paper"],  # whose file refers to other settings
        ["model.lora.r=32"],
        ["train.save_steps=7"],
        ["judge=longer"],
        ["model.path=pkg://mmdpo/nano/weights/llava"],
        ["cluster=slurm"],
    ],
)
def test_what_the_chosen_files_say_is_not_named(overrides: list[str]) -> None:
    words = name_of(*overrides).rpartition("-")[0].split("-")
    assert words[-1] == "seed0"


@pytest.mark.parametrize("label", ["tiny", "my label", "nano"])
def test_of_an_own_preset_only_other_values_than_its_files_are_named(label: str, tmp_path: Path) -> None:
    """Whatever its label, and with the values of the preset that it is based on."""
    (tmp_path / "model").mkdir()
    text = f"defaults: [nano]\nname: {label}\nlora: {{r: 8}}\ntrain_projector: true\n"
    (tmp_path / "model" / "tiny.yaml").write_text(text)

    def words(*overrides: str) -> list[str]:
        name = point(compose_config(["model=tiny", *overrides], tmp_path)).name
        return name.rpartition("-")[0].partition("-seed0")[2].split("-")[1:]

    assert "r4" in words("model.lora.r=4")
    if label != "nano":
        assert words() == []
        assert words("model.lora.r=4") == ["r4"]


def test_long_names_are_cut() -> None:
    many = ["model.attribute_template='{question} {attributes}'", "method=steerlm", "train.weight_decay=0.123456"]
    many += [f"train.{key}" for key in ("max_grad_norm=0.123456", "warmup_ratio=0.123456", "lr_scheduler_type=linear")]
    name = name_of(*many, "bench.resamples=123456", "bench.confidence=0.912345")
    readable, _, suffix = name.rpartition("-")
    assert len(readable) <= 100
    assert len(suffix) == 6
    assert not set(name) - set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-")


@given(st.sampled_from(["beta", "lr", "data_scale", "label_noise"]), st.floats(0.001, 1), st.floats(0.001, 1))
def test_different_values_never_share_a_folder(axis: str, one: float, other: float) -> None:
    names = {point(dataclasses.replace(CONFIG, **{axis: value})).name for value in (one, other)}
    assert len(names) == (1 if f"{one:.12g}" == f"{other:.12g}" else 2)


def test_no_data_is_one_base_whatever_the_axes() -> None:
    one, other = (point(compose_config(["data_scale=0", *more])) for more in ([], ["beta=0.3", "seed=4"]))
    assert one.role is Role.base
    assert one.name == other.name
    assert set(one.axes.values()) == {None, 0.0}


def test_a_point_is_compared_with_the_base_and_the_model_before_visual_tuning() -> None:
    base, before = baselines(CONFIG)
    assert (base.role, before.role) == (Role.base, Role.before_visual_tuning)
    assert before.config.model.path == CONFIG.model.before_visual_tuning
    assert before.name.rpartition("-")[0] == "before_visual_tuning"
    assert base.folder != before.folder
    assert len(baselines(compose_config(["model.before_visual_tuning=null"]))) == 1


def test_equal_points_of_one_sweep_get_one_folder() -> None:
    labelled = dataclasses.replace(CONFIG, method=dataclasses.replace(CONFIG.method, name="mine"))
    ranged = dataclasses.replace(CONFIG, beta=0.1 + 1e-17)
    assert len({p.name for p in points_of([CONFIG, labelled, ranged])}) == 1


@pytest.mark.parametrize(
    ("overrides", "part"),
    [
        ([], "seed0"),
        (["judge=longer"], "-judge_longer"),
        (["train=paper", "model.lora.r=8"], "-r8-train_paper"),
        (["method=sft"], "seed0"),  # which is named already
        (["data_scale=0", "judge=longer"], "base"),  # for which no judge rates training data
        (["model.chat_template=vicuna_v1", "model.pad_to_square=true"], "-chat_template_vicuna_v1-pad_to_square"),
    ],
)
def test_presets_are_named_in_wandb(overrides: list[str], part: str) -> None:
    p = point(compose_config(overrides))
    name = run_name(p.config, p.name, p.identity)
    assert part in name
    assert name == p.name[:-7] or "_" in part  # without the digits of the identity


def test_images_of_own_data_are_named_in_wandb(tmp_path: Path) -> None:
    (tmp_path / "rows.jsonl").write_text('{"prompt": "a", "chosen": "b", "rejected": "c"}\n')
    names = set()
    for folder in ("photos", "drawings"):
        (tmp_path / folder).mkdir()
        p = point(
            compose_config(["data=pairs", f"data.path={tmp_path}/rows.jsonl", f"data.image_root={tmp_path}/{folder}"])
        )
        names.add(run_name(p.config, p.name, p.identity))
    assert [name.partition("seed0-")[2] for name in sorted(names)] == [
        f"data_rows-data_pairs-image_root_{folder}" for folder in ("drawings", "photos")
    ]


@given(st.text("abc-_.", min_size=1, max_size=30), st.text("abc", min_size=1, max_size=300))
def test_a_name_in_wandb_has_128_characters_at_most(label: str, rest: str) -> None:
    judge = dataclasses.replace(CONFIG.judge, name=label)
    name = run_name(dataclasses.replace(CONFIG, judge=judge), f"{rest}-0b54bd", IDENTITY)
    assert len(name) <= 128
    assert "0b54bd" not in name


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("dpo-beta0.1-seed1-judge_longer", "dpo-beta0.1-judge_longer"),
        ("dpo-seed1", "dpo"),
        ("dpo-seed10", "dpo-seed10"),
        ("base", "base"),
    ],
)
def test_runs_of_several_seeds_share_a_name(name: str, expected: str) -> None:
    assert without_seed(name, 1) == expected


def test_the_ends_of_long_values_are_named() -> None:
    judge = ["judge=openai", "judge.model=m", "judge.base_url=http://a-server-with-a-long-name:80/"]
    names = {name_of(*judge[:2], judge[2] + end) for end in "xy"}
    assert {name.rpartition("-")[0][-1] for name in names} == {"x", "y"}
