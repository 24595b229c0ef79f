"""Checks of the data's settings, and of the files that they name."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from mmdpo.config.choices import SYNTHETIC_FORMATS, data_formats, file_formats
from mmdpo.config.schema import DataConfig
from mmdpo.errors import UserError


def data_settings_problems(data: DataConfig) -> Iterator[str]:
    """Describe each wrong setting apart from ranges and choices, whether or not files exist."""
    for name in data.sources:
        if not name.isidentifier():
            yield f"data.sources.{name}: the name of a source consists of letters, digits and underscores"
    if data.sources:
        if data.format is not None:
            yield f"data.format={data.format}: each of data.sources has its own format; type data.format=null"
        if data.path is not None:
            yield f"data.path={data.path}: data={data.name} reads data.sources; drop it, or choose data=pairs"
        if data.hub is not None:
            yield f"data.hub={data.hub}: data={data.name} reads data.sources; drop it, or choose data=pairs"
    elif data.format is None:
        yield f"data.format is missing: data={data.name} needs one; {_allowed(data_formats())}"
    elif data.path is not None and data.format not in file_formats():
        yield (
            f"data.path={data.path}: data.format={data.format} reads no file; drop it, or type data.format=FORMAT; "
            f"{_allowed(file_formats())}"
        )
    elif data.hub is not None and data.format not in file_formats():
        yield f"data.hub={data.hub}: data.format={data.format} reads no file; drop it, or type data=pairs"
    if data.path is not None and data.hub is not None:
        yield f"data.path={data.path}: data.hub={data.hub} is given, too; drop one of them"
    if data.hub is None:
        for key in ("hub_config", "hub_revision"):
            if (value := getattr(data, key)) is not None:
                yield f"data.{key}={value}: only data.hub uses it; type data.hub=OWNER/NAME, or drop it"
        if data.hub_split != "train":
            yield f"data.hub_split={data.hub_split}: only data.hub uses it; type data.hub=OWNER/NAME, or drop it"
    yield from _fields_problems(data)
    yield from _text_share_problems(data)


def data_file_problems(data: DataConfig) -> Iterator[str]:
    """Describe each file or folder that is needed and does not exist."""
    if data.format in file_formats() and not data.is_own:
        yield f"data.path is missing: data={data.name} needs your file; add data.path=FILE, or data.hub=OWNER/NAME"
    if data.path is not None and not Path(data.path).exists():
        yield f"data.path={data.path}: there is no such file or folder; type data.path=FILE"
    if data.image_root is not None and not Path(data.image_root).is_dir():
        yield f"data.image_root={data.image_root}: there is no such folder; type data.image_root=DIR"
    for name, source in data.sources.items():
        key = f"data.sources.{name}"
        if source.path is None or not Path(source.path).exists():
            yield f"{key}.path={source.path}: there is no such file or folder; type {key}.path=FILE"
        if source.image_root is not None and not Path(source.image_root).is_dir():
            yield f"{key}.image_root={source.image_root}: there is no such folder; type {key}.image_root=DIR"


def _text_share_problems(data: DataConfig) -> Iterator[str]:
    """Describe a share of text-only prompts that the format cannot make."""
    if data.text_share is None or data.format not in SYNTHETIC_FORMATS.names():
        return
    from mmdpo.sources.formats import synthetic_prompts

    if synthetic_prompts(data.format).generate_text is None:
        yield (
            f"data.text_share={data.text_share}: data.format={data.format} makes no text-only prompts; drop it, or "
            "give its Synthetic a generate_text"
        )


def _fields_problems(data: DataConfig) -> Iterator[str]:
    """Describe each of data.fields that names no field of the format."""
    if not data.fields:
        return
    first = next(iter(data.fields))
    if data.format not in file_formats():
        yield f"data.fields.{first}={data.fields[first]}: only files of pairs or answers have fields; drop it"
        return
    from mmdpo.sources.columns import columns_of
    from mmdpo.sources.formats import file_format

    try:
        columns_of(file_format(data.format), data.fields)
    except UserError as error:
        yield str(error)


def _allowed(choices: Sequence[str]) -> str:
    return f"allowed are {', '.join(choices)}"
