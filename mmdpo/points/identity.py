"""A point of a sweep: its identity, its readable name and its folder."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum, StrEnum
from functools import cache
from pathlib import Path
from typing import Any

from mmdpo.config.choices import Stage
from mmdpo.config.schema import AXES, Config
from mmdpo.errors import UserError
from mmdpo.files import file_fingerprint, fingerprint
from mmdpo.models.paths import PACKAGE, resolve_path
from mmdpo.points.status import has_answers


class Role(StrEnum):
    """What a point measures; the last two are the dashed lines of a figure."""

    trained = "trained"
    base = "base"
    before_visual_tuning = "before_visual_tuning"


NOT_RESULT = frozenset(
    {
        *("stage", "dry_run", "resume", "out", "study", "objective", "cluster", "tracking"),
        *(
            "train.save_steps",
            "train.save_total_limit",
            "train.logging_steps",
            "train.precompute_ref_batch_size",
        ),
        *("bench.batch_size", "data.sampling.batch_size", "model.before_visual_tuning"),
        *("judge.limits", "judge.price", "judge.journal", "judge.timeout", "judge.api_key"),
        *(
            "judge.batch",
            "judge.batch_size",
            "judge.retry_unscored",
            "generator.concurrency",
            "generator.timeout",
            "generator.api_key",
        ),
    }
)
"""Settings that do not change a result, and so are no part of a point's identity."""

OF_BASE = frozenset(
    ["model.path", "model.weights", "model.dtype", "model.chat_template", "model.pad_to_square", "bench"]
)
"""The settings that the untouched model's scores depend on."""


SHARED = tuple(field.name for field in dataclasses.fields(Config) if field.name not in AXES)
"""The settings that no axis changes."""


@dataclass(frozen=True)
class Point:
    """One config, where it lies, and what it is measured for."""

    config: Config
    role: Role
    name: str

    @property
    def study(self) -> Path:
        """The folder of the study."""
        return Path(self.config.out) / self.config.study

    @property
    def folder(self) -> Path:
        """The folder of the point."""
        return self.study / self.name

    @property
    def axes(self) -> dict[str, Any]:
        """Method and axes; None where they mean nothing for an untrained model."""
        values = {"method": self.config.method.name, **{axis: getattr(self.config, axis) for axis in AXES}}
        if self.role is Role.trained:
            return values
        return {key: self.config.data_scale if key == "data_scale" else None for key in values}


def point(config: Config) -> Point:
    """The point of a checked config."""
    role = Role.base if config.is_base else Role.trained
    return Point(config, role, _name(config, role))


def before_visual_tuning(config: Config) -> Point | None:
    """The point that measures the language model from before visual tuning, if the model names one."""
    path = config.model.before_visual_tuning
    if path is None:
        return None
    model = dataclasses.replace(config.model, path=path, before_visual_tuning=None)
    config = dataclasses.replace(config, model=model, data_scale=0.0)
    role = Role.before_visual_tuning
    return Point(config, role, _name(config, role))


def baselines(config: Config) -> list[Point]:
    """The untrained models that a point of this config is compared with."""
    before = before_visual_tuning(config)
    return [point(dataclasses.replace(config, data_scale=0.0)), *([before] if before else [])]


def unique_up_to_axes(configs: Iterable[Config]) -> list[Config]:
    """Of configs that differ in axes alone the first one: what their points share is asked of it."""
    found: list[Config] = []
    for config in configs:
        if not any(all(getattr(config, name) == getattr(one, name) for name in SHARED) for one in found):
            found.append(config)
    return found


def identity(config: Config) -> dict[str, Any]:
    """What a point's result depends on, as a flat `key: value`; data and shipped models by their content."""
    flat = {key: value for key, value in flatten(config).items() if not _under(key, NOT_RESULT)}
    if config.model.path.startswith(PACKAGE):
        flat["model.weights"] = _weights(config.model.path)
    if config.is_base:
        return {key: value for key, value in flat.items() if _under(key, OF_BASE)}
    if config.data.path is not None:
        flat["data.path"] = file_fingerprint(Path(config.data.path))
    if config.cluster.processes > 1:  # they share a step's rows: its batch is so many times as large
        flat["processes"] = config.cluster.processes
    return flat


@cache
def _weights(path: str) -> str:
    """Of a model that comes with a package and may change with it."""
    return file_fingerprint(Path(resolve_path(path)) / "model.safetensors")


def flatten(config: Any, prefix: str = "") -> dict[str, Any]:
    """A dataclass as a flat `dotted.key: plain value`."""
    flat: dict[str, Any] = {}
    for field in dataclasses.fields(config):
        key, value = prefix + field.name, getattr(config, field.name)
        if dataclasses.is_dataclass(value):
            flat |= flatten(value, key + ".")
        elif isinstance(value, dict) and any(map(dataclasses.is_dataclass, value.values())):
            for name, entry in value.items():
                flat |= flatten(entry, f"{key}.{name}.")
        else:
            flat[key] = value.value if isinstance(value, Enum) else value
    return flat


@cache
def _under(key: str, roots: frozenset[str]) -> bool:
    return any(key == root or key.startswith(root + ".") for root in roots)


def _name(config: Config, role: Role) -> str:
    suffix = fingerprint(identity(config), length=6)
    if role is not Role.trained:
        return f"{role.value}-{suffix}"
    parts = [config.method.name]
    if config.beta is not None:
        parts.append(f"beta{config.beta:g}")
    parts.append(f"lr{config.lr:g}")
    if config.logprob_avg is not None:
        parts.append("avg" if config.logprob_avg else "sum")
    parts.append(f"data{config.data_scale}")
    if config.data_limit is not None:
        parts.append(f"limit{config.data_limit}")
    if config.label_noise:
        parts.append(f"noise{config.label_noise:g}")
    return "-".join([*parts, f"seed{config.seed}", suffix])


def require_stage(p: Point, stage: Stage) -> None:
    """Raise UserError for a point that has no such stage, or not yet."""
    if stage is Stage.train and p.config.is_base:
        raise UserError("data_scale=0 is the untouched base: there is nothing to train; use stage=evaluate")
    if stage is Stage.export and p.config.is_base:
        raise UserError("data_scale=0 is the untouched base: there is no adapter for stage=export")
    if stage is Stage.judge and not has_answers(p.folder, p.config.bench.tasks):
        raise UserError(f"{p.name} has no answers yet: run the same line with stage=evaluate")
    if stage not in (Stage.export, Stage.evaluate) or p.config.is_base:
        return
    if not (p.folder / "training.json").exists():
        raise UserError(f"{p.name} is not trained yet: run the same line with stage=train")
