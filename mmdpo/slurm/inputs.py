"""The data and model files of a submission, and whether they have changed since."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

from mmdpo.config.schema import Config, DataConfig, ModelConfig
from mmdpo.files import file_fingerprint, fingerprint
from mmdpo.models.paths import PACKAGE, resolve_path
from mmdpo.points.point import unique_up_to_axes

NOT_DOWNLOADED = "not downloaded yet"
"""Placeholder for the fingerprint of a model on the hub whose revision is not known yet."""

LARGE = 1 << 26  # bytes; larger files are compared by size and modification time instead of content


def input_fingerprints(configs: Iterable[Config]) -> dict[str, str]:
    """Return the fingerprints of the data and models of all configs, by the override that names each."""
    found: dict[str, str] = {}
    for config in unique_up_to_axes(configs):
        found |= _data(config.data) | _model(config.model)
    return found


def changed_since_submission(recorded: Mapping[str, str], configs: Iterable[Config]) -> list[str]:
    """Return the overrides of `configs` whose files differ from their recorded fingerprints.

    Submitting compares a study with its earlier submissions by this function, and a job compares the files with
    its own submission before it starts to work.
    """
    if not recorded:
        return []
    now = input_fingerprints(configs)
    return [
        name
        for name, value in recorded.items()
        if NOT_DOWNLOADED not in (value, now.get(name)) and now.get(name, value) != value
    ]


def _data(data: DataConfig) -> dict[str, str]:
    named = {"data.path": data.path, **{f"data.sources.{key}.path": one.path for key, one in data.sources.items()}}
    return {f"{key}={path}": _content(Path(path)) for key, path in named.items() if path is not None}


def _model(model: ModelConfig) -> dict[str, str]:
    if model.path.startswith(PACKAGE):  # part of the code's snapshot
        return {}
    folder = resolve_path(model.path)
    value = _content(Path(folder)) if Path(folder).is_dir() else _cached_revision(folder)
    return {f"model.path={model.path}": value}


def _cached_revision(hub_id: str) -> str:
    from huggingface_hub.constants import HF_HUB_CACHE

    revision = Path(HF_HUB_CACHE) / f"models--{hub_id.replace('/', '--')}" / "refs" / "main"
    return revision.read_text(encoding="utf-8").strip() if revision.exists() else NOT_DOWNLOADED


def _content(path: Path) -> str:
    """Return the fingerprint of a file, or of all files in a folder."""
    files = [path] if path.is_file() else sorted(file for file in path.rglob("*") if file.is_file())
    return fingerprint([[str(file.relative_to(path.parent)), _digest(file)] for file in files])


def _digest(file: Path) -> str:
    state = file.stat()
    return file_fingerprint(file) if state.st_size < LARGE else f"{state.st_size} {state.st_mtime_ns}"
