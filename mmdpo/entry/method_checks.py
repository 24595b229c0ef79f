"""Checks of the method: its axes, its loss, the data that it can use, and the ratings that it requests."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from string import Formatter

from mmdpo.config.choices import (
    CUSTOM_LOSSES,
    EXAMPLE_FORMATS,
    RUBRICS,
    SMOOTHED,
    UNPAIRED_LOSSES,
    PairRule,
    TrainOn,
    pair_losses,
    teachers,
)
from mmdpo.config.field_checks import unknown_choice
from mmdpo.config.losses import shown_losses, weighted_losses
from mmdpo.config.schema import AXES, Config, MethodConfig, methods_using
from mmdpo.judge.rubric import load_rubric

DEFAULTS = {field.name: field.default for field in dataclasses.fields(Config) if field.name in AXES}
MAY_BE_NULL = ("data_limit",)


def method_problems(config: Config) -> Iterator[str]:
    """Describe each problem of the method's settings, with the override to type."""
    yield from _axes(config)
    yield from _loss(config.method)
    yield from _smoothing(config.method)
    yield from _attributes(config)
    yield from _data(config)


def _axes(config: Config) -> Iterator[str]:
    method = config.method
    for axis in AXES:
        used, value = axis in method.axes, getattr(config, axis)
        unset = (None, DEFAULTS[axis])
        if not used and value not in unset:
            yield (
                f"{axis}={value}: method={method.name} does not use {axis}; drop it, or choose "
                f"method={'|'.join(methods_using(axis))}"
            )
        if used and value is None and axis not in MAY_BE_NULL:
            yield f"{axis} is missing: method={method.name} needs it; add {axis}=..."
    if "logprob_avg" in method.axes and config.logprob_avg and "sigmoid" not in weighted_losses(method):
        yield f"logprob_avg=true: {shown_losses(method)} does not support it; only sigmoid does"
    elif config.logprob_avg and "sigmoid_norm" in weighted_losses(method):
        yield (
            f"logprob_avg=true: makes sigmoid the same loss as sigmoid_norm, and {shown_losses(method)} has both; type "
            "logprob_avg=false, or drop one of both"
        )


def _loss(method: MethodConfig) -> Iterator[str]:
    if method.loss_type is not None and method.losses:
        yield f"method.loss_type={method.loss_type}: {shown_losses(method)} is set, too; type method.loss_type=null"
    if method.train_on is TrainOn.labelled:
        if method.losses or method.loss_type not in UNPAIRED_LOSSES:
            needed = f"type method.loss_type={UNPAIRED_LOSSES[0]}"
            yield f"{shown_losses(method)}: method={method.name} has no pairs; {needed}"
    elif method.train_on is not TrainOn.pairs:
        if weighted_losses(method):
            yield f"{shown_losses(method)}: method={method.name} is SFT; drop it, or choose method=dpo"
    elif not weighted_losses(method):
        yield f"method.loss_type is missing: method={method.name} needs one; allowed are {', '.join(pair_losses())}"
    elif method.loss_type in UNPAIRED_LOSSES:
        yield f"method.loss_type={method.loss_type}: is a loss of labelled answers; choose method=kto"
    for name in method.losses:
        if name not in pair_losses():
            yield unknown_choice("method.losses", name, pair_losses())
    yield from _fine_grained(method)


def _fine_grained(method: MethodConfig) -> Iterator[str]:
    if not method.fine_grained:
        return
    if method.train_on is not TrainOn.pairs:
        yield f"method.fine_grained=true: method={method.name} has no pairs; choose method=dpo"
    elif weighted_losses(method).keys() != {"sigmoid"}:
        yield f"method.fine_grained=true: {shown_losses(method)} does not support it; only sigmoid alone does"


def _smoothing(method: MethodConfig) -> Iterator[str]:
    smoothing, losses = method.label_smoothing, weighted_losses(method)
    if smoothing and not losses.keys() & {*SMOOTHED, *CUSTOM_LOSSES.names()}:
        yield f"method.label_smoothing={smoothing}: only the losses {', '.join(SMOOTHED)} use it"
    if not smoothing and "exo_pair" in losses:
        yield f"method.label_smoothing={smoothing}: must be above 0 and below 0.5 for the loss exo_pair"


def _data(config: Config) -> Iterator[str]:
    method, data, judge = config.method, config.data, config.judge
    own_pairs = data.is_own
    yield from _labels(config)
    if own_pairs and data.format in EXAMPLE_FORMATS.names() and method.train_on in (TrainOn.pairs, TrainOn.labelled):
        yield f"method={method.name}: data={data.name} has answers and no pairs; choose method=sft"
    if own_pairs and method.train_on in (TrainOn.best_completion, TrainOn.rated_completions):
        yield (
            f"method={method.name}: data={data.name} has no ratings; choose method=dpo, or method=sft for the "
            "chosen answers"
        )
    if not own_pairs and method.train_on is TrainOn.teacher and judge.client not in teachers():
        yield (
            f"judge={judge.name}: cannot answer prompts itself, as method={method.name} needs; choose "
            f"judge={'|'.join(teachers())}"
        )


def _labels(config: Config) -> Iterator[str]:
    method, pairs = config.method, config.pairs
    if method.train_on is not TrainOn.labelled:
        return
    if pairs.desirable is None and pairs.rule is PairRule.all and not config.data.is_own:
        yield (
            f"pairs.rule=all: method={method.name} would train on an answer with both labels; choose another rule, or "
            "type pairs.desirable=AGGREGATE"
        )
    if config.train.per_device_train_batch_size < 2:
        yield (
            f"train.per_device_train_batch_size={config.train.per_device_train_batch_size}: method={method.name} "
            "estimates the KL divergence from the other answers of a micro-batch; type at least 2"
        )


def _attributes(config: Config) -> Iterator[str]:
    method, template = config.method, config.model.attribute_template
    if method.train_on is not TrainOn.rated_completions:
        if method.attributes:
            yield f"method.attributes: method={method.name} requests no ratings; choose method=steerlm"
        return
    if config.judge.rubric not in RUBRICS.names():
        return  # reported with the choices
    rubric = load_rubric(config.judge.rubric)
    low, high = rubric.scale
    if set(method.attributes) != set(rubric.attributes):
        needed = ", ".join(rubric.attributes)
        yield f"method.attributes={method.attributes}: judge.rubric={rubric.name} needs exactly {needed}"
    for name, value in method.attributes.items():
        if not low <= value <= high:
            yield f"method.attributes.{name}={value}: must be at least {low} and at most {high}"
    allowed = ("question", "attributes", *rubric.attributes)
    try:
        template.format(question="", attributes="", **dict.fromkeys(rubric.attributes, 0))
        names = {name for _, name, _, _ in Formatter().parse(template)}
    except (LookupError, ValueError, AttributeError) as error:
        yield (
            f"model.attribute_template={template!r}: {error}; allowed are "
            f"{', '.join(f'{{{name}}}' for name in allowed)}"
        )
        return
    if "question" not in names:
        yield f"model.attribute_template={template!r}: has no {{question}}"
    if "attributes" not in names and not names >= set(rubric.attributes):
        needed = ", ".join(rubric.attributes)
        yield f"model.attribute_template={template!r}: names neither {{attributes}} nor all of {needed}"
