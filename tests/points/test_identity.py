import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmdpo.entry.compose import compose_config
from mmdpo.points.point import NOT_RESULT, OF_BASE, Role, baselines, flatten, identity, point

CONFIG = compose_config()


def replaced(**changes):
    return dataclasses.replace(CONFIG, **changes)


def test_a_point_is_named_readably_from_its_axes():
    name = point(compose_config(["beta=0.1", "lr=5e-5"])).name
    assert name.startswith("dpo-beta0.1-lr5e-05-sum-data1.0-seed0-")
    assert point(compose_config(["method=ipo"])).name.startswith("ipo-beta0.1-lr")
    assert "-avg-" in point(compose_config(["logprob_avg=true"])).name
    assert "-noise0.25-" in point(compose_config(["label_noise=0.25"])).name
    assert "-data0.5-limit1000-seed0-" in point(compose_config(["data_limit=1000", "data_scale=0.5"])).name
    assert "-limit" not in name
    assert point(compose_config(["method=sft"])).name.startswith("sft-lr")


@given(st.sampled_from(["beta", "lr", "data_scale", "label_noise"]), st.floats(0.001, 1), st.floats(0.001, 1))
def test_different_values_never_share_a_folder(axis, one, other):
    names = {point(replaced(**{axis: value})).name for value in (one, other)}
    assert len(names) == (1 if one == other else 2)


@pytest.mark.parametrize(
    "override",
    [
        "train.num_train_epochs=2",
        "model.lora.r=8",
        "data.prompts=10",
        "bench.items=10",
        "bench.split=dev",
        "data.seed=1",
        "data_limit=100",
        "method.fine_grained=true",
        "train.max_text_tokens=20",
    ],
)
def test_whatever_changes_a_result_changes_the_folder(override):
    assert point(compose_config([override])).name != point(CONFIG).name


@pytest.mark.parametrize("override", ["tracking=none", "train.save_steps=7", "cluster.threads=1", "study=x", "out=y"])
def test_what_does_not_change_a_result_keeps_the_folder(override):
    assert point(compose_config([override])).name == point(CONFIG).name


def test_points_of_one_method_differ_by_what_is_asked_of_them():
    one, other = (["method=steerlm", *more] for more in ([], ["method.attributes.verbosity=1"]))
    assert point(compose_config(one)).name != point(compose_config(other)).name
    assert baselines(compose_config(one))[0].name == baselines(compose_config(other))[0].name


def test_the_keys_left_out_of_the_identity_exist():
    keys = {*flatten(CONFIG), *identity(CONFIG)}
    for root in NOT_RESULT | OF_BASE:
        assert any(key == root or key.startswith(root + ".") for key in keys), root


def test_no_data_is_one_base_whatever_the_axes():
    one, other = (point(compose_config(["data_scale=0", *more])) for more in ([], ["beta=0.3", "seed=4"]))
    assert one.role is Role.base
    assert one.name == other.name
    assert set(one.axes.values()) == {None, 0.0}


def test_a_point_is_compared_with_the_base_and_the_model_before_visual_tuning():
    base, before = baselines(CONFIG)
    assert (base.role, before.role) == (Role.base, Role.before_visual_tuning)
    assert before.config.model.path == CONFIG.model.before_visual_tuning
    assert base.folder != before.folder
    assert len(baselines(compose_config(["model.before_visual_tuning=null"]))) == 1


def test_own_data_is_known_by_its_content(tmp_path):
    file = tmp_path / "pairs.jsonl"
    overrides = ["data=pairs", f"data.path={file}"]
    file.write_text("{}\n")
    first = point(compose_config(overrides)).name
    file.rename(tmp_path / "moved.jsonl")
    assert point(compose_config(["data=pairs", f"data.path={tmp_path}/moved.jsonl"])).name == first
    file.write_text("{} \n")
    assert point(compose_config(overrides)).name != first


def test_shipped_models_are_known_by_their_content(monkeypatch):
    before = point(CONFIG).name, *(p.name for p in baselines(CONFIG))
    monkeypatch.setattr("mmdpo.points.point._weights", lambda path: "others")
    after = point(CONFIG).name, *(p.name for p in baselines(CONFIG))
    assert not set(before) & set(after)


def test_identity_is_plain_data():
    assert all(isinstance(value, str | int | float | bool | list | dict | None) for value in identity(CONFIG).values())
