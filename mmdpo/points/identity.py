"""Identity of a point: the settings that change its result, and the contents behind its paths.

Of the settings only those count that the point uses and that differ from the schema's defaults, so a new setting with
a default, a label, or a setting of another method changes no identity. Fields that are marked `NO_RESULT` do not
count. Floats are rounded to 12 significant digits. A path is replaced by the content found there.
"""

from __future__ import annotations

import dataclasses
import typing
from collections.abc import Hashable, Iterator
from dataclasses import dataclass
from enum import Enum, StrEnum
from functools import cache, cached_property
from typing import Any, cast

from omegaconf import MISSING

from mmdpo.config.choices import (
    BENCHMARKS,
    LOSSES,
    RULES,
    SMOOTHED,
    SYNTHETIC_FORMATS,
    UNPAIRED_LOSSES,
    WITHOUT_REFERENCE,
    AdapterUse,
    AnswerEngine,
    TrainOn,
)
from mmdpo.config.losses import weighted_losses
from mmdpo.config.markers import NoResult
from mmdpo.config.schema import AXES, BenchConfig, Config, JudgeConfig
from mmdpo.files import fingerprint
from mmdpo.judge.rubric import load_rubric
from mmdpo.nano import DATA_VERSION
from mmdpo.points.contents import Content, contents, remembered, start_contents, tasks_with_files

OF_SOME_TASKS = frozenset(["noise", "noise_per_turn", "references", "repeats", "both_orders"])
"""Settings of `bench` that only the tasks read that name them (`Task.reads`)."""

RULE_OF_BENCH = "oracle"
"""The rules of `bench.judge` by default, which no identity names."""

OF_RATINGS = ("rubric", "temperature", "max_output_tokens", "structured", "image_side")
"""Settings of a service that its ratings by a rubric depend on."""

DIGITS = 12  # significant digits of a float
BY_CONTENT = frozenset(
    "model.path model.chat_template model.pad_to_square model.adapter data.path data.image_root data.hub "
    "data.hub_config data.hub_split data.hub_revision generator.adapter".split()
)
"""Settings that the fingerprints of contents stand for."""

OF_BASE = frozenset(["model.dtype", "bench"])
"""Settings that the scores of a model depend on that is not trained."""


BENCH_JUDGE = frozenset(["bench.judge"])

SHOWN_OF_BASE = frozenset(
    ["stage", "resume", "out", "study", "objective", "data_scale", "bench", "cluster", "tracking"]
    + [f"model.{key}" for key in ("name", "path", "dtype", "chat_template", "pad_to_square", "threads")]
)
"""Settings that have a meaning for a model that is not trained."""


class Role(StrEnum):
    """Purpose of a point; those between the first and the last are the dashed lines of a figure."""

    trained = "trained"
    base = "base"
    before_visual_tuning = "before_visual_tuning"
    start = "start"  # the model that the trainings start from, with `model.adapter`
    imported = "imported"  # answers of another program's, which a user has imported


@dataclass(frozen=True)
class Identity:
    """Settings and contents that a point's result depends on.

    Attributes:
        settings: The settings that count, by dotted key; JSON-able.
        contents: The contents that count, by `override:kind`.
    """

    settings: dict[str, Any]
    contents: dict[str, Content]

    @cached_property
    def hex(self) -> str:
        """The identity as 16 hexadecimal digits."""
        return fingerprint([self.settings, {key: one.fingerprint for key, one in self.contents.items()}])


def identity(config: Config, role: Role) -> Identity:
    """Return the identity of a point.

    Args:
        config: The point's config, checked.
        role: The point's role.

    Returns:
        Its settings and contents. Raises UserError if a path leads nowhere.
    """
    settings = {key: value for key, value in _differing(config) if not under(key, BY_CONTENT)}
    if role is Role.trained:
        unused = _unused(config)
        settings = {key: value for key, value in settings.items() if not under(key, unused)}
        settings |= _of_training_data(config)
        if settings.get("pairs.aggregate") == sorted(load_rubric(config.judge.rubric).aggregate):
            del settings["pairs.aggregate"]  # the default, written out
        if config.cluster.processes > 1:  # the batch of a step is that many times as large
            settings["cluster.processes"] = config.cluster.processes
    else:
        settings = {key: value for key, value in settings.items() if under(key, OF_BASE)}
    settings = {key: value for key, value in settings.items() if not under(key, BENCH_JUDGE)}
    unused_of_bench = _unused_of_bench(config.bench)
    settings = {key: value for key, value in settings.items() if not under(key, unused_of_bench)}
    settings |= of_bench_judge(config.bench)
    if role in (Role.before_visual_tuning, Role.start):
        settings["role"] = role.value
    if set(config.bench.tasks) - tasks_with_files(config.bench):
        settings["nano.version"] = DATA_VERSION
    settings["bench.tasks"] = sorted(set(config.bench.tasks))
    found = contents(config)
    if role is Role.start:
        found |= start_contents(config.model)
    return Identity(settings, found)


