"""The work that is left of points, as amounts of which the time can be predicted."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Iterator, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from mmdpo.config.choices import CLIENTS, AnswerEngine, Stage, TrainOn
from mmdpo.config.schema import Config
from mmdpo.evaluation.answers import answers_amounts, answers_kind
from mmdpo.evaluation.samples import SampleSet
from mmdpo.pipeline.data_stages import find_existing, pipeline, prompts_count
from mmdpo.pipeline.evaluating import judging_kind
from mmdpo.pipeline.point_samples import sample_sets_of
from mmdpo.pipeline.training_sets import selection_of, training_set
from mmdpo.points.identity import Role
from mmdpo.points.point import Point, training_to_take
from mmdpo.points.results import has_answers, read_training
from mmdpo.sweep.speeds import Work
from mmdpo.timings import POINT
from mmdpo.training.amounts import reference_amounts, training_amounts

LOAD = "load"
DATA_NOT_MADE = "training (its data are not made yet: stage=build makes them)"


def shared_work(points: Sequence[Point], stage: Stage) -> Iterator[Work]:
    """Yield the work that points share: the data stages and the reference log-probs that are not in the cache."""
    if stage not in (Stage.experiment, Stage.train):
        return
    yielded: set[str] = set()
    for p in points:
        if p.role is not Role.trained or _is_trained(p):
            continue
        for work in (*_data_work(p.config), *_reference_work(p.config)):
            if repr(work) not in yielded:
                yielded.add(repr(work))
                yield work


def point_work(p: Point, stage: Stage) -> Iterator[Work]:
    """Yield the work that is left of one point, without what it shares with others."""
    config, trains = p.config, p.role is Role.trained and not _is_trained(p)
    yield Work(POINT, {"points": 1.0, "trained": float(p.role is Role.trained)})
    if stage in (Stage.experiment, Stage.train) and trains:
        examples = _examples(config)
        if examples is None:
            yield Work(DATA_NOT_MADE, {})
        else:
            examples = selection_of(config).select(examples)
            yield Work("train", training_amounts(config.train, examples, config.cluster.processes))
    sets = _sets(config) if stage is not Stage.train else []
    if stage in (Stage.experiment, Stage.evaluate):
        asked = [one for one in sets if not has_answers(p.folder, [one.name])]
        if asked and config.bench.engine is AnswerEngine.model:
            yield Work(LOAD, {"loads": 1.0})
        for one in asked:
            prompts = one.asked if p.shard is None else one.asked[:: p.shard.count]
            yield Work(
                answers_kind(one.name, config.bench), _by_process(answers_amounts(prompts, config.bench), config)
            )
    if stage in (Stage.experiment, Stage.judge) and config.bench.judge.client not in CLIENTS.names():
        answers = float(sum(len(one.asked) for one in sets))
        yield Work(judging_kind(config.bench), {"tasks": float(len(sets)), "answers": answers})


def is_judged_by_service(points: Sequence[Point], stage: Stage) -> bool:
    """Return whether a service judges some of the points, whose time its limits decide."""
    judged = stage in (Stage.experiment, Stage.judge)
    return judged and any(p.config.bench.judge.client in CLIENTS.names() for p in points)


def _is_trained(p: Point) -> bool:
    return read_training(p.folder) is not None or training_to_take(p) is not None


def _by_process(amounts: dict[str, float], config: Config) -> dict[str, float]:
    """Divide answers by the processes that give them together."""
    processes = config.cluster.processes
    return {unit: amount if unit == "sets" else amount / processes for unit, amount in amounts.items()}


def _data_work(config: Config) -> Iterator[Work]:
    for stage in [] if config.data.is_own else pipeline(config):
        if find_existing(config, stage) is None:
            yield Work(f"data/{stage.value}", {"made": 1.0, "prompts": float(prompts_count(config))})


def _reference_work(config: Config) -> Iterator[Work]:
    from mmdpo.training.reference import is_reference_known

    examples = _examples(config)
    if config.method.train_on is TrainOn.pairs and examples is not None:
        root = training_set(config).image_root
        if not is_reference_known(config.model, config.method.reference, config.train, examples, root):
            yield Work("reference", reference_amounts(config.train, examples))


def _examples(config: Config) -> list[Any] | None:
    """Return the examples within data_limit; None if they are not made yet."""
    if not config.data.is_own and find_existing(config, pipeline(config)[-1]) is None:
        return None
    examples: Any = training_set(config).examples
    return selection_of(config).candidates(examples)


def _sets(config: Config) -> list[SampleSet]:
    attributes = {} if config.is_base else config.method.attributes
    key = repr(
        (dataclasses.replace(config.bench, batch_size=1, shard=None), attributes, config.model.attribute_template)
    )
    if key not in _remembered_sets():
        with TemporaryDirectory() as scratch:
            _remembered_sets()[key] = sample_sets_of(config, Path(scratch))
    return _remembered_sets()[key]


@functools.cache
def _remembered_sets() -> dict[str, list[SampleSet]]:
    return {}
