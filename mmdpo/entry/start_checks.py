"""Checks of the adapter that a training starts from, and of rounds."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from mmdpo.config.choices import AdapterUse, SearchKind, TrainOn
from mmdpo.config.schema import Config
from mmdpo.points.identity import starts_from_adapter

WHOLE_WEIGHTS = "the weights are partitioned before an adapter can be loaded into them"


def start_problems(config: Config) -> Iterator[str]:
    """Describe what is wrong with the adapter that a training starts from, with the override to type."""
    model = config.model
    if model.adapter is not None:
        if not (Path(model.adapter) / "adapter_config.json").is_file():
            yield (
                f"model.adapter={model.adapter}: holds no adapter_config.json; type "
                "model.adapter=outputs/STUDY/POINT/adapter"
            )
        if model.adapter_use is AdapterUse.sample:
            yield (
                "model.adapter_use=sample: is a choice of later rounds (rounds=); to sample from an adapter and train "
                f"on the base, type generator.adapter={model.adapter} without model.adapter="
            )
    if starts_or_may(config) and model.adapter_use is AdapterUse.merge:
        if model.quantization is not None:
            yield "model.quantization: nothing can be merged into 4-bit weights; type model.adapter_use=train"
        if model.lora.use_dora:
            yield "model.lora.use_dora: two adapters with DoRA cannot become one; type model.adapter_use=train"
    if starts_or_may(config) and config.train.zero_stage == 3 and not config.is_base:
        yield f"train.zero_stage=3: {WHOLE_WEIGHTS}; type train.zero_stage=2"


def rung_problem(config: Config) -> str | None:
    """Describe why a training cannot be measured at rungs and pruned, with the override to type; None if it can."""
    if config.rounds > 1:
        return "a later round begins with the end of the round before, and a pruned point has none; type rounds=1"
    if config.model.adapter is not None and config.model.adapter_use is AdapterUse.merge:
        return "a rung holds the new LoRA without the merged one; type model.adapter_use=train"
    return None


def halving_problems(config: Config) -> Iterator[str]:
    """Describe why points cannot be pruned by `search`, with the override to type."""
    if config.search.kind is not SearchKind.none and not config.is_base and (problem := rung_problem(config)):
        yield f"search={config.search.name}: {problem}, or search=none"


def rounds_problems(config: Config) -> Iterator[str]:
    """Describe why a point can have no further rounds, with the override to type."""
    if config.rounds == 1 or config.is_base:
        return
    if config.data.round_parts is not None and config.rounds > config.data.round_parts:
        yield (
            f"data.round_parts={config.data.round_parts}: each of rounds={config.rounds} needs a part of the prompts; "
            f"type data.round_parts={config.rounds}, or data.round_parts=null for all prompts in each round"
        )
    begin = f"rounds={config.rounds}: each round samples from the adapter of the round before"
    if config.data.is_own:
        yield f"{begin}, and data={config.data.name} has its own answers; choose data=nano or data=prompts"
    elif config.method.train_on is TrainOn.teacher:
        yield f"{begin}, and method={config.method.name} samples nothing; choose another method="
    elif config.generator.sampler == "openai":
        yield f"{begin}, and generator={config.generator.name} asks a server that runs; choose generator=model"
    if config.judge.share < 1:
        yield f"{begin}, and judge.share={config.judge.share} rates too few answers to train on; type judge.share=1"


def starts_or_may(config: Config) -> bool:
    """Return whether the trainings of a command start from an adapter, in a later round perhaps."""
    later = config.rounds > 1 and config.model.adapter_use is not AdapterUse.sample
    return starts_from_adapter(config) or later
