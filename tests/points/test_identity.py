"""Identities: settings and contents that change them, others that do not, and a fixed table."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import yaml

from mmdpo.config.choices import PairRule, TooLong
from mmdpo.config.schema import (
    BenchConfig,
    Config,
    DataConfig,
    JudgeConfig,
    LoraConfig,
    MethodConfig,
    ModelConfig,
    TrainConfig,
)
from mmdpo.entry.compose import compose_config
from mmdpo.points.contents import Content
from mmdpo.points.identity import Role, identity, plain
from mmdpo.points.point import before_visual_tuning
from tests.support.identities import IDENTITIES, hex_of, own_files
from tests.support.identities import identity_of as of

CONFIG = compose_config()


@pytest.fixture(autouse=True)
def _fixed_places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    own_files(tmp_path)


@pytest.mark.parametrize(
    ("method", "counts"), [("dpo", True), ("steerlm", True), ("rejection_sampling", True), ("sft", False)]
)
def test_keeping_cut_completions_makes_another_point_where_there_are_completions(method: str, counts: bool) -> None:
    assert (of(f"method={method}") != of(f"method={method}", "pairs.cut=keep")) is counts
    assert of(f"method={method}") == of(f"method={method}", "pairs.cut=drop")


def test_identities_are_those_of_the_table() -> None:
    """A finished point must stay findable: change a line only if its result has changed."""
    assert len(IDENTITIES) >= 30
    found = {line: of(*line.split()) for line in IDENTITIES}
    wrong = {line: value for line, value in found.items() if value != IDENTITIES[line]}
    assert wrong == {}
    assert len({*found.values()}) == len(found)


def test_the_language_model_from_before_visual_tuning_is_a_point_of_its_own() -> None:
    before = before_visual_tuning(CONFIG)
    assert before is not None
    same_weights = dataclasses.replace(before.config, data_scale=0.0)
    assert hex_of(before.config, Role.before_visual_tuning) != hex_of(same_weights, Role.base)


@pytest.mark.parametrize(
    "overrides",
    [
        ["method.name=mine", f"lr={CONFIG.lr}"],
        ["model.name=mine", "study=nano"],
        ["study=x", "out=y", "objective=visual", "tracking=none"],
        ["model.lr.sft=1"],
        ["method.lr=1", f"lr={CONFIG.lr}"],
        ["method.fine_grained_weight=9"],
        ["model.projector_lr=1"],
        ["model.attn_implementation=sdpa"],
        ["model.attribute_template='{question} {attributes} please'"],
        ["train.dataloader_num_workers=3"],
        ["train.save_steps=7", "train.save_total_limit=9", "train.logging_steps=5"],
        ["train.precompute_ref_batch_size=3", "train.activation_checkpointing=true", "train.zero_stage=2"],
        ["data.sampling.batch_size=3", "bench.batch_size=7"],
        ["judge.limits.concurrency=3", "judge.timeout=1", "judge.repeat=0.5"],
        ["judge.temperature=1", "judge.seed=3"],  # the rules have neither
        ["generator.model=x", "generator.timeout=1"],
        ["cluster.threads=2", "model.threads=2"],
        ["bench.tasks=[visual,text,text_noisy,presence]"],
        ["train.warmup_ratio=0.03", "train.num_train_epochs=1.0"],  # the defaults
        ["train.prompt_once=true"],  # finished points stay done; only false is another recipe
        ["data.text_prompts=9"],  # without data.text_share
        ["beta=0.1000000000000001", "data_scale=0.9999999999999999"],
    ],
)
def test_what_changes_no_result_changes_no_identity(overrides: list[str]) -> None:
    assert of(*overrides) == hex_of(CONFIG)


@pytest.mark.parametrize(
    "override",
    [
        "beta=0.2",
        "lr=1e-3",
        "logprob_avg=true",
        "data_scale=0.5",
        "data_limit=100",
        "label_noise=0.25",
        "seed=1",
        "method=ipo",
        "method.fine_grained=true",
        "model.lora.r=8",
        "model.lora.lora_alpha=8",
        "model.lora.lora_dropout=0.1",
        "model.lora.use_rslora=true",
        "model.train_projector=true",
        "model.dtype=bfloat16",
        "model.pad_to_square=true",
        "model.chat_template=vicuna_v1",
        "model.path=pkg://mmdpo/nano/weights/instruct",
        "train.num_train_epochs=2",
        "train.max_text_tokens=20",
        "train.too_long=drop",
        "train.prefix_sharing=false",
        "train.prompt_once=false",
        "train.lr_scheduler_type=linear",
        "train.tf32=false",
        "pairs.margin=3",
        "judge=longer",
        "data.prompts=10",
        "data.text_share=0",
        "data.text_share=0.5",
        "data.seed=1",
        "data.sampling.temperature=1",
        "bench.items=10",
        "bench.split=dev",
        "bench.tasks=[text]",
        "bench.judge=longer",
    ],
)
def test_what_changes_a_result_changes_the_identity(override: str) -> None:
    assert of(override) != hex_of(CONFIG)


@pytest.mark.parametrize(
    ("override", "counts"),
    [
        ("bench.judge.max_output_tokens=9", True),
        ("bench.judge.temperature=1", True),
        ("bench.judge.model=other", True),
        ("bench.judge.limits.concurrency=2", False),
        ("bench.judge.retry_unscored=true", False),
        ("bench.judge.shutdown='2027-01-14'", False),
    ],
)
def test_ratings_of_the_answers_depend_on_what_is_sent(override: str, counts: bool) -> None:
    service = ["stage=judge", "bench.judge=gemini"]
    assert (of(*service, override) != of(*service)) is counts


def test_a_range_gives_the_same_point_as_the_number() -> None:
    assert hex_of(dataclasses.replace(CONFIG, beta=0.1 + 0.2)) == of("beta=0.3")
    assert hex_of(dataclasses.replace(CONFIG, beta=0.3 + 1e-9)) != of("beta=0.3")


def test_plain_values_have_one_spelling() -> None:
    assert plain(1.0) == 1
    assert isinstance(plain(1.0), int)
    assert plain([0.1 + 0.2, TooLong.drop, {"a": 2.0}]) == [0.3, "drop", {"a": 2}]
    assert plain(True) is True
    assert plain(12345678901234567890) == 12345678901234567890


def test_rows_of_a_prompt_are_separate_without_prefix_sharing() -> None:
    both = ("train.prefix_sharing=false", "train.prompt_once=false")
    assert of(*both) == of(both[0])
    assert of("method=steerlm", both[1]) != of("method=steerlm")


def test_the_processes_that_train_together_count() -> None:
    one, four = (["cluster=slurm", f"cluster.gpus_per_node={count}"] for count in (1, 4))
    assert of(*one) == hex_of(CONFIG) != of(*four)
    assert of(*four, "data_scale=0") == of("data_scale=0")


def test_a_base_depends_on_model_and_benchmarks_alone() -> None:
    others = ["method=sft", "beta=null", "seed=4", "model.lora.r=8", "data.seed=3", "train.num_train_epochs=9"]
    assert of("data_scale=0", *others) == of("data_scale=0")
    assert of("data_scale=0", "bench.items=9") != of("data_scale=0")
    assert of("data_scale=0", "model.dtype=bfloat16") != of("data_scale=0")


def test_sft_uses_neither_completions_nor_pairs() -> None:
    sft = ["method=sft"]
    for override in ("data.sampling.temperature=1", "pairs.margin=3", "generator.model=x", "judge.rubric=helpsteer_1"):
        assert of(*sft, override) == of(*sft)


@pytest.mark.parametrize("group", ["", "method", "model", "model.lora", "data", "judge", "pairs", "bench", "train"])
def test_a_new_setting_with_a_default_changes_no_identity(group: str) -> None:
    def extended(old: object) -> object:
        """The same values in a schema with one more field."""
        kind = dataclasses.make_dataclass(
            f"New{type(old).__name__}",
            [("new", int, 7), ("list", list, field(default_factory=list))],
            bases=(type(old),),
        )
        return kind(**{one.name: getattr(old, one.name) for one in dataclasses.fields(old)})  # type: ignore[call-overload]

    config = compose_config()
    if not group:
        config = extended(config)  # type: ignore[assignment]
        last = config
    else:
        holder, _, name = group.rpartition(".")
        parent = getattr(config, holder) if holder else config
        last = extended(getattr(parent, name))  # type: ignore[assignment]
        setattr(parent, name, last)
    assert hex_of(config) == hex_of(CONFIG)
    last.new = 8  # type: ignore[attr-defined]
    expected = hex_of(CONFIG) if group == "judge" else None  # rules have no settings
    assert (hex_of(config) == hex_of(CONFIG)) == (expected is not None)


def test_identity_is_plain_data() -> None:
    found = identity(CONFIG, Role.trained)
    assert json.loads(json.dumps(found.settings)) == found.settings
    assert all(isinstance(content, Content) for content in found.contents.values())
    assert yaml.safe_load(yaml.safe_dump(found.settings)) == found.settings


def test_a_config_from_dataclasses_has_the_identity_of_the_composed_one() -> None:
    """Settings of the YAML files that equal the schema's defaults make no difference."""
    one = CONFIG
    bare = Config(
        study="x",
        beta=0.1,
        lr=one.lr,
        logprob_avg=False,
        method=MethodConfig("mine", one.method.train_on, "sigmoid", one.method.axes),
        model=ModelConfig("mine", one.model.path, lora=LoraConfig(32, 64, 0.0)),
        data=DataConfig("nano", format="nano", sampling=dataclasses.replace(one.data.sampling)),
        generator=dataclasses.replace(one.generator),
        judge=JudgeConfig(**{f.name: getattr(one.judge, f.name) for f in dataclasses.fields(one.judge)}),
        bench=BenchConfig("mine", ["text", "visual", "presence", "text_noisy"], max_new_tokens=40),
        train=TrainConfig(
            "mine",
            num_train_epochs=1,
            per_device_train_batch_size=16,
            gradient_accumulation_steps=1,
            max_text_tokens=128,
        ),
        cluster=one.cluster,
    )
    assert bare.pairs.rule is PairRule.random_worse
    assert hex_of(bare) == hex_of(one)


@dataclass
class _Unmarked:
    """Stand-in for a schema without markers."""

    name: str = "x"


def test_labels_are_left_out_by_their_mark_and_not_by_their_name() -> None:
    from mmdpo.points.identity import _differing

    assert dict(_differing(_Unmarked("mine"))) == {"name": "mine"}
    assert dict(_differing(LoraConfig(r=128))) == {}
