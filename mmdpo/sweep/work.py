"""The work that is left of points, as amounts of which the time can be predicted."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from mmdpo.config.choices import CLIENTS, AnswerEngine, Stage, TrainOn
from mmdpo.config.schema import Config
from mmdpo.evaluation.answers import answers_amounts, answers_kind
from mmdpo.evaluation.samples import SampleSet, are_samples_made
from mmdpo.pipeline.data_stages import find_existing, pipeline
from mmdpo.pipeline.evaluating import ANSWERING, judging_kind
from mmdpo.pipeline.point_samples import sample_sets_of
from mmdpo.pipeline.point_stages import training_settings
from mmdpo.pipeline.stage_work import is_asked_of_service, stage_amounts, stage_kind
from mmdpo.pipeline.training_sets import selection_of, training_set
from mmdpo.points.contents import remembered
from mmdpo.points.identity import Role
from mmdpo.points.point import Point, training_to_take
from mmdpo.points.results import has_answers, read_training
from mmdpo.points.rounds import is_ready, resolved
from mmdpo.sweep.speeds import Work
from mmdpo.timings import LIBRARIES, POINT, PREPARE, SAMPLES, TRAINING_LIBRARIES
from mmdpo.training.amounts import reference_amounts, training_amounts, training_kind

LOAD = "load"
DATA_NOT_MADE = "training (its data are not made yet: stage=build makes them)"
WITH_TRAINING = (Stage.experiment, Stage.train)


def is_trained_now(p: Point, stage: Stage) -> bool:
    """Return whether a stage trains a point: it is not trained yet, and no equal training is known."""
    return stage in WITH_TRAINING and p.role is Role.trained and not _is_trained(p)


def point_work(p: Point, stage: Stage) -> Iterator[Work]:
    """Yield the work that is left of one point, without what it shares with others."""
    yield start_of(p)
    if is_trained_now(p, stage):
        yield from training_work(p)
    if stage in (Stage.experiment, Stage.evaluate):
        yield from answering_work(p)
    if stage in (Stage.experiment, Stage.judge):
        yield from judging_work(p)


def start_of(p: Point) -> Work:
    """Return the work of a point without all that is timed within it."""
    return Work(POINT, {"points": 1.0, "trained": float(p.role is Role.trained)})


def training_work(p: Point, steps: int | None = None) -> Iterator[Work]:
    """Yield the work of a training.

    Args:
        p: The point.
        steps: The optimizer steps; None for all.
    """
    examples = selected(p.config)
    if examples is None:
        yield Work(DATA_NOT_MADE, {})
        return
    yield from (Work(kind, {"processes": 1.0}) for kind in (LIBRARIES, TRAINING_LIBRARIES))
    yield Work(PREPARE, {"trainings": 1.0, "rows": float(len(examples))})
    amounts = training_amounts(p.config.train, examples, p.config.cluster.processes, steps)
    yield Work(training_kind_of(p.config), amounts)


def training_kind_of(config: Config) -> str:
    """Return the kind of work of a point's training."""
    return training_kind(config.method, config.model, config.train)


def answering_work(p: Point) -> Iterator[Work]:
    """Yield the work of answering the samples of a point's tasks that have no answers yet."""
    sets = sets_of(p.config)
    asked = [one for one in sets if not has_answers(p.folder, [one.name])]
    if asked and p.config.bench.engine is AnswerEngine.model:
        yield Work(LIBRARIES, {"processes": 1.0})
        yield Work(LOAD, {"loads": 1.0})
    for one in asked:
        prompts = one.asked if p.shard is None else one.asked[:: p.shard.count]
        amounts = answers_amounts(prompts, p.config.bench)
        yield Work(answers_kind(one.name, p.config.bench), _by_process(amounts, p.config))
    if asked:
        yield Work(ANSWERING, {"sets": float(len(sets)), "answers": float(sum(len(one.asked) for one in sets))})


def judging_work(p: Point) -> Iterator[Work]:
    """Yield the work of judging a point's answers, unless a service judges."""
    bench = p.config.bench
    if bench.judge.client not in CLIENTS.names():
        sets = sets_of(p.config)
        answers = float(sum(len(one.asked) for one in sets))
        yield Work(judging_kind(bench), {"tasks": float(len(sets)), "answers": answers})


def shared_work(points: Iterable[Point], stage: Stage) -> list[tuple[Point, Work]]:
    """Return the work that trainings share: data stages and reference log-probs of pairs that are not in the cache.

    Args:
        points: Points of one round.
        stage: The stage to run.

    Returns:
        The work, each once, with the first point that needs it.
    """
    found: dict[str, tuple[Point, Work]] = {}
    for p in points:
        if is_trained_now(p, stage):
            for key, work in (*_data_work(p), *_reference_work(p)):
                found.setdefault(key, (p, work))
    return [*found.values()]


def samples_work(points: Iterable[Point], stage: Stage) -> list[tuple[Point, Work]]:
    """Return the samples that are not in the cache, each with the first point that answers them."""
    found: dict[tuple[str, int], tuple[Point, Work]] = {}
    for p in points if stage in (Stage.experiment, Stage.evaluate) else ():
        for one in sets_of(p.config):
            key = one.name, len(one.prompts)
            if key not in found and not are_samples_made(one.name, p.config.bench):
                found[key] = p, Work(SAMPLES, {"sets": 1.0, "items": float(len(one.prompts))})
    return [*found.values()]


