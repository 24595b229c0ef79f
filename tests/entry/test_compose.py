"""Composition of every YAML, and a message for each wrong setting."""

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import OmegaConf

from mmdpo.config.choices import LOSSES, PairRule, TooLong, TrainOn, file_formats
from mmdpo.config.losses import weighted_losses
from mmdpo.config.schema import CONF, GROUPS, SWEEPS, Config, methods_using, options
from mmdpo.entry.blocks import split_into_blocks
from mmdpo.entry.compose import compose_config, composed
from mmdpo.entry.compose_points import compose_points
from mmdpo.errors import UserError

CHOICES = [(group, option) for group in GROUPS for option in options(group)]
MORE = {
    **{("data", form): ["data.path=pyproject.toml", "method=sft"] for form in file_formats()},
    ("data", "prompts"): ["data.sources.prompts.path=pyproject.toml", "judge=gemini"],
    ("data", "paper"): [
        *(
            "judge=gemini",
            "data.sources.scigraphqa.path=pyproject.toml",
            "data.sources.lrv.path=pyproject.toml",
        ),
        *("data.sources.scigraphqa.image_root=docs", "data.sources.lrv.image_root=docs"),
    ],
    ("judge", "openai"): ["judge.model=some"],
    ("judge", "vllm"): ["judge.model=some"],
    ("generator", "openai"): ["generator.model=some", "generator.base_url=http://localhost/v1"],
    ("generator", "server"): ["generator.command=serve {model} {port}"],
    ("model", "auto"): ["model.path=pkg://mmdpo/nano/weights/llava"],
}


def test_every_group_folder_has_a_schema():
    assert {path.name for path in CONF.iterdir() if path.is_dir()} == set(GROUPS)


@pytest.mark.parametrize(("group", "option"), CHOICES)
def test_every_option_composes(group, option):
    config = compose_config([f"{group}={option}", *MORE.get((group, option), [])])
    assert getattr(config, group).name == option


@pytest.mark.parametrize("study", sorted(path.stem for path in SWEEPS.glob("*.yaml")))
def test_every_value_of_every_study_composes(study):
    sweeper = OmegaConf.load(SWEEPS / f"{study}.yaml").hydra.sweeper
    params = [f"{axis}={value}" for axis, value in sweeper.get("params", {}).items()]
    for block in split_into_blocks(OverridesParser.create(), params, sweeper.get("blocks"), []):
        points = [[f"sweep={study}", *point] for point in block.points]
        assert {config.study for config in compose_points(composed, points)} == {f"nano-{study}"}


