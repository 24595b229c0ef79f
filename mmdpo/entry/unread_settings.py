"""Settings that a point does not read, given its other settings, with what to type instead.

A preset may hold settings that its point does not read. One that the user typed is refused by
mmdpo/entry/typed_keys.py: it would have no effect.
"""

from __future__ import annotations

import copy
import dataclasses
import re
from collections.abc import Iterable, Iterator
from typing import Any

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from mmdpo.config.choices import (
    CLIENTS,
    CUSTOM_LOSSES,
    RULES,
    SMOOTHED,
    WITHOUT_REFERENCE,
    AnswerEngine,
    Runner,
    SearchKind,
    Stage,
    TrainOn,
    WandbMode,
)
from mmdpo.config.losses import shown_losses, weighted_losses
from mmdpo.config.schema import BenchConfig, ClusterConfig, Config, GeneratorConfig, JudgeConfig, MethodConfig
from mmdpo.entry.start_checks import starts_or_may
from mmdpo.entry.unread_bench import unread_of_bench

INDIRECT = {
    "method.beta": "beta",
    "method.lr": "lr",
    "method.logprob_avg": "logprob_avg",
    "method.per_device_train_batch_size": "train.per_device_train_batch_size",
    "method.gradient_accumulation_steps": "train.gradient_accumulation_steps",
    "method.max_text_tokens": "train.max_text_tokens",
    "model.lr": "lr",
    "model.threads": "cluster.threads",
    "data.root": "data.sources.NAME.path",
}
"""Settings that only other settings refer to, and the setting that the run reads."""

OTHERS = (7.25, 11, "other", True, False)
"""Values to replace a setting by, of which each type takes one."""


def unread_settings(node: DictConfig, config: Config, typed: Iterable[str]) -> dict[str, str]:
    """Find the typed keys that a point does not read; of one that is not trained, those of its benchmarks.

    Args:
        node: The composed config, with its references.
        config: The same config, resolved and checked.
        typed: Dotted keys that the user has set.

    Returns:
        The unread ones, each with the reason and what to type.
    """
    roots = dict(unread_of_bench(config.bench) if config.is_base else _unread(config))
    found = {}
    for key in typed:
        if key == "judge.retry_unscored" and config.stage is Stage.judge:
            continue  # short for bench.judge.retry_unscored
        if root := _root_of(key, roots):
            found[key] = roots[root]
        elif (root := _root_of(key, INDIRECT)) and not _is_referred_to(node, key):
            found[key] = f"here nothing refers to it; type {INDIRECT[root]}="
    return found


def _root_of(key: str, roots: Iterable[str]) -> str:
    return next((root for root in roots if key == root or key.startswith(f"{root}.")), "")


def _is_referred_to(node: DictConfig, key: str) -> bool:
    """Return whether another value of the config changes with this one."""
    changed = copy.deepcopy(node)
    OmegaConf.set_readonly(changed, False)
    before = OmegaConf.select(changed, key)
    for value in OTHERS:
        try:
            OmegaConf.update(changed, key, value)
        except OmegaConfBaseException:
            continue
        if OmegaConf.select(changed, key) != before:
            break
    return _values_without(node, key) != _values_without(changed, key)


def _values_without(node: DictConfig, key: str) -> Any:
    values: Any = OmegaConf.to_container(node, resolve=True)
    parent = values
    *path, last = key.split(".")
    for name in path:
        parent = parent.get(name, {})
    parent.pop(last, None)
    return values


def _unread(config: Config) -> Iterator[tuple[str, str]]:
    """Yield each setting or group of settings that is not read, with the reason."""
    yield from _of_method(config)
    yield from _of_training(config)
    yield from _of_data(config)
    if not _brings_answers(config) or config.stage is Stage.annotate:
        yield from _of_judge(config)
    yield from _of_engine(config.bench)
    yield from unread_of_bench(config.bench)
    yield from _of_cluster(config.cluster)
    if config.search.kind is SearchKind.none:
        for name in (field.name for field in dataclasses.fields(config.search) if field.name not in ("name", "kind")):
            yield f"search.{name}", f"search={config.search.name} prunes nothing; add search=halving"
    if config.tracking.mode is WandbMode.none:
        for name in ("project", "entity", "tags", "host", "workspace"):
            yield f"tracking.{name}", f"tracking={config.tracking.name} sends nothing to W&B; choose tracking=wandb"


