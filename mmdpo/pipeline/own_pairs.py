"""The user's own preference data as a training set."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from mmdpo.cache import cache_root
from mmdpo.config.choices import OnBadRow
from mmdpo.config.schema import DataConfig
from mmdpo.errors import UserError
from mmdpo.models.fingerprints import file_digest
from mmdpo.records import PreferencePair, SftExample


@dataclass(frozen=True)
class TrainingSet:
    """Examples for training.

    Attributes:
        examples: Pairs for a preference loss, or answers to learn.
        image_root: The folder that the examples' image names are relative to.
        counts: How many rows were read, and how many were dropped for which reason.
    """

    examples: Sequence[PreferencePair] | Sequence[SftExample]
    image_root: Path
    counts: dict[str, int]


def own_pairs(data: DataConfig) -> TrainingSet:
    """Return the pairs, or the answers to learn, of the user's file `data.path`."""
    path = Path(data.path or "")
    content = file_digest(path)[:16]
    return _own_pairs(path, content, str(data.format), data.image_root, data.on_bad_row, data.seed)


@functools.lru_cache(maxsize=4)
def _own_pairs(
    path: Path, content: str, form: str, image_root: str | None, on_bad_row: OnBadRow, seed: int
) -> TrainingSet:
    """Read a file once per process and content: all images are opened, which takes time."""
    from mmdpo.sources.pair_reader import read_pairs

    embedded = cache_root() / "embedded" / content
    read = read_pairs(path, Path(image_root) if image_root else None, on_bad_row, embedded, form, seed)
    if file_digest(path)[:16] != content:
        raise UserError(f"data.path={path}: changed while it was read. Rerun the same command when it is complete")
    counts = {"rows": read.read, "pairs": len(read.pairs)}
    counts |= {f"dropped: {reason}": count for reason, count in read.dropped.items()}
    return TrainingSet(read.pairs, read.image_root, counts)