def flatten(config: Any, prefix: str = "") -> dict[str, Any]:
    """Return a dataclass as a flat `dotted.key: plain value`."""
    flat: dict[str, Any] = {}
    for field in dataclasses.fields(config):
        key, value = prefix + field.name, getattr(config, field.name)
        if dataclasses.is_dataclass(value):
            flat |= flatten(value, key + ".")
        elif _holds_groups(value):
            for name, entry in value.items():
                flat |= flatten(entry, f"{key}.{name}.")
        else:
            flat[key] = value.value if isinstance(value, Enum) else value
    return flat


def of_role(flat: dict[str, Any], role: Role) -> dict[str, Any]:
    """Return the settings of a flat config that have a meaning for a role: an untrained model has no beta."""
    return flat if role is Role.trained else {key: one for key, one in flat.items() if under(key, SHOWN_OF_BASE)}


@cache
def under(key: str, roots: frozenset[str]) -> bool:
    """Return whether a dotted key is one of the roots or below one."""
    return any(key == root or key.startswith(root + ".") for root in roots)


def plain(value: Any) -> Any:
    """Return a setting as JSON-able data in one spelling: enums by value, floats rounded, whole floats as integers."""
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, float):
        rounded = float(f"{value:.{DIGITS}g}")
        return int(rounded) if rounded.is_integer() else rounded
    if isinstance(value, list | tuple):
        return [plain(entry) for entry in value]
    if isinstance(value, dict):
        return {str(key): plain(entry) for key, entry in value.items()}
    return value


@dataclass(frozen=True)
class _Field:
    name: str
    default: Any  # plain; MISSING if there is none
    counts: bool


@cache
def _fields(schema: Any) -> tuple[_Field, ...]:
    """List the fields of a schema's dataclass with their defaults and whether they change a result."""
    hints = typing.get_type_hints(schema, include_extras=True)
    found = []
    for field in dataclasses.fields(schema):
        marks = getattr(hints[field.name], "__metadata__", ())
        if field.default_factory is not dataclasses.MISSING:
            default = field.default_factory()
        else:
            default = MISSING if field.default is dataclasses.MISSING else field.default
        found.append(_Field(field.name, plain(default), not any(isinstance(mark, NoResult) for mark in marks)))
    return tuple(found)


