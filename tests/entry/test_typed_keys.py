"""Keys that were typed and are not read: refused with the key to type; those of presets are not."""

from __future__ import annotations

import copy
import functools
import itertools
from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir
from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import DictConfig, OmegaConf

from mmdpo.config.schema import CONF, GROUPS
from mmdpo.entry.compose_points import compose_points
from mmdpo.entry.typed_keys import TypedKeys
from mmdpo.errors import UserError
from tests.support.identities import IDENTITIES, own_files

OWN = "data=pairs data.path=pairs.jsonl"
SERVE = "generator.command='serve{model}{port}'"
ASKED = "bench.engine=openai bench.server.base_url=http://x bench.server.model='{point}'"
SOURCE = "data=prompts data.sources.prompts.path=llava.json judge=gemini"


@pytest.fixture(autouse=True)
def _own_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    own_files(tmp_path)


def run(line: str) -> int:
    """Compose the points of a line as the launcher does; returns their number."""
    words = (word.partition("=") for word in line.split())
    values = [[f"{key}{sign}{value}" for value in text.split(",")] for key, sign, text in words]
    points = [list(point) for point in itertools.product(*values)]
    return len([*compose_points(composed, points, TypedKeys())])


def composed(overrides: list[str]) -> DictConfig:
    """Compose with Hydra what chooses presets, once, and set the other keys, which is much faster."""
    parsed = OverridesParser.create().parse_overrides(overrides)
    presets = [one for one in parsed if one.is_delete() or one.key_or_group in GROUPS]
    node = copy.deepcopy(with_presets(*(str(one.input_line) for one in presets)))
    for one in parsed:
        if one not in presets:
            OmegaConf.update(node, one.key_or_group, one.value())
    return node


@functools.cache
def with_presets(*overrides: str) -> DictConfig:
    with initialize_config_dir(str(CONF), version_base="1.3"):
        return compose("config", list(overrides))


@pytest.mark.parametrize(
    ("line", "key", "instead"),
    [
        ("method.lr=1e-3,1e-5", "method.lr", "type lr="),
        ("model.lr.ipo=1e-3", "model.lr.ipo", "type lr="),
        ("model.lr.dpo=1e-3 lr=1e-4", "model.lr.dpo", "type lr="),
        ("method.beta=0.2 beta=0.1", "method.beta", "type beta="),
        ("method.logprob_avg=true logprob_avg=false", "method.logprob_avg", "type logprob_avg="),
        ("method.per_device_train_batch_size=4", "method.per_device_train_batch_size", "type train.per_device_train_"),
        ("method.gradient_accumulation_steps=2", "method.gradient_accumulation_steps", "type train.gradient_accumul"),
        ("method.max_text_tokens=50", "method.max_text_tokens", "type train.max_text_tokens="),
        ("train=paper train.max_text_tokens=9 method.max_text_tokens=50", "method.max_text_tokens", "type train.max_"),
        ("model.threads=2 cluster.threads=1", "model.threads", "type cluster.threads="),
        ("data.root=.", "data.root", "type data.sources.NAME.path="),
        ("method.fine_grained_weight=2", "method.fine_grained_weight", "add method.fine_grained=true"),
        ("method=ipo method.label_smoothing=0", "method.label_smoothing", "robust"),
        ("method.loss_type=sft beta=0.1,0.2", "beta", "method.loss_type="),
        ("model.projector_lr=1e-3", "model.projector_lr", "add model.train_projector=true"),
        ("model.attribute_template=x", "model.attribute_template", "method=steerlm"),
        ("train.max_text_tokens=null train.too_long=drop", "train.too_long", "add train.max_text_tokens="),
        ("train.lr_scheduler_type=constant train.warmup_ratio=0.1", "train.warmup_ratio", "constant_with_warmup"),
        ("method=sft train.prefix_sharing=false", "train.prefix_sharing", "pairs"),
        ("train.prefix_sharing=false train.prompt_once=false", "train.prompt_once", "train.prefix_sharing"),
        ("method=sft pairs.cut=keep", "pairs.cut", "method=dpo"),
        ("method=steerlm pairs.margin=3", "pairs.margin", "method=dpo"),
        ("data.image_root=images", "data.image_root", "choose data=pairs"),
        ("data.on_bad_row=drop", "data.on_bad_row", "choose data=pairs"),
        (f"{SOURCE} data.prompts=5", "data.prompts", "data.sources.NAME.count="),
        (f"{OWN} data.sampling.temperature=1", "data.sampling.temperature", "data=prompts"),
        (f"{OWN} generator.adapter=adapter", "generator.adapter", "data=prompts"),
        (f"{OWN} pairs.margin=1", "pairs.margin", "data=prompts"),
        (f"{OWN} judge=longer", "judge", "bench.judge="),
        (f"{OWN} judge.rubric=helpsteer_1", "judge.rubric", "bench.judge="),
        ("method=sft data.sampling.top_p=0.9", "data.sampling.top_p", "method="),
        ("method=steerlm pairs.rule=all", "pairs.rule", "method=dpo"),
        ("generator.concurrency=4", "generator.concurrency", "generator=openai"),
        ("generator.command=x", "generator.command", "generator=server"),
        (
            "generator=openai generator.model=a generator.base_url=http://x generator.start_timeout=9",
            "generator.start_timeout",
            "generator=server",
        ),
        (f"generator=server {SERVE} generator.base_url=http://x", "generator.base_url", "generator=openai"),
        ("bench.server.concurrency=4", "bench.server.concurrency", "bench.engine=server"),
        (f"{ASKED} bench.server.start_timeout=9", "bench.server.start_timeout", "bench.engine=server"),
        (f"{ASKED} bench.batch_size=9", "bench.batch_size", "bench.server.concurrency="),
        ("judge.temperature=1", "judge.temperature", "choose judge=gemini"),
        ("judge.limits.budget=null", "judge.limits.budget", "choose judge=gemini"),
        (f"{SOURCE} judge.batch_size=9", "judge.batch_size", "add judge.batch=true"),
        (f"{SOURCE} method=sft judge.structured=false", "judge.structured", "answers"),
        ("cluster.mem=4G", "cluster.mem", "choose cluster=slurm"),
        ("cluster=local_parallel cluster.timeout_min=9", "cluster.timeout_min", "choose cluster=slurm"),
        ("cluster=slurm cluster.mail_user=me", "cluster.mail_user", "add cluster.mail_type="),
        ("tracking=none tracking.project=mine", "tracking.project", "choose tracking=wandb"),
        ("method=dpo,sft generator=openai generator.model=a,b generator.base_url=http://x", "generator.model", "equal"),
    ],
)
def test_a_key_without_effect_is_refused(line: str, key: str, instead: str) -> None:
    with pytest.raises(UserError) as caught:
        run(line)
    (problem,) = (one for one in str(caught.value).splitlines() if one.startswith(f"{key}="))
    assert "not read" in problem
    assert instead in problem


