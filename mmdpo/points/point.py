"""A point of a sweep: its config, role, name and folder."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mmdpo.config.choices import BENCHMARKS, Stage
from mmdpo.config.schema import AXES, GROUPS, Config, ModelConfig
from mmdpo.config.shard import Shard, parse_shard
from mmdpo.errors import UserError
from mmdpo.models.model_files import is_causal
from mmdpo.points.contents import contents_remembered, remembered
from mmdpo.points.identity import BY_CONTENT, Identity, Role, flatten, identity, plain, under
from mmdpo.points.naming import LONG_SUFFIX, SUFFIX, readable_name
from mmdpo.points.records import read_record
from mmdpo.points.results import ADAPTER, has_answers, has_unscored, read_training
from mmdpo.points.reuse import known_training, same_model
from mmdpo.points.status import SHARES
from mmdpo.points.study_records import study_records

SHARED = tuple(field.name for field in dataclasses.fields(Config) if field.name not in AXES)
"""The settings that no axis changes."""


@dataclass(frozen=True)
class Point:
    """One config, the name of its folder, and its role."""

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
    def shard(self) -> Shard | None:
        """The share of the samples that is answered (`bench.shard`); None for all of them."""
        return parse_shard(self.config.bench.shard)

    @property
    def work_name(self) -> str:
        """The folder of this run's lock, status and logs, below the study; each share of a point has its own."""
        return f"{self.name}/{SHARES}/{self.shard.label}" if self.shard else self.name

    @property
    def work_folder(self) -> Path:
        """The folder of this run's lock, status and logs."""
        return self.study / self.work_name

    @property
    def whole(self) -> Point:
        """The point with all its samples."""
        bench = dataclasses.replace(self.config.bench, shard=None)
        return dataclasses.replace(self, config=dataclasses.replace(self.config, bench=bench))

    @property
    def adapter(self) -> Path | None:
        """The folder of the adapter of the point's model; None for a model without one."""
        if self.role is Role.start:
            return Path(self.config.model.adapter or "")
        return self.folder / ADAPTER if self.role is Role.trained else None

    @property
    def identity(self) -> Identity:
        """The identity by the contents as they are now."""
        return identity(self.config, self.role)

    @property
    def axes(self) -> dict[str, Any]:
        """Method and axes; None if they have no meaning for an untrained model."""
        values = {"method": self.config.method.name, **{axis: getattr(self.config, axis) for axis in AXES}}
        if self.role is Role.trained:
            return values
        return {key: self.config.data_scale if key == "data_scale" else None for key in values}


def point(config: Config) -> Point:
    """Return the point of a checked config; its folder is found by identity if it exists."""
    return _named(_untouched(config), Role.base) if config.is_base else _named(config, Role.trained)


def _untouched(config: Config) -> Config:
    """Return the config of a model that is not trained, without what a training would start from."""
    defaults = ModelConfig()
    model = dataclasses.replace(config.model, adapter=None, adapter_use=defaults.adapter_use)
    return dataclasses.replace(config, model=model, data_scale=0.0, round=1)


def points_of(configs: Iterable[Config]) -> list[Point]:
    """Return the point of each config; contents and existing folders are looked at once.

    Configs of the same identity are one point and get the name of the first.

    Raises UserError if a sweep varies only settings that change no result, so that its points would all be one.
    """
    with contents_remembered():
        names: dict[tuple[Path, str], str] = {}
        firsts: dict[tuple[Path, str], Config] = {}
        taken: set[tuple[Path, str]] = set()
        found = []
        for config in configs:
            p = point(config)
            key = (p.study, p.identity.hex)
            if key not in names:
                clash = (p.study, p.name) in taken
                names[key] = _with_suffix(p.name.rpartition("-")[0], key[1], LONG_SUFFIX) if clash else p.name
                taken.add((p.study, names[key]))
            require_other_result(firsts.setdefault(key, config), p)
            found.append(dataclasses.replace(p, name=names[key]))
        return found


def require_other_result(first: Config, p: Point) -> None:
    """Raise UserError if a trained point has the identity of an earlier one and yet other settings.

    Paths and labels do not count: the same content may have two places, and the same settings two names. Neither do
    the shares of one point.
    """
    if p.role is not Role.trained or first == p.config:
        return
    one, two = ({key: plain(value) for key, value in flatten(config).items()} for config in (first, p.config))
    labels = {*(f"{group}.name" for group in GROUPS), "bench.shard"}
    differing = {
        key: (one.get(key), value) for key, value in two.items() if one.get(key) != value and key not in labels
    }
    if differing and not any(under(key, BY_CONTENT) or key.startswith("data.sources.") for key in differing):
        found = "; ".join(f"{key}={a} and {key}={b}" for key, (a, b) in differing.items())
        raise UserError(f"{found}: these points have the same result; type one value per setting that changes none")