def _differing(group: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yield the settings that change a result and differ from their defaults."""
    for field in _fields(cast(Hashable, type(group))):
        if not field.counts:
            continue
        key, value = prefix + field.name, getattr(group, field.name)
        if dataclasses.is_dataclass(value):
            yield from _of_group(value, key).items()
        elif _holds_groups(value):
            for name, entry in value.items():
                yield from _differing(entry, f"{key}.{name}.")
        elif field.default == MISSING or plain(value) != field.default:
            yield key, sorted(value) if key == "pairs.aggregate" else plain(value)


def _of_group(group: Any, key: str) -> dict[str, Any]:
    """Return the settings of a group that differ; points that differ in axes share their groups."""

    def differing() -> tuple[Any, dict[str, Any]]:
        return group, dict(_differing(group, f"{key}."))  # with the group, whose id is the key

    return remembered(("settings", key, id(group)), differing)[1]


def _unused_of_bench(bench: BenchConfig) -> frozenset[str]:
    """List the settings of `bench` that its tasks do not read."""
    read = {name for task in set(bench.tasks) for name in BENCHMARKS.load(task).reads}
    unused = {f"bench.{name}" for name in OF_SOME_TASKS - read}
    return frozenset(unused if bench.engine is not AnswerEngine.model else {*unused, "bench.server"})


def of_bench_judge(bench: BenchConfig) -> dict[str, Any]:
    """Return the settings of `bench.judge` that count: the name of rules, or what a service's replies depend on.

    Tasks that ask their own questions set the decoding, except for what a model refuses or needs. Ratings by a rubric
    depend on more.
    """
    judge = bench.judge
    if judge.client in RULES.names():
        return {} if judge.client == RULE_OF_BENCH else {"bench.judge": judge.client}
    counted = {
        "client": judge.client,
        "model": judge.model,
        "base_url": judge.base_url,
        "temperature": "null" if judge.temperature is None else None,
        "reasoning_effort": judge.reasoning_effort,
        "extra_body": plain(judge.extra_body) or None,
    }
    if any(BENCHMARKS.load(name).judge_use.value == "rated" for name in set(bench.tasks)):
        rating = {field.name: field.default for field in _fields(JudgeConfig) if field.name in OF_RATINGS}
        values = {name: plain(getattr(judge, name)) for name in rating}
        counted |= {name: value for name, value in values.items() if value is not None and value != rating[name]}
    return {f"bench.judge.{key}": value for key, value in counted.items() if value is not None}


def _holds_groups(value: Any) -> bool:
    return isinstance(value, dict) and any(map(dataclasses.is_dataclass, value.values()))


def _unused(config: Config) -> frozenset[str]:
    """List the settings, or groups of them, that a trained point does not use."""
    method, train_on = config.method, config.method.train_on
    losses = weighted_losses(method).keys()
    unsmoothed = {*LOSSES, *UNPAIRED_LOSSES} - {*SMOOTHED}
    conditions = {
        "method.label_smoothing": bool(losses) and losses <= unsmoothed,
        **dict.fromkeys(("method.desirable_weight", "method.undesirable_weight"), train_on is not TrainOn.labelled),
        "method.fine_grained_weight": not method.fine_grained,
        "model.adapter_use": config.model.adapter is None and config.round == 1,
        "method.reference": not starts_from_adapter(config) or train_on in WITHOUT_REFERENCE,
        "model.attn_implementation": config.model.attn_implementation == "sdpa",  # which auto chooses, too
        "model.projector_lr": not config.model.train_projector,
        "model.attribute_template": train_on is not TrainOn.rated_completions,
        "train.too_long": config.train.max_text_tokens is None,
        "train.prompt_once": train_on is TrainOn.pairs and not config.train.prefix_sharing,
        **{axis: axis not in method.axes for axis in AXES},
        **_unused_of_data(config),
    }
    return frozenset(key for key, unused in conditions.items() if unused)


def starts_from_adapter(config: Config) -> bool:
    """Return whether a training starts from an adapter, its own or that of the round before."""
    later = config.round > 1 and config.model.adapter_use is not AdapterUse.sample
    return config.model.adapter is not None or later


def _unused_of_data(config: Config) -> dict[str, bool]:
    """List the unused settings of data, generator and judge; `_of_training_data` adds those that choose."""
    data, train_on = config.data, config.method.train_on
    if data.is_own:
        return dict.fromkeys(
            (
                "data.prompts",
                "data.text_prompts",
                "data.round_parts",
                "data.sources",
                "data.sampling",
                "generator",
                "judge",
                "pairs",
            ),
            True,
        )
    sampled = train_on is not TrainOn.teacher
    served = config.generator.sampler == "openai"  # one that the job starts serves model.path
    judge_keys = [field.name for field in dataclasses.fields(config.judge)]
    if config.judge.client in RULES.names():
        used_of_judge = ["rubric"]  # whose attributes `pairs.aggregate` names
    elif sampled:
        used_of_judge = [name for name in judge_keys if name not in ("client", "rubric")]
    else:
        used_of_judge = ["model", "base_url", "temperature", "max_output_tokens", "image_side"]
        used_of_judge += ["reasoning_effort", "extra_body"]
    of_pairs = train_on is TrainOn.pairs or (train_on is TrainOn.labelled and config.pairs.desirable is None)
    sources = [f"data.sources.{name}.{key}" for name in data.sources for key in ("path", "image_root", "format")]
    return {
        "data.format": True,
        "data.on_bad_row": not data.sources,
        "data.prompts": bool(data.sources),
        "data.text_prompts": bool(data.sources) or data.text_share is None,
        **dict.fromkeys(sources, True),
        "data.sampling": not sampled,
        "generator.sampler": True,
        "generator.model": not (sampled and served),
        "generator.base_url": not (sampled and served),
        "pairs.aggregate": train_on not in (TrainOn.pairs, TrainOn.labelled),
        **{f"pairs.{name}": not of_pairs for name in ("margin", "rule")},
        "pairs.desirable": train_on is not TrainOn.labelled,
        "pairs.cut": not sampled,
        **{f"judge.{name}": name not in used_of_judge for name in judge_keys},
    }


def _of_training_data(config: Config) -> dict[str, Any]:
    """Return the settings that choose where training data come from."""
    data = config.data
    if data.is_own:
        return {}
    chosen: dict[str, Any] = {"judge.client": config.judge.client}
    if config.method.train_on is not TrainOn.teacher:
        chosen["generator.sampler"] = config.generator.sampler
    if data.sources:
        return chosen | {f"data.sources.{name}.format": one.format for name, one in data.sources.items()}
    version = SYNTHETIC_FORMATS.load(str(data.format)).version()
    return {**chosen, "data.format": data.format, f"{data.format}.version": version}