@pytest.mark.parametrize(
    ("line", "points"),
    [
        *((line, 1) for line in IDENTITIES if line.partition("=")[0] in {*GROUPS} - {"method"}),
        ("train=paper method.per_device_train_batch_size=2,4 method.max_text_tokens=100", 2),
        ("~model.lr.dpo method.lr=1e-3,1e-4", 2),
        ("model.lr.dpo=1e-3,1e-4", 2),
        ("method.beta=0.1,0.2", 2),
        ("method=dpo,ipo model.lr.ipo=1e-3", 2),
        ("method=dpo,sft data.sampling.temperature=0.5", 2),  # read by one of them
        ("data_scale=0,0.5 lr=1e-3,1e-4 train.warmup_ratio=0", 4),  # the base is one point
        ("model.threads=2", 1),
        (f"{OWN} stage=annotate judge=longer", 1),
        ("method=robust method.label_smoothing=0.1,0.2", 2),
        ("cluster=local_parallel cluster.array_parallelism=2", 1),
        ("cluster=slurm cluster.mem=4G cluster.mail_user=me cluster.mail_type=END", 1),
        ("model.lora={r:8}", 1),
    ],
)
def test_what_is_read_may_be_typed(line: str, points: int) -> None:
    assert run(line) == points


def test_every_problem_is_named_with_all_its_values() -> None:
    with pytest.raises(UserError) as caught:
        run("method.lr=1e-3,1e-5 judge.temperature=1")
    assert [line.partition(" ")[0] for line in str(caught.value).splitlines()] == [
        "method.lr=1e-3,1e-5",
        "judge.temperature=1",
    ]


def test_of_a_custom_loss_the_keywords_that_it_names_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import mmdpo.training.losses as losses

    (tmp_path / "own").mkdir()
    (tmp_path / "own" / "mine5.py").write_text("def loss(chosen, rejected, *, label_smoothing):\n    return chosen\n")
    monkeypatch.setattr(losses, "__path__", [*losses.__path__, str(tmp_path / "own")])
    assert run("method.loss_type=mine5 method.label_smoothing=0.1,0.2") == 2
    with pytest.raises(UserError, match=r"^beta=0.1,0.2 is not read: method.loss_type=mine5 does not use it"):
        run("method.loss_type=mine5 beta=0.1,0.2")