def before_visual_tuning(config: Config) -> Point | None:
    """Return the point that measures the language model from before visual tuning, if the model names one.

    One that takes no images is measured on the tasks without images; where there are none, it has no point.
    """
    path = config.model.before_visual_tuning
    if path is None:
        return None
    model = dataclasses.replace(config.model, path=path, before_visual_tuning=None)
    config = _untouched(dataclasses.replace(config, model=model))
    if takes_text_only(path):
        tasks = tasks_without_images(config)
        if not tasks:
            return None
        model = dataclasses.replace(model, pad_to_square=False)
        config = dataclasses.replace(config, model=model, bench=dataclasses.replace(config.bench, tasks=tasks))
    return _named(config, Role.before_visual_tuning)


def takes_text_only(path: str) -> bool:
    """Return whether a model from before visual tuning is a language model without a part for images."""
    return remembered(("text only", path), lambda: is_causal(path))


def tasks_without_images(config: Config) -> list[str]:
    """List the tasks of a config that a model without images can be measured on."""
    return [name for name in config.bench.tasks if BENCHMARKS.load(name).text_only]


def start_point(config: Config) -> Point | None:
    """Return the point that measures the model which the trainings start from; None if that is the base."""
    if config.model.adapter is None:
        return None
    return _named(dataclasses.replace(config, data_scale=0.0, round=1), Role.start)


def baselines(config: Config) -> list[Point]:
    """Return the untrained models that a point of this config is compared with."""
    before, start = before_visual_tuning(config), start_point(config)
    return [point(dataclasses.replace(config, data_scale=0.0)), *filter(None, (before, start))]


def unique_up_to_axes(configs: Iterable[Config]) -> list[Config]:
    """Return the first of each group of configs that differ only in axes."""
    found: list[Config] = []
    for config in configs:
        if not any(all(getattr(config, name) == getattr(one, name) for name in SHARED) for one in found):
            found.append(config)
    return found


def require_stage(p: Point, stage: Stage) -> None:
    """Raise UserError for a point that has no such stage, or that needs another stage first.

    The training and the answers of other points with the same model count: the stage takes them over.
    """
    if stage is Stage.train and p.config.is_base:
        raise UserError("data_scale=0 is the untouched base: there is nothing to train; use stage=evaluate")
    if stage is Stage.export and p.config.is_base:
        raise UserError("data_scale=0 is the untouched base: there is no adapter for stage=export")
    if stage is Stage.judge and not _answers_known(p):
        raise UserError(f"{p.name} has no answers yet: run the same command with stage=evaluate")
    if stage not in (Stage.export, Stage.evaluate) or p.config.is_base:
        return
    if read_training(p.folder) is None and known_training(p.study, p.identity) is None:
        raise UserError(f"{p.name} is not trained yet: run the same command with stage=train")


def is_judged_again(p: Point, stage: Stage) -> bool:
    """Return whether a finished point is judged once more: it has unscored items, and they are to be asked again."""
    retry = p.config.judge.retry_unscored or p.config.bench.judge.retry_unscored
    return stage is Stage.judge and retry and has_unscored(p.folder)


def _answers_known(p: Point) -> bool:
    """Return whether this point, or others with its model, have answers to its tasks, perhaps to other samples."""
    missing = [task for task in p.config.bench.tasks if not has_answers(p.folder, [task])]
    others = same_model(p.study, p.identity) if missing else []
    return all(any(has_answers(other, [task]) for other in others) for task in missing)


def training_to_take(p: Point) -> Path | None:
    """Return the folder of a point whose training this one would take over; None if it is trained or finds none."""
    if p.role is not Role.trained or read_training(p.folder) is not None:
        return None
    return known_training(p.study, p.identity)


def _named(config: Config, role: Role) -> Point:
    """Return a point under the name of its existing folder, else under a new one."""
    own = identity(config, role)
    study = Path(config.out) / config.study
    if existing := _folders(study).get(own.hex):
        return Point(config, role, existing)
    readable = readable_name(config, role, own)
    name = _with_suffix(readable, own.hex, SUFFIX)
    record = read_record(study / name)
    if record is not None and record.identity != own.hex:
        name = _with_suffix(readable, own.hex, LONG_SUFFIX)
    return Point(config, role, name)


def _folders(study: Path) -> dict[str, str]:
    """Return the names of a study's folders by identity; of equal ones that which was written first."""
    return remembered(
        ("folders", study),
        lambda: {record.identity: record.folder.name for record in reversed(study_records(study)) if record.identity},
    )


def _with_suffix(readable: str, identity: str, digits: int) -> str:
    return f"{readable}-{identity[:digits]}"