def test_studies_have_the_papers_points():
    def points(study):
        params = OmegaConf.load(SWEEPS / f"{study}.yaml").hydra.sweeper.params
        return [len(str(text).split(",")) for text in params.values()]

    assert points("beta_lr_grid") == [3, 2, 2]
    assert points("data_scaling") == [5]
    assert compose_config(["sweep=beta_lr_grid"]).data_limit == 1000
    methods = OmegaConf.load(SWEEPS / "methods.yaml").hydra.sweeper.params.method
    assert methods.split(",") == ["dpo", "sft", "rejection_sampling", "steerlm"]


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
        (["lr=1e-8", "train.lr_scheduler_type=polynomial"], "type a larger lr="),
        (["data_scale=1.5"], "data_scale=1.5: must be at least 0 and at most 1"),
        (["label_noise=-0.1"], "label_noise=-0.1: must be"),
        (["seed=-1"], "seed=-1: must be at least 0 and below 4294967296"),
        (["train.per_device_train_batch_size=0"], "train.per_device_train_batch_size=0: must be at least 1"),
        (["data.sampling.completions=1"], "data.sampling.completions=1: must be at least 2"),
        (
            ["method=ipo", "logprob_avg=true"],
            "method=ipo does not use logprob_avg; drop it, or choose method=dpo",
        ),
        (["method.loss_type=hinge", "logprob_avg=true"], "logprob_avg=true: method.loss_type=hinge"),
        (["beta=null"], "beta is missing: method=dpo needs it; add beta=..."),
        (["method.loss_type=dpo"], "method.loss_type=dpo: unknown; allowed are sigmoid, hinge"),
        (["bench.tasks=[mmvet]"], "bench.tasks=mmvet: unknown; allowed are alpaca_eval, "),
        (["bench.tasks=[]"], "bench.tasks=[]: name at least one"),
        (["objective=fluency"], "objective=fluency: bench.tasks"),
        (["study=a/b"], "a plain folder name"),
        (["data=pairs"], "data.path is missing: data=pairs needs your file; add data.path=FILE"),
        (["data=pairs", "data.path=no.jsonl"], "data.path=no.jsonl: there is no such file"),
        (
            ["data=pairs", "data.path=pyproject.toml", "data.image_root=no"],
            "data.image_root=no: there is no such folder",
        ),
        (["model.path=./no"], "model.path=./no: there is no such folder"),
        (["model.before_visual_tuning=/no"], "model.before_visual_tuning=/no: there is no such folder"),
        (["model.dtype=int8"], "model.dtype=int8: unknown; allowed are auto, bfloat16"),
        (["model.chat_template=vicuna_v9"], "model.chat_template=vicuna_v9: unknown; allowed are"),
        (["data_limit=0"], "data_limit=0: must be at least 1"),
        (["train.zero_stage=1"], "train.zero_stage=1: unknown; allowed are 0, 2, 3"),
        (["train.max_text_tokens=0"], "train.max_text_tokens=0: must be at least 1"),
        (["method.per_device_train_batch_size=0"], "method.per_device_train_batch_size=0: must be"),
        (["method.gradient_accumulation_steps=-1"], "method.gradient_accumulation_steps=-1: must be"),
        (["model.train_projector=true", "model.projector_lr=0"], "model.projector_lr=0.0: must be above 0"),
        (["method=sft", "beta=0.1"], "method=sft does not use beta; drop it, or choose method=apo_zero|dpo|"),
        (["method=sft", "label_noise=0.5"], "method=sft does not use label_noise"),
        (["method=sft", "method.loss_type=ipo"], "method.loss_type=ipo: method=sft is SFT; drop it"),
        (["method=sft", "method.fine_grained=true"], "method=sft has no pairs; choose method=dpo"),
        (["method=sft", "judge=longer"], "judge=longer: "),
        (["method.loss_type=null"], "method.loss_type is missing: method=dpo needs one; allowed are sigmoid"),
        (
            ["method=ipo", "method.fine_grained=true"],
            "method.fine_grained=true: method.loss_type=ipo",
        ),
        (["method.fine_grained=true", "method.fine_grained_weight=0"], "fine_grained_weight=0.0: must be"),
        (["method.label_smoothing=0.1"], "only the losses exo_pair, robust, aot, aot_unpaired use it"),
        (["method=robust", "method.label_smoothing=0.5"], "method.label_smoothing="),
        (["method=robust", "method.label_smoothing=-0.1"], "method.label_smoothing="),
        (["method.loss_type=exo_pair"], "method.label_smoothing=0.0: must be above 0 and below 0.5"),
        (["method=steerlm", "method.attributes.verbosity=5"], "verbosity=5: must be at least 0 and at most 4"),
        (["method=steerlm", "~method.attributes.verbosity"], "needs exactly helpfulness, correctness"),
        (["method=steerlm", "+method.attributes.wit=1"], "needs exactly helpfulness, correctness"),
        (["+method.attributes.verbosity=1"], "method=dpo requests no ratings; choose method=steerlm"),
        (["method=steerlm", "model.attribute_template='{question} {wit}'"], "'wit'; allowed are {question}"),
        (["method=steerlm", "model.attribute_template='{question.wit}'"], "allowed are {question}"),
        (["method=steerlm", "model.attribute_template='{question'"], "allowed are {question}"),
        (["method=steerlm", "model.attribute_template='{attributes}'"], "has no {question}"),
        (["method=steerlm", "model.attribute_template='{question} {verbosity}'"], "nor all of"),
        (
            ["method=rejection_sampling", "data=pairs", "data.path=pyproject.toml"],
            "method=rejection_sampling: data=pairs has no ratings; choose method=dpo, or method=sft",
        ),
        (["method=steerlm", "data=pairs", "data.path=pyproject.toml"], "data=pairs has no ratings"),
        (["data=llava_sft", "data.path=pyproject.toml"], "data=llava_sft has answers and no pairs; choose"),
        (["data=rlhf_v"], "data.path is missing: data=rlhf_v needs your file; add data.path=FILE"),
        (["data=prompts"], "type data.sources.prompts.path=FILE"),
        (["judge=oracle", "data=prompts", "data.sources.prompts.path=docs"], "rates the miniature only"),
        (["judge=gemini", "data=paper"], "data.sources.lrv.path=data/lrv/filter_cap1.json: there is no such"),
        (
            ["judge=gemini", "data=paper"],
            "data.sources.scigraphqa.image_root=data/scigraphqa/images: there is",
        ),
        (
            ["data=prompts", "data.sources.prompts.path=docs", "data.sources.prompts.format=x"],
            "format=x: unk",
        ),
        (
            ["data=prompts", "data.sources.prompts.path=docs", "data.sources.prompts.count=0"],
            "data.sources.prompts.count=0: must be at least 1",
        ),
        (
            ["data=prompts", "data.sources.prompts.path=docs", "data.sources.prompts.offset=-1"],
            "data.sources.prompts.offset=-1: must be at least 0",
        ),
        (
            ["data=pairs", "data.path=pyproject.toml", "data.format=x"],
            "data.format=x: unknown; allowed are nano, ",
        ),
        (["judge=openai"], "judge.model is missing: judge=openai needs one; add"),
        (["judge.rubric=x"], "judge.rubric=x: unknown; allowed are helpsteer_1"),
        (
            ["judge.retry_unscored=true"],
            "judge.retry_unscored=true: needs stage=annotate, stage=teacher or stage=judge",
        ),
        (["judge=gemini", "judge.limits.requests_per_minute=0"], "requests_per_minute=0.0: must be above 0"),
        (["judge=openai", "judge.model=m", "judge.limits.budget=1"], "judge.limits.budget: needs prices"),
        (["judge.temperature=3"], "judge.temperature=3.0: must be at least 0 and at most 2"),
        (["judge.reasoning_effort=low"], "judge.reasoning_effort=low: judge=oracle does not send it"),
        (["judge=gemini", "judge.reasoning_effort=low"], "judge=openai"),
        (["judge=gemini_legacy", "+judge.extra_body.topK=1"], "judge=gemini|openai"),
        (["judge=gemini", "+judge.extra_body.topK=1", "judge.batch=true"], "judge.batch=false"),
        (["judge.repeat=2"], "judge.repeat=2.0: must be at least 0 and at most 1"),
        (["generator=openai", "generator.model=m"], "generator.base_url is missing"),
        (["generator.adapter=docs"], "generator.adapter=docs: holds no adapter_config.json"),
        (["generator.concurrency=0"], "generator.concurrency=0: must be at least 1"),
        (["pairs.margin=0"], "pairs.margin=0: must be at least 1"),
        (["pairs.aggregate=[wit]"], "pairs.aggregate: wit is unknown; allowed are helpfulness"),
        (["pairs.aggregate=[]"], "pairs.aggregate=[]: name each"),
        (["lr=${nothing}"], "Interpolation key 'nothing' not found"),
        (["+colour=red"], "colour: unknown key"),
        (["++train.colour=red"], "train.colour: unknown key"),
    ],
)
def test_a_problem_is_named_with_its_override(overrides, message):
    with pytest.raises(UserError, match=r".*") as caught:
        compose_config(overrides)
    assert message in str(caught.value)


