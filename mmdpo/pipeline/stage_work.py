"""Kinds and amounts of work of the data stages, for their times."""

from __future__ import annotations

from mmdpo.config.choices import RULES, Stage
from mmdpo.config.schema import Config


def stage_kind(config: Config, stage: Stage) -> str:
    """Return the kind of work of a data stage, for its time: it depends on what samples, or on what judges."""
    kind = f"data/{stage.value}"
    if stage is Stage.sample:
        return f"{kind}/{config.generator.sampler}"
    return f"{kind}/{config.judge.client}" if stage in (Stage.annotate, Stage.teacher) else kind


def stage_amounts(config: Config, stage: Stage) -> dict[str, float]:
    """Count the work of a data stage: folders that are made, and prompts or completions."""
    prompts = float(prompts_count(config))
    if stage is Stage.sample:
        return {"made": 1.0, "completions": prompts * config.data.sampling.completions}
    return {"made": 1.0, "prompts": prompts}


def is_asked_of_service(config: Config, stage: Stage) -> bool:
    """Return whether a service makes a data stage, whose limits decide how long it takes."""
    if stage is Stage.sample:
        return config.generator.sampler == "openai"
    return stage in (Stage.annotate, Stage.teacher) and config.judge.client not in RULES.names()


def prompts_count(config: Config) -> int:
    """Return the number of prompts that a config asks for; 0 if its files decide."""
    sources = config.data.sources.values()
    found = sum(source.count or 0 for source in sources) if sources else config.data.prompts or 0
    return found // (config.data.round_parts or 1)