def labelled_reference_work(points: Iterable[Point], stage: Stage) -> dict[str, Work]:
    """Return the reference passes of labelled answers that are not in the cache, by the first point that needs them.

    Their rows depend on the seed and the batch size, so that they are computed when a training starts.

    Args:
        points: The points.
        stage: The stage to run.
    """
    found: dict[str, tuple[str, Work]] = {}
    for p in points:
        if p.config.method.train_on is TrainOn.labelled and is_trained_now(p, stage):
            examples = selected(p.config)
            if examples is not None:
                key, is_known = _reference_of(p, examples)
                if not is_known:
                    work = Work("reference", reference_amounts(p.config.train, examples))
                    found.setdefault(key, (p.name, work))
    return dict(found.values())


def is_judged_by_service(points: Sequence[Point], stage: Stage) -> bool:
    """Return whether a service judges some of the points or their data, whose time its limits decide."""
    judged = stage in (Stage.experiment, Stage.judge)
    if judged and any(p.config.bench.judge.client in CLIENTS.names() for p in points):
        return True
    trained = (p for p in points if is_trained_now(p, stage))
    return any(is_asked_of_service(p.config, step) for p in trained for step in _stages_to_make(p.config))


def selected(config: Config) -> list[Any] | None:
    """Return the examples that a point trains on; None if they are not made yet.

    For a round whose adapter is not trained yet, these are the examples of the first round.
    """
    examples = _candidates(config)
    return None if examples is None else selection_of(config).select(examples)


def sets_of(config: Config) -> list[SampleSet]:
    """Return the sample sets of a point; points that have the same share them."""
    attributes = {} if config.is_base else config.method.attributes
    bench = dataclasses.replace(config.bench, batch_size=1, shard=None)
    key = repr((bench, attributes, config.model.attribute_template))

    def make() -> list[SampleSet]:
        with TemporaryDirectory() as scratch:
            return sample_sets_of(config, Path(scratch))

    return remembered(("sample sets", key), make)


def _is_trained(p: Point) -> bool:
    return read_training(p.folder) is not None or training_to_take(p) is not None


def _by_process(amounts: dict[str, float], config: Config) -> dict[str, float]:
    """Divide answers by the processes that give them together."""
    processes = config.cluster.processes
    return {unit: amount if unit == "sets" else amount / processes for unit, amount in amounts.items()}


def _known(config: Config) -> Config:
    """Return the config whose data can be looked up: of a round that cannot begin yet, that of the first one."""
    return resolved(config) if is_ready(config) else dataclasses.replace(config, round=1)


def _stages_to_make(config: Config) -> list[Stage]:
    """Return the data stages of a point that are not in the cache."""
    if config.data.is_own:
        return []
    if not is_ready(config):  # without parts, the prompts are those of the first round
        return pipeline(config)[0 if config.data.round_parts else 1 :]
    known = resolved(config)

    def look_up() -> list[Stage]:
        return [stage for stage in pipeline(known) if find_existing(known, stage) is None]

    return remembered(("stages to make", _data_settings(known)), look_up)


def _data_settings(config: Config) -> str:
    """Return the settings that the data of a config depend on."""
    return repr((config.data, config.generator, config.judge, config.pairs, config.method, config.model))


def _data_work(p: Point) -> Iterator[tuple[str, Work]]:
    for stage in _stages_to_make(p.config):
        if not is_asked_of_service(p.config, stage):
            yield _data_key(p, stage), Work(stage_kind(p.config, stage), stage_amounts(p.config, stage))


def _data_key(p: Point, stage: Stage) -> str:
    """Return what a data stage of a point depends on; in later rounds, on the point itself."""
    config = p.config
    parts: list[object] = [stage, config.data, p.name if config.round > 1 else None]
    if stage is not Stage.prompts:
        parts += [config.generator, config.model.path, config.model.dtype]
    if stage in (Stage.annotate, Stage.teacher, Stage.build):
        parts.append(config.judge)
    if stage is Stage.build:
        parts += [config.pairs, config.method.train_on]
    return repr(parts)


def _reference_work(p: Point) -> Iterator[tuple[str, Work]]:
    examples = _candidates(p.config)
    if p.config.method.train_on is not TrainOn.pairs or examples is None:
        return
    key, is_known = _reference_of(p, examples)
    if not is_known:
        yield f"libraries {key}", Work(LIBRARIES, {"processes": 1.0})
        yield key, Work("reference", reference_amounts(p.config.train, examples))


def _reference_of(p: Point, examples: Sequence[Any]) -> tuple[str, bool]:
    """Return what distinguishes a point's reference log-probs, and whether they are in the cache.

    Args:
        p: A point that is to be trained.
        examples: All pairs that its data_scale may select, or the labelled answers that it selects.
    """
    if not is_ready(p.config):
        return f"reference of {p.name}", False
    config = resolved(p.config)
    key: list[object] = ["reference", _data_settings(config), config.data_limit, repr(config.train)]
    if config.method.train_on is TrainOn.labelled:
        key += [config.data_scale, config.seed]
    return remembered(tuple(key), lambda: _look_up_reference(config, examples))


def _look_up_reference(config: Config, examples: Sequence[Any]) -> tuple[str, bool]:
    from mmdpo.training.reference import reference_path
    from mmdpo.training.reference_notes import is_noted_reference_known, reference_note

    root = training_set(config).image_root
    if config.method.train_on is TrainOn.labelled:
        note = reference_note(training_settings(config), examples, root)
        return str(note), is_noted_reference_known(note)
    path = reference_path(config.model, config.method.reference, config.train, examples, root)
    return str(path), path.exists()


def _candidates(config: Config) -> list[Any] | None:
    """Return the examples within data_limit; None if they are not made yet."""
    known = _known(config)
    return remembered(("candidates", _data_settings(known), known.data_limit), lambda: _read_candidates(known))


def _read_candidates(config: Config) -> list[Any] | None:
    if not config.data.is_own and find_existing(config, pipeline(config)[-1]) is None:
        return None
    examples: Any = training_set(config).examples
    return selection_of(config).candidates(examples)