def test_limits_of_the_free_tier_do_not_hold_for_a_server_on_this_machine():
    for url, limits in (
        ("https://proxy.example", (10, 250_000, 250)),
        *((f"http://{host}:8900", (None, None, None)) for host in ("127.0.0.1", "localhost", "[::1]")),
    ):
        found = compose_config(["judge=gemini", f"judge.base_url='{url}'"]).judge.limits
        assert (found.requests_per_minute, found.tokens_per_minute, found.requests_per_day) == limits, url
    assert compose_config(["judge=gemini"]).judge.limits.requests_per_minute == 10
    local = ["judge=gemini", "judge.base_url=http://127.0.0.1:1"]
    assert compose_config([*local, "judge.limits.requests_per_minute=3"]).judge.limits.requests_per_minute == 3


def test_a_judges_settings_for_reasoning_models():
    judge = compose_config(
        ["judge=openai", "judge.model=m", "judge.temperature=null", "judge.reasoning_effort=low"]
    ).judge
    assert (judge.temperature, judge.reasoning_effort) == (None, "low")
    extra = compose_config(["judge=openai", "judge.model=m", "+judge.extra_body.chat_template_kwargs.thinking=false"])
    assert extra.judge.extra_body == {"chat_template_kwargs": {"thinking": False}}


