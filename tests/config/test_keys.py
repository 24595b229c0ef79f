"""Keys of the config: those that exist, those of earlier versions, and those that are mistyped."""

import re

import pytest

from mmdpo.config.foreign_names import ABSENT, SAME
from mmdpo.config.keys import all_keys, exists, key_problem
from mmdpo.config.renamed import RENAMED, new_name
from mmdpo.config.schema import Config


@pytest.mark.parametrize(
    "key",
    [
        "beta",
        "train",
        "train.num_train_epochs",
        "model.lora.r",
        "model.lr.dpo",
        "method.attributes.verbosity",
        "data.sources.lrv.count",
        "cluster.additional_parameters.exclusive",
        "cluster.max_attempts.killed",
        "bench.tasks.0",
    ],
)
def test_a_key_of_the_schema_has_no_problem(key):
    assert key_problem(key) is None


@pytest.mark.parametrize(
    ("key", "meant"),
    [
        ("betta", "beta"),
        ("train.num_train_epoch", "train.num_train_epochs"),
        ("num_train_epochs", "train.num_train_epochs"),
        ("epochs", "train.num_train_epochs"),
        ("train.epoch", "train.num_train_epochs"),
        ("data.sources.lrv.cuont", None),
        ("model.lora.r.x", None),
        ("learning_rate", "lr"),
        ("train.learning_rate", "lr"),
        ("train.lr", "lr"),
        ("num_epochs", "train.num_train_epochs"),
        ("train.max_length", "train.max_text_tokens"),
        ("lora_rank", "model.lora.r"),
        ("cluster.gpu", "cluster.gpus_per_node"),
        ("slurm_partition", "cluster.partition"),
        ("cluster.time", "cluster.timeout_min"),
        ("target_modules", None),
        ("colour", None),
        ("beta.x", None),
    ],
)
def test_an_unknown_key_gets_the_key_that_may_be_meant(key, meant):
    problem = key_problem(key)
    assert problem.startswith(f"{key}: unknown key")
    assert "+" not in problem  # Hydra's advice, which adds the mistake to the config
    assert meant is None or re.search(rf"did you mean ([\w.]+ or )*{meant}\b", problem)


def test_other_tools_names_lead_to_keys_and_are_none_themselves():
    for name, key in SAME.items():
        assert exists(key.lstrip("+").split("."), Config)
        assert not exists([name], Config)
    for name, explanation in ABSENT.items():
        assert explanation in key_problem(f"train.{name}")


@pytest.mark.parametrize(("old", "new"), RENAMED.items())
def test_a_renamed_key_is_known_by_its_new_name_only(old, new):
    old, new = (key.replace("*", "lrv") for key in (old, new))
    assert new_name(old) == new
    if not exists(old.split("."), Config):
        assert key_problem(old) == f"{old} is now {new}"
        assert exists(new.split("."), Config)


def test_what_lies_below_a_renamed_key_is_renamed_with_it():
    assert new_name("cluster.sbatch.exclusive") == "cluster.additional_parameters.exclusive"
    assert new_name("data.sources.mine.reader") == "data.sources.mine.format"
    assert new_name("train.num_train_epochs") is None
    assert new_name("train") is None


def test_all_keys_exist():
    assert len(all_keys()) > 100
    assert [key for key in all_keys() if not exists(key.split("."), Config)] == []
