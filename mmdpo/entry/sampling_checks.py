"""Checks of the sampler that answers the prompts, and of the selection of pairs from its answers."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from mmdpo.config.choices import RUBRICS
from mmdpo.config.schema import GeneratorConfig, PairsConfig
from mmdpo.entry.server_checks import started_generator_problems
from mmdpo.judge.rubric import load_rubric


def generator_problems(generator: GeneratorConfig) -> Iterator[str]:
    """Describe each setting that the chosen sampler needs or does not take."""
    if generator.sampler == "openai":
        for key, given in {"model": generator.model, "base_url": generator.base_url}.items():
            if not given:
                yield f"generator.{key} is missing: generator={generator.name} needs it; add generator.{key}=..."
    if generator.sampler == "server":
        yield from started_generator_problems(generator)
    if generator.adapter and generator.sampler == "openai":
        yield f"generator.adapter: generator={generator.name} takes none; choose generator=model or generator=server"
    elif generator.adapter and not (Path(generator.adapter) / "adapter_config.json").is_file():
        yield (
            f"generator.adapter={generator.adapter}: holds no adapter_config.json; type "
            "generator.adapter=outputs/STUDY/POINT/adapter"
        )


def pairs_problems(pairs: PairsConfig, rubric_name: str) -> Iterator[str]:
    """Describe each problem of the aggregate by which pairs are selected."""
    if pairs.aggregate is None or rubric_name not in RUBRICS.names():
        return
    rubric = load_rubric(rubric_name)
    if not pairs.aggregate or len(set(pairs.aggregate)) < len(pairs.aggregate):
        yield f"pairs.aggregate={pairs.aggregate}: name each attribute once, and at least one; null: the rubric's"
    for name in pairs.aggregate:
        if name not in rubric.attributes:
            allowed = ", ".join(rubric.attributes)
            yield f"pairs.aggregate: {name} is unknown; allowed are {allowed} (judge.rubric={rubric.name})"