def test_every_problem_of_a_point_is_named_at_once():
    with pytest.raises(UserError) as caught:
        compose_config(["beta=-1", "data_scale=2"])
    assert len(str(caught.value).splitlines()) == 2


@pytest.mark.parametrize(
    "overrides",
    [
        ["method.loss_type=exo_pair", "method.label_smoothing=0.1"],
        ["method=robust", "method.label_smoothing=0"],
        ["method.fine_grained=true", "logprob_avg=true"],
        [
            "method=steerlm",
            "method.attributes.verbosity=1",
            "model.attribute_template='{question} {attributes}'",
        ],
        ["method=sft", "judge=longer", "data=pairs", "data.path=pyproject.toml"],  # no teacher is asked
        ["data_limit=1", "data_scale=0.5"],
        ["train.max_text_tokens=null", "train.zero_stage=2"],
    ],
)
def test_what_is_allowed_composes(overrides):
    compose_config(overrides)


def test_a_method_is_sft_or_has_a_loss():
    for name in options("method"):
        method = compose_config([f"method={name}"]).method
        assert bool(weighted_losses(method)) == (method.train_on in (TrainOn.pairs, TrainOn.labelled))
        assert ("beta" in method.axes) == bool(weighted_losses(method))


def test_the_papers_13b_runs_have_the_papers_settings():
    """Settings of the paper's appendix, or else of its authors' scripts."""
    config = compose_config(["model=llava_1_5_13b", "train=paper", "method=dpo"])
    model, train, sampling = config.model, config.train, config.data.sampling
    assert (model.path, model.chat_template) == ("llava-hf/llava-1.5-13b-hf", "vicuna_v1")
    assert model.pad_to_square
    assert (model.lora.r, model.lora.lora_alpha, model.lora.lora_dropout) == (128, 256, 0.05)
    assert (model.train_projector, model.projector_lr) == (True, 2e-5)
    assert (config.beta, config.lr, config.logprob_avg) == (0.1, 5e-5, False)
    assert (train.per_device_train_batch_size, train.gradient_accumulation_steps, train.num_train_epochs) == (
        8,
        4,
        3,
    )
    assert (train.lr_scheduler_type, train.warmup_ratio, train.weight_decay) == ("cosine", 0.03, 0)
    assert (train.max_text_tokens, train.too_long) == (3000, TooLong.cut_answer)
    assert (train.zero_stage, train.tf32, train.activation_checkpointing) == (3, True, True)
    assert (config.method.loss_type, config.method.fine_grained) == ("sigmoid", False)
    assert (config.pairs.margin, config.pairs.rule) == (2, PairRule.random_worse)
    assert (sampling.completions, sampling.temperature) == (4, 0.7)
    for name in ("sft", "rejection_sampling", "steerlm"):
        config = compose_config(["model=llava_1_5_13b", "train=paper", f"method={name}"])
        train = config.train
        assert (config.lr, config.beta, train.num_train_epochs) == (4e-4, None, 3)
        assert (
            train.per_device_train_batch_size,
            train.gradient_accumulation_steps,
            train.max_text_tokens,
        ) == (16, 2, 2048)
    assert set(config.method.attributes.values()) == {4}


def test_methods_using_an_axis_are_read_from_their_files():
    assert methods_using("logprob_avg") == ["dpo", "dpo_sft", "mpo"]
    assert set(methods_using("beta")) >= {"dpo", "ipo"}


def test_losses_are_those_of_trl():
    from trl import DPOConfig

    text = DPOConfig.__dataclass_fields__["loss_type"].metadata["help"]
    assert [name for name in LOSSES if f"`'{name}'`" not in text] == []
    assert text.count("`'") == len(LOSSES)


def test_the_schema_holds_the_papers_numbers():
    train, lora = Config().train, Config().model.lora
    assert (
        train.per_device_train_batch_size,
        train.gradient_accumulation_steps,
        train.lr_scheduler_type,
        train.weight_decay,
    ) == (8, 4, "cosine", 0.0)
    assert (lora.r, lora.lora_alpha) == (128, 256)
