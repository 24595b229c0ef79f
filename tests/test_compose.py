"""Every YAML composes, and what is wrong gets a message of its own."""

import itertools

import pytest
from omegaconf import OmegaConf

from mmdpo.compose import compose_config
from mmdpo.config import CONF, GROUPS, LOSSES, SWEEPS, Config, methods_using, options
from mmdpo.errors import UserError

CHOICES = [(group, option) for group in GROUPS for option in options(group)]
MORE = {("data", "pairs"): ["data.path=pyproject.toml"]}


def test_every_group_folder_has_a_schema():
    assert {path.name for path in CONF.iterdir() if path.is_dir()} == set(GROUPS)


@pytest.mark.parametrize(("group", "option"), CHOICES)
def test_every_option_composes(group, option):
    config = compose_config([f"{group}={option}", *MORE.get((group, option), [])])
    assert getattr(config, group).name == option


@pytest.mark.parametrize("study", sorted(path.stem for path in SWEEPS.glob("*.yaml")))
def test_every_value_of_every_study_composes(study):
    raw = OmegaConf.load(SWEEPS / f"{study}.yaml")
    params = OmegaConf.to_container(raw.hydra.sweeper.params)
    values = [[f"{axis}={value}" for value in str(text).split(",")] for axis, text in params.items()]
    for point in itertools.product(*values):
        assert compose_config([f"sweep={study}", *point]).study == f"nano-{study}"


def test_studies_have_the_papers_points():
    def points(study):
        params = OmegaConf.load(SWEEPS / f"{study}.yaml").hydra.sweeper.params
        return [len(str(text).split(",")) for text in params.values()]

    assert points("beta_lr_grid") == [3, 2, 2]
    assert points("data_scaling") == [5]


def test_defaults_of_the_axes_come_from_the_method_and_the_models_learning_rate():
    config = compose_config()
    assert (config.method.name, config.model.name, config.data.name) == ("dpo", "nano", "nano")
    assert config.beta == config.method.beta == 0.1
    assert config.lr == config.model.lr["dpo"]
    assert compose_config(["model.lr={}"]).lr == config.lr  # Hydra merges dictionaries
    assert compose_config(["~model.lr.dpo"]).lr == config.method.lr == 5e-5
    assert compose_config(["lr=1e-3"]).lr == 1e-3


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["beta=-1"], "beta=-1.0: must be above 0"),
        (["beta=0"], "beta=0.0: must be above 0"),
        (["beta=nan"], "beta=nan: must be above 0"),
        (["lr=0"], "lr=0.0: must be above 0"),
        (["lr=inf"], "lr=inf: must be above 0"),
        (["data_scale=1.5"], "data_scale=1.5: must lie between 0 and 1"),
        (["label_noise=-0.1"], "label_noise=-0.1: must lie between 0 and 1"),
        (["seed=-1"], "seed=-1: must lie between"),
        (["train.batch_size=0"], "train.batch_size=0: must be above 0"),
        (["data.sampling.completions=1"], "a pair needs at least 2"),
        (
            ["method=ipo", "logprob_avg=true"],
            "method=ipo does not use logprob_avg; drop it, or choose method=dpo",
        ),
        (["method.loss=hinge", "logprob_avg=true"], "method.loss=hinge has no such form"),
        (["beta=null"], "beta is missing: method=dpo needs it; add beta=..."),
        (["method.loss=dpo"], "method.loss=dpo: unknown; allowed are sigmoid, hinge"),
        (["bench.benchmarks=[mmvet]"], "mmvet is unknown; allowed are text"),
        (["bench.benchmarks=[]"], "name at least one of"),
        (["objective=fluency"], "objective=fluency: bench.benchmarks"),
        (["study=a/b"], "a plain folder name"),
        (["data=pairs"], "data.path is missing: data=pairs needs your file; add data.path=FILE"),
        (["data=pairs", "data.path=no.jsonl"], "data.path=no.jsonl: there is no such file"),
        (
            ["data=pairs", "data.path=pyproject.toml", "data.image_root=no"],
            "data.image_root=no: there is no such folder",
        ),
        (["model.path=./no"], "model.path=./no: there is no such folder"),
        (["model.before_visual_tuning=/no"], "model.before_visual_tuning=/no: there is no such folder"),
        (["model.dtype=int8"], "model.dtype=int8: allowed are"),
        (["+colour=red"], "colour is no key of the config"),
        (["++train.colour=red"], "train.colour is no key of the config"),
    ],
)
def test_a_problem_is_named_with_its_override(overrides, message):
    with pytest.raises(UserError, match=".*") as caught:
        compose_config(overrides)
    assert message in str(caught.value)


def test_every_problem_of_a_point_is_named_at_once():
    with pytest.raises(UserError) as caught:
        compose_config(["beta=-1", "data_scale=2"])
    assert len(str(caught.value).splitlines()) == 2


def test_methods_using_an_axis_are_read_from_their_files():
    assert methods_using("logprob_avg") == ["dpo"]
    assert set(methods_using("beta")) >= {"dpo", "ipo"}


def test_losses_are_those_of_trl():
    from trl import DPOConfig

    text = DPOConfig.__dataclass_fields__["loss_type"].metadata["help"]
    assert [name for name in LOSSES if f"`'{name}'`" not in text] == []
    assert text.count("`'") == len(LOSSES)


def test_the_schema_holds_the_papers_numbers():
    train, lora = Config().train, Config().model.lora
    assert (train.batch_size, train.accumulation, train.schedule, train.weight_decay) == (8, 4, "cosine", 0.0)
    assert (lora.rank, lora.alpha) == (128, 256)
