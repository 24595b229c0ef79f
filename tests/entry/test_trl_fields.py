"""Arguments that `train.trl` passes on to TRL: every field of its configs is known, and values are checked."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
from trl import DPOConfig, KTOConfig, SFTConfig

from mmdpo.config.choices import TrainOn
from mmdpo.config.foreign_names import OF_TRL
from mmdpo.config.schema import Config
from mmdpo.entry.compose import compose_config
from mmdpo.entry.trl_fields import NO_EFFECT, OWN, trl_problems
from mmdpo.errors import UserError
from mmdpo.training.trl_config import training_arguments
from tests.support.tiny import tiny_settings

PASSED = OF_TRL | {
    *("activation_checkpointing_kwargs", "dataloader_multiprocessing_context", "dataloader_persistent_workers"),
    *("dataloader_prefetch_factor", "ddp_broadcast_buffers", "ddp_bucket_cap_mb"),
}
"""The fields that have an effect in mmdpo's trainers and no setting of their own."""

CONFIG = compose_config()


def problems(config: Config = CONFIG, **values: object) -> list[str]:
    return trl_problems(dataclasses.replace(config, train=dataclasses.replace(config.train, trl=values)))


def test_every_field_of_trl_is_known() -> None:
    """A field that a new version of TRL adds must be put into one of the three."""
    fields = {field.name for schema in (DPOConfig, KTOConfig, SFTConfig) for field in dataclasses.fields(schema)}
    assert fields == {*OWN, *NO_EFFECT, *PASSED} | {"chat_template_path"}
    assert not {*OWN} & {*NO_EFFECT}
    assert not PASSED & {*OWN, *NO_EFFECT}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("adam_beta2", 0.95),
        ("adam_beta2", 1),
        ("optim", "adafactor"),
        ("optim_args", None),
        ("lr_scheduler_kwargs", {"num_cycles": 2}),
        ("neftune_noise_alpha", None),
        ("f_divergence_type", "js_divergence"),
        ("use_weighting", True),
    ],
)
def test_a_value_of_the_right_type_passes(name: str, value: object) -> None:
    assert problems(**{name: value}) == []


@pytest.mark.parametrize(
    ("name", "value", "fact"),
    [
        ("adam_beta2", "much", "a number"),
        ("adam_beta2", True, "a number"),
        ("use_weighting", 1, "true or false"),
        ("lr_scheduler_kwargs", [1], "a dictionary"),
        ("optim", "adamw_foo", "adamw_torch"),
        ("f_divergence_type", "js", "js_divergence"),
        ("adam_bta2", 0.9, "did you mean adam_beta2?"),
        ("nothing_like_it", 1, "DPOConfig"),
        ("learning_rate", 1e-3, "type lr="),
        ("beta", 0.1, "type beta="),
        ("warmup_ratio", 0.1, "type train.warmup_ratio="),
        ("eval_steps", 5, "bench="),
        ("push_to_hub", True, "no effect"),
        ("ld_alpha", 0.5, "reference"),
        ("discopop_tau", 0.1, "method.loss_type=discopop"),
        ("f_alpha_divergence_coef", 0.3, "train.trl.f_divergence_type=alpha_divergence"),
        ("dataloader_prefetch_factor", 2, "train.dataloader_num_workers="),
        ("activation_checkpointing_kwargs", {}, "train.activation_checkpointing=true"),
        ("ddp_bucket_cap_mb", 5, "cluster.tasks_per_node="),
        ("activation_offloading", True, "GPU"),
    ],
)
def test_other_entries_are_refused_with_what_to_type(name: str, value: object, fact: str) -> None:
    (problem,) = problems(**{name: value})
    assert problem.startswith(f"train.trl.{name}")
    assert fact in problem


def test_arguments_that_an_optimizer_ignores_are_refused() -> None:
    assert "train.trl.optim=adamw_torch" in problems(optim_args="momentum=0.9")[0]
    assert "train.trl.optim=sgd" in problems(optim="sgd", adam_beta2=0.9)[0]
    assert problems(optim="sgd", optim_args="momentum=0.9") == []


def test_noise_that_depends_on_shared_rows_is_refused() -> None:
    own_rows = compose_config(["train.prefix_sharing=false"])
    assert "train.prefix_sharing=false" in problems(neftune_noise_alpha=5)[0]
    assert problems(own_rows, neftune_noise_alpha=5) == []
    assert "train.prompt_once=false" in problems(compose_config(["method=sft"]), neftune_noise_alpha=5)[0]


def test_fields_depend_on_the_method() -> None:
    sft = dataclasses.replace(CONFIG.method, train_on=TrainOn.teacher, loss_type=None)
    (problem,) = problems(dataclasses.replace(CONFIG, method=sft), f_divergence_type="js_divergence")
    assert "SFTConfig" in problem
    mpo = compose_config(["method=mpo"])
    assert "bco_pair" in problems(mpo, f_divergence_type="js_divergence")[0]
    assert "sft" in problems(mpo, use_weighting=True)[0]


def test_no_plus_is_needed_and_trl_gets_the_value(tmp_path: Path) -> None:
    config = compose_config(["train.trl.adam_beta2=0.95", "+train.trl.optim=adafactor"])
    assert config.train.trl == {"adam_beta2": 0.95, "optim": "adafactor"}
    settings = tiny_settings(tmp_path, train__trl=config.train.trl)
    made = training_arguments(settings, tmp_path)
    assert (made.adam_beta2, str(made.optim.value)) == (0.95, "adafactor")
    with pytest.raises(UserError, match=r"train\.trl\.adam_beta3=1"):
        training_arguments(tiny_settings(tmp_path, train__trl={"adam_beta3": 1}), tmp_path)
