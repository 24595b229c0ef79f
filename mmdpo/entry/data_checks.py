"""Checks of the data: its files and sources, the sampler, and the selection of pairs."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from mmdpo.config.choices import ATTRIBUTES, FORMATS
from mmdpo.config.field_checks import field_problems
from mmdpo.config.schema import DataConfig, GeneratorConfig, PairsConfig, SourceConfig


def data_problems(data: DataConfig) -> Iterator[str]:
    """Describe each problem of the data's settings and files, except ranges and choices."""
    if data.name in FORMATS and data.path is None:
        yield f"data.path is missing: data={data.name} needs your file; add data.path=FILE"
    if data.path is not None and not Path(data.path).is_file():
        yield f"data.path={data.path}: there is no such file; type data.path=FILE"
    if data.image_root is not None and not Path(data.image_root).is_dir():
        yield f"data.image_root={data.image_root}: there is no such folder; type data.image_root=DIR"
    yield from _source_names(data)
    for name, source in data.sources.items():
        yield from _source_files(f"data.sources.{name}", source)


def data_setting_problems(data: DataConfig) -> Iterator[str]:
    """Describe each wrong setting of the data, ranges and choices included; files may be missing."""
    yield from field_problems(data, "data.")
    yield from _source_names(data)


def _source_names(data: DataConfig) -> Iterator[str]:
    for name in data.sources:
        if not name.isidentifier():
            yield f"data.sources.{name}: the name of a source consists of letters, digits and underscores"


def _source_files(key: str, source: SourceConfig) -> Iterator[str]:
    if source.path is None or not Path(source.path).exists():
        yield f"{key}.path={source.path}: there is no such file or folder; type {key}.path=FILE"
    if source.image_root is not None and not Path(source.image_root).is_dir():
        yield f"{key}.image_root={source.image_root}: there is no such folder; type {key}.image_root=DIR"


def generator_problems(generator: GeneratorConfig) -> Iterator[str]:
    """Describe each setting that the chosen sampler needs or does not take."""
    if generator.sampler == "openai":
        for key, given in {"model": generator.model, "base_url": generator.base_url}.items():
            if not given:
                yield f"generator.{key} is missing: generator={generator.name} needs it; add generator.{key}=..."
    if generator.adapter and generator.sampler != "model":
        yield f"generator.adapter: generator={generator.name} takes none; choose generator=model"
    elif generator.adapter and not (Path(generator.adapter) / "adapter_config.json").is_file():
        yield (
            f"generator.adapter={generator.adapter}: holds no adapter_config.json; type "
            "generator.adapter=outputs/STUDY/POINT/adapter"
        )


def pairs_problems(pairs: PairsConfig) -> Iterator[str]:
    """Describe each problem of the aggregate by which pairs are selected."""
    if not pairs.aggregate or len(set(pairs.aggregate)) < len(pairs.aggregate):
        yield f"pairs.aggregate={pairs.aggregate}: name each attribute once, and at least one"
    for name in pairs.aggregate:
        if name not in ATTRIBUTES:
            yield f"pairs.aggregate: {name} is unknown; allowed are {', '.join(ATTRIBUTES)}"
