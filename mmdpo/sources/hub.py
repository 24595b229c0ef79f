"""Data sets of the Hugging Face Hub as files of rows: `data.hub=OWNER/NAME`, through the datasets library.

A data set is identified by its commit, so that only metadata is needed to plan a sweep. Its rows are downloaded when
they are read, and stored as one parquet file in the cache.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa

from mmdpo.cache import cache_root, cached
from mmdpo.config.schema import DataConfig
from mmdpo.errors import UserError
from mmdpo.files import file_fingerprint, fingerprint, read_json, write_json

HUB_SECONDS = 10.0  # timeout of one request to the hub
COMMIT_DIGITS = 40


def hub_digest(data: DataConfig) -> str:
    """Return a digest of the rows of `data.hub`: of commit, configuration and split. Raises UserError."""
    return fingerprint([_commit(data), data.hub_config, data.hub_split])


def hub_rows(data: DataConfig) -> Path:
    """Return the file of the rows of `data.hub`, which is downloaded first. Raises UserError if it cannot be."""
    commit = _commit(data)
    key = {"commit": commit, "config": data.hub_config, "split": data.hub_split}
    return cached("hub_rows", key, lambda folder: _download(data, commit, folder / "rows.parquet")) / "rows.parquet"


def _commit(data: DataConfig) -> str:
    name = str(data.hub)
    if Path(name).is_dir():
        folder = Path(name).resolve()
        files = sorted(file for file in folder.rglob("*") if file.is_file() and not _hidden(file, folder))
        return fingerprint([[file.relative_to(folder).as_posix(), _digest(file, *_state(file))] for file in files])
    if data.hub_revision is not None and _is_commit(data.hub_revision):
        return data.hub_revision
    return _hub_commit(name, data.hub_revision)


@functools.cache
def _hub_commit(name: str, revision: str | None) -> str:
    """Return the commit of a revision; without a network, that which was read last."""
    from huggingface_hub import HfApi
    from huggingface_hub.constants import is_offline_mode
    from huggingface_hub.errors import HFValidationError, RepositoryNotFoundError, RevisionNotFoundError

    remembered = cache_root() / "hub" / f"dataset-{fingerprint([name, revision])}.json"
    reason = "HF_HUB_OFFLINE is set"
    if not is_offline_mode():
        try:
            commit = HfApi().dataset_info(name, revision=revision, timeout=HUB_SECONDS).sha
        except RevisionNotFoundError as error:
            raise UserError(f"data.hub_revision={revision}: {name} has none of this name; type another") from error
        except (RepositoryNotFoundError, HFValidationError) as error:
            raise UserError(
                f"data.hub={name}: no such data set or folder, or a private one without HF_TOKEN; type "
                "data.hub=OWNER/NAME"
            ) from error
        except Exception as error:  # no network, a proxy, a server that is down: requests and httpx raise many types
            reason = type(error).__name__
        else:
            if commit is not None:
                write_json(remembered, commit)
                return str(commit)
    if remembered.exists():
        return str(read_json(remembered))
    raise UserError(
        f"data.hub={name}: the Hugging Face Hub cannot be reached ({reason}), and the data set was not downloaded "
        "before; run `python -m mmdpo doctor` with this data where there is a network, or type data.path=FILE"
    )


def _download(data: DataConfig, commit: str, target: Path) -> None:
    from datasets import load_dataset
    from datasets.config import HF_DATASETS_CACHE
    from huggingface_hub.constants import HF_HUB_CACHE

    name, local = str(data.hub), Path(str(data.hub)).is_dir()
    try:
        rows = load_dataset(
            str(Path(name).resolve()) if local else name,
            data.hub_config,
            split=data.hub_split,
            revision=None if local else commit,
        )
        roots = [Path(name)] if local else [Path(HF_HUB_CACHE), Path(HF_DATASETS_CACHE)]
        _check_image_paths(rows, [root.resolve() for root in roots])
        rows.to_parquet(target)
    except UserError:
        raise
    except Exception as error:  # of the hub, of the library and of the readers of every file type
        reason = " ".join(str(error.__cause__ or error).split())
        raise UserError(
            f"data.hub={name}: cannot be loaded ({type(error).__name__}: {reason[:400]}); check data.hub_config="
            f"{data.hub_config} and data.hub_split={data.hub_split}, or type data.path=FILE"
        ) from error


def _check_image_paths(rows: Any, roots: Sequence[Path]) -> None:
    """Raise UserError if a row names an image outside the data set, whose content would be stored with the rows."""
    from datasets import Image

    for column, feature in rows.features.items():
        if not isinstance(getattr(feature, "feature", feature), Image):
            continue
        for chunk in rows.data.column(column).chunks:
            values = chunk.flatten() if pa.types.is_list(chunk.type) or pa.types.is_large_list(chunk.type) else chunk
            for image in values.to_pylist():
                path = image.get("path") if image and image.get("bytes") is None else None
                if path and not any(Path(path).resolve().is_relative_to(root) for root in roots):
                    raise UserError(
                        f"column {column!r}: image {path!r} is outside the data set; allowed: a path inside it"
                    )


def _hidden(file: Path, folder: Path) -> bool:
    return any(part.startswith(".") for part in file.relative_to(folder).parts)


def _state(file: Path) -> tuple[int, int]:
    state = file.stat()
    return state.st_size, state.st_mtime_ns


@functools.cache
def _digest(file: Path, size: int, changed: int) -> str:
    """Hash a file once per size and time of change."""
    return file_fingerprint(file)


def _is_commit(revision: str) -> bool:
    return len(revision) == COMMIT_DIGITS and all(digit in "0123456789abcdef" for digit in revision)
