"""The user's own preference data as a training set."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from mmdpo.cache import cache_root
from mmdpo.config.choices import OnBadRow, TrainOn, reading_format
from mmdpo.config.schema import DataConfig
from mmdpo.errors import UserError
from mmdpo.files import fingerprint
from mmdpo.models.fingerprints import file_digest
from mmdpo.records import LabelledAnswer, PreferencePair, SftExample


@dataclass(frozen=True)
class TrainingSet:
    """Examples for training.

    Attributes:
        examples: Pairs or labelled answers for a preference loss, or answers to learn.
        image_root: The folder that the examples' image names are relative to.
        counts: How many rows were read, and how many were dropped for which reason.
    """

    examples: Sequence[PreferencePair] | Sequence[SftExample] | Sequence[LabelledAnswer]
    image_root: Path
    counts: dict[str, int]


def own_pairs(data: DataConfig, train_on: TrainOn | None = None) -> TrainingSet:
    """Return the pairs, or the answers to learn, of the user's file `data.path` or data set `data.hub`.

    Args:
        data: The settings of the data.
        train_on: The kind of training set, if the rows are read for one. Rows with labels are then read as they are
            for a method that trains on these, instead of being paired.
    """
    fields = tuple(sorted(data.fields.items()))
    path, content = rows_path(data), rows_digest(data)
    form = reading_format(str(data.format), train_on)
    found = _own_pairs(path, content, form, data.image_root, data.on_bad_row, data.seed, fields)
    if rows_digest(data) != content:
        _own_pairs.cache_clear()
        raise UserError(f"data.path={path}: changed while it was read. Rerun the same command when it is complete")
    return found


def rows_path(data: DataConfig) -> Path:
    """Return the file or folder of the user's rows. A data set of the hub is downloaded first."""
    from mmdpo.sources.hub import hub_rows

    return hub_rows(data) if data.hub is not None else Path(data.path or "")


def rows_digest(data: DataConfig) -> str:
    """Return a digest of the user's rows, wherever they are stored."""
    from mmdpo.sources.hub import hub_digest
    from mmdpo.sources.tables import files

    if data.hub is not None:
        return hub_digest(data)
    path = Path(data.path or "")
    if path.is_dir():
        return fingerprint([file_digest(file) for file in files(path, "data.path")])
    return file_digest(path)[:16]


@functools.lru_cache(maxsize=4)
def _own_pairs(
    path: Path,
    content: str,
    form: str,
    image_root: str | None,
    on_bad_row: OnBadRow,
    seed: int,
    fields: tuple[tuple[str, str], ...],
) -> TrainingSet:
    """Read a file once per process and content: all images are opened, which takes time."""
    from mmdpo.sources.pair_reader import read_pairs

    embedded = cache_root() / "embedded" / content
    read = read_pairs(path, Path(image_root) if image_root else None, on_bad_row, embedded, form, seed, dict(fields))
    counts = {"rows": read.read, "pairs": len(read.pairs)}
    counts |= {f"dropped: {reason}": count for reason, count in read.dropped.items()}
    return TrainingSet(read.pairs, read.image_root, counts)
