"""Training set of a point: what the data stages built, or the user's own pairs."""

from __future__ import annotations

import functools
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from mmdpo.config.choices import Stage, TrainOn
from mmdpo.config.schema import Config
from mmdpo.errors import UserError
from mmdpo.files import read_json
from mmdpo.pipeline.data_stages import CARD, get_or_make
from mmdpo.pipeline.own_pairs import TrainingSet, own_pairs
from mmdpo.records import LabelledAnswer, PreferencePair, Record, SftExample, read_records
from mmdpo.training.distributed import world_size
from mmdpo.training.schedule import check_schedule
from mmdpo.training_data.mixture import Selection


def training_set(config: Config) -> TrainingSet:
    """Return all examples of the method, before `data_limit`, `data_scale` and `label_noise`.

    SteerLM's examples ask for their own rating, in the form that the model's config names.
    """
    train_on = config.method.train_on
    if config.data.is_own:
        return _for_method(own_pairs(config.data, train_on), train_on)
    folder = get_or_make(config, Stage.build)
    images = get_or_make(config, Stage.prompts)
    counts = read_json(folder / CARD)["facts"]["counts"]
    if train_on is TrainOn.pairs:
        return TrainingSet(_built(folder, PreferencePair), images, counts)
    if train_on is TrainOn.labelled:
        return TrainingSet(_built(folder, LabelledAnswer), images, counts)
    examples = _built(folder, SftExample)
    if train_on is TrainOn.rated_completions:
        from mmdpo.judge.rubric import load_rubric
        from mmdpo.training_data.steerlm import steered

        attributes = load_rubric(config.judge.rubric).attributes
        examples = [steered(example, config.model.attribute_template, attributes) for example in examples]
    return TrainingSet(examples, images, counts)


def check_own_data(configs: Iterable[Config]) -> None:
    """Read the user's own data of points that will be trained, before the first of them starts.

    Args:
        configs: The configs of points that are not trained yet.

    Raises:
        UserError: A row is wrong, the model does not take a row's images or turns, or there are too few rows.
    """
    for config in configs:
        if config.data.is_own and not config.is_base:
            examples = training_set(config).examples
            check_forms(config, examples)
            check_selection(config, examples)


def selection_of(config: Config) -> Selection:
    """Return the settings that select a point's examples."""
    return Selection(config.data.seed, config.data_limit, config.data_scale, config.data.text_share)


def check_mixture(
    config: Config, examples: Sequence[PreferencePair] | Sequence[SftExample] | Sequence[LabelledAnswer]
) -> None:
    """Raise UserError if the examples cannot give `data.text_share`, with the setting that adds text-only ones."""
    if config.data.is_own:
        advice = "add rows without an image to your data"
    elif config.data.sources:
        advice = "add a source without images: +data.sources.text.format=llava_sft +data.sources.text.path=FILE"
    else:
        advice = "type a larger data.text_prompts="
    every: Sequence[Any] = examples
    selection_of(config).check(every, advice)


def check_selection(
    config: Config, examples: Sequence[PreferencePair] | Sequence[SftExample] | Sequence[LabelledAnswer]
) -> None:
    """Raise UserError if the axes select no example, flip no pair although they should, or leave nothing to learn.

    Args:
        config: The config of a trained point.
        examples: Its examples before `data_limit`, `data_scale` and `data.text_share`.
    """
    check_mixture(config, examples)
    every: Sequence[Any] = examples
    limited = selection_of(config).total(every)
    count = round(config.data_scale * limited)
    if not count:
        raise UserError(
            f"data_scale={config.data_scale}: selects none of {limited} examples; raise data_scale or data.prompts"
        )
    if config.label_noise and not round(config.label_noise * count):
        raise UserError(
            f"label_noise={config.label_noise}: flips none of {count} pairs; type a larger label_noise= or 0"
        )
    check_schedule(config.train, count, max(world_size(), config.cluster.processes))


def check_forms(config: Config, examples: Sequence[PreferencePair | SftExample | LabelledAnswer]) -> None:
    """Raise UserError if the model does not take the system turns or the several images of examples.

    Args:
        config: The config of a trained point.
        examples: Its examples.
    """
    special = [one for one in examples if one.system or len(one.images) > 1 or one.image_positions]
    if special:
        from mmdpo.models.chat import check_records
        from mmdpo.models.loading import load_processor

        check_records(load_processor(config.model), special)


@functools.lru_cache(maxsize=4)
def _built(folder: Path, kind: type[Record]) -> list[Record]:
    """Read a built set once per process: folders of the cache do not change."""
    return list(read_records(folder / "examples.jsonl", kind))


def _for_method(own: TrainingSet, train_on: TrainOn) -> TrainingSet:
    """Return the user's pairs, or their answers for a method that learns answers or their labels."""
    from mmdpo.training_data.kto import unpaired
    from mmdpo.training_data.sft import chosen_answers

    if train_on is TrainOn.pairs:
        return own
    pairs = [pair for pair in own.examples if isinstance(pair, PreferencePair)]
    if pairs and train_on is TrainOn.labelled:
        counts = Counter(own.counts)
        return replace(own, examples=unpaired(pairs, counts), counts=dict(counts))
    return replace(own, examples=list(chosen_answers(pairs))) if pairs else own