def _brings_answers(config: Config) -> bool:
    """Return whether the user's file holds the answers, so that none is sampled and none is rated."""
    return config.data.is_own


def _of_method(config: Config) -> Iterator[tuple[str, str]]:
    method = config.method
    losses = weighted_losses(method)
    loss = f"{shown_losses(method)} does not use it"
    if losses and not any(name in SMOOTHED or _custom_loss_names(name, "label_smoothing") for name in losses):
        yield "method.label_smoothing", f"{loss}; the losses {', '.join(SMOOTHED)} do"
    if losses and not any(_names_beta(name) for name in losses):
        yield "beta", f"{loss}; choose another method.loss_type="
    if method.train_on is not TrainOn.labelled:
        for name in ("desirable_weight", "undesirable_weight"):
            yield f"method.{name}", f"method={method.name} has no labels; choose method=kto"
    if not method.fine_grained:
        yield "method.fine_grained_weight", "all tokens have the same weight; add method.fine_grained=true"


def _names_beta(loss: str) -> bool:
    return _custom_loss_names(loss, "beta") if loss in CUSTOM_LOSSES.names() else loss != "sft"


def _custom_loss_names(loss: str, keyword: str) -> bool:
    """Return whether a custom loss names a keyword; False for any other loss."""
    if loss not in CUSTOM_LOSSES.names():
        return False
    return re.search(rf"\b{keyword}\b", CUSTOM_LOSSES.file(loss).read_text(encoding="utf-8")) is not None


def _of_training(config: Config) -> Iterator[tuple[str, str]]:
    method, model, train = config.method, config.model, config.train
    if config.model.adapter is None and config.rounds == 1:
        yield "model.adapter_use", "the training starts from the base; add model.adapter= or rounds="
    if not starts_or_may(config):
        add = "type model.adapter_use=train" if config.rounds > 1 else "add model.adapter= or rounds="
        yield "method.reference", f"the training starts from the base; {add}"
    elif method.train_on in WITHOUT_REFERENCE:
        yield "method.reference", f"method={method.name} has no reference model; choose a method with pairs"
    if not model.train_projector:
        yield "model.projector_lr", "the projector is not trained; add model.train_projector=true"
    if method.train_on is not TrainOn.rated_completions:
        yield "model.attribute_template", f"method={method.name} requests no ratings; choose method=steerlm"
    if train.max_text_tokens is None:
        yield "train.too_long", "there is no limit; add train.max_text_tokens="
    if train.lr_scheduler_type == "constant":
        warmup = "choose train.lr_scheduler_type=constant_with_warmup"
        yield "train.warmup_ratio", f"train.lr_scheduler_type=constant has no warmup; {warmup}"
    if method.train_on not in (TrainOn.pairs, TrainOn.labelled):
        for name in ("prefix_sharing", "precompute_ref_batch_size"):
            yield f"train.{name}", f"method={method.name} is SFT; only methods with pairs or labels read it"
    elif method.train_on is TrainOn.labelled:
        yield "train.prompt_once", f"method={method.name} keeps the order of its rows, each with its own prompt"
    elif not train.prefix_sharing:
        yield "train.prompt_once", "train.prefix_sharing=false computes the prompt for each answer; drop one of both"


def _of_data(config: Config) -> Iterator[tuple[str, str]]:
    method, data = config.method, config.data
    if _brings_answers(config):
        reason = f"data={data.name} reads {data.path}, which holds the answers"
        for key in ("data.prompts", "data.text_prompts", "data.round_parts", "data.sampling", "generator", "pairs"):
            yield key, f"{reason}; drop it, or choose data=nano or data=prompts to sample the model's own"
        if config.stage is not Stage.annotate:
            yield "judge", f"{reason}, and rates none; the judge of the benchmarks is bench.judge="
        return
    if data.sources:
        for name in ("prompts", "text_prompts"):
            yield f"data.{name}", f"data={data.name} reads files; type data.sources.NAME.count="
        yield "data.image_root", "each source has its own; type data.sources.NAME.image_root="
    else:
        for name in ("image_root", "on_bad_row"):
            yield f"data.{name}", f"data.format={data.format} reads no file; choose data=pairs or data=prompts"
        if data.text_share is None:
            yield "data.text_prompts", "only data.text_share reads it; add data.text_share="
    if method.train_on is TrainOn.teacher:
        for key in ("data.sampling", "generator"):
            yield key, f"method={method.name} samples nothing: the judge answers; choose another method="
    else:
        yield from _of_generator(config.generator)
    unread = {
        TrainOn.pairs: ("desirable",),
        TrainOn.labelled: () if config.pairs.desirable is None else ("margin", "rule"),
        TrainOn.best_completion: ("margin", "rule", "desirable"),
        TrainOn.rated_completions: ("margin", "rule", "aggregate", "desirable"),
        TrainOn.teacher: ("margin", "rule", "aggregate", "cut", "desirable"),
    }
    for name in unread[method.train_on]:
        yield f"pairs.{name}", f"method={method.name} does not use it; {_user_of(method, name)}"


def _user_of(method: MethodConfig, name: str) -> str:
    """Say which method reads a setting of the pairs."""
    if name == "desirable":
        return "choose method=kto"
    if method.train_on is TrainOn.labelled:
        return "pairs.desirable labels every answer; type pairs.desirable=null"
    return "choose a method with a preference loss, as method=dpo"


def _of_generator(generator: GeneratorConfig) -> Iterator[tuple[str, str]]:
    if generator.sampler == "model":
        for name in ("model", "base_url", "api_key", "concurrency", "timeout", "command", "start_timeout"):
            reason = f"generator={generator.name} asks no server; choose generator=openai or generator=server"
            yield f"generator.{name}", reason
    elif generator.sampler == "server":
        for name in ("model", "base_url"):
            yield (
                f"generator.{name}",
                f"generator={generator.name} starts a server of model.path; choose generator=openai",
            )
    else:
        for name in ("command", "start_timeout"):
            yield f"generator.{name}", f"generator={generator.name} asks a server that runs; choose generator=server"


def _of_engine(bench: BenchConfig) -> Iterator[tuple[str, str]]:
    if bench.engine is AnswerEngine.model:
        yield "bench.server", "the model answers in this process; choose bench.engine=openai or bench.engine=server"
        return
    yield "bench.batch_size", f"bench.engine={bench.engine} makes its own batches; type bench.server.concurrency="
    if bench.engine is AnswerEngine.openai:
        for name in ("command", "start_timeout"):
            yield f"bench.server.{name}", "bench.engine=openai asks a server that runs; choose bench.engine=server"
    else:
        for name in ("model", "base_url"):
            yield f"bench.server.{name}", "bench.engine=server starts its own server; choose bench.engine=openai"


def _of_judge(config: Config) -> Iterator[tuple[str, str]]:
    judge = config.judge
    read: tuple[str, ...] = ("name", "client", "rubric", "repeat", "share", "retry_unscored", "batch")
    if judge.client in RULES.names():
        services = "|".join(CLIENTS.names())
        for field in dataclasses.fields(JudgeConfig):
            if field.name not in read:
                reason = f"judge={judge.name} rates by rules, without a service; choose judge={services}"
                yield f"judge.{field.name}", reason
        return
    if not judge.batch:
        for key in ("judge.batch_size", "judge.price.batch"):
            yield key, "requests are sent one by one; add judge.batch=true"
    if config.method.train_on is TrainOn.teacher and not _brings_answers(config):
        for name in ("rubric", "structured", "seed", "repeat", "share"):
            yield f"judge.{name}", f"method={config.method.name} asks the judge for answers and not for ratings"


def _of_cluster(cluster: ClusterConfig) -> Iterator[tuple[str, str]]:
    read = {
        Runner.in_turn: ("name", "runner", "threads"),
        Runner.parallel: ("name", "runner", "threads", "array_parallelism", "gpus_per_node"),
    }.get(cluster.runner)
    for field in dataclasses.fields(cluster):
        if read is not None and field.name not in read:
            yield f"cluster.{field.name}", f"cluster={cluster.name} runs on this machine; choose cluster=slurm"
    if read is None and cluster.mail_user and not cluster.mail_type:
        yield "cluster.mail_user", "SLURM sends no mail without cluster.mail_type=; add cluster.mail_type=END"
