"""Overlap of training data with benchmarks: word sequences that both have, and images that are equal or nearly so.

Texts are compared by sequences of 13 words, as in the report on GPT-3 (Brown et al., 2020, appendix C). Images are
compared by their bytes, and by a difference hash of 64 bits for copies that were scaled or encoded again.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from mmdpo.errors import UserError
from mmdpo.files import file_fingerprint
from mmdpo.images import inside, open_image

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

WORDS = 13
NEAR_BITS = 3  # of 64 in which the hashes of two copies of an image differ at most
FLAT = 4.0  # grey levels; the standard deviation below which an image has no features to compare
CHUNK = 1024  # benchmark images that are compared at once
WORD = re.compile(r"\w+")


@dataclass(frozen=True)
class Overlap:
    """The overlap of one benchmark with the training data.

    Attributes:
        items: The number of items.
        long_enough: The number of items whose text has at least 13 words; others cannot be compared by text.
        texts: The shared words by the id of the item.
        images: The number of different images.
        equal_images: The training image by the name of the benchmark's image, where their bytes are equal.
        near_images: The same, where only their hashes are close.
        unreadable: The number of images that are missing or damaged, of both sides.
    """

    items: int
    long_enough: int
    texts: dict[str, str] = field(default_factory=dict)
    images: int = 0
    equal_images: dict[str, str] = field(default_factory=dict)
    near_images: dict[str, str] = field(default_factory=dict)
    unreadable: int = 0

    @property
    def is_clean(self) -> bool:
        """Return whether nothing was found."""
        return not (self.texts or self.equal_images or self.near_images)


def shared_words(training: Iterable[str], items: Mapping[str, Sequence[str]]) -> dict[str, str]:
    """Find the items that share a sequence of 13 words with a training text.

    Case and punctuation do not count. Memory grows with the benchmark, not with the training data.

    Args:
        training: The texts of the training data.
        items: The texts of the benchmark by item.

    Returns:
        The first shared sequence by the id of the item.
    """
    owners: dict[tuple[str, ...], list[str]] = {}
    for name, texts in items.items():
        for text in texts:
            for sequence in _sequences(text):
                owners.setdefault(sequence, []).append(name)
    found: dict[str, str] = {}
    for text in training:
        for sequence in _sequences(text):
            for name in owners.get(sequence, ()):
                found.setdefault(name, " ".join(sequence))
    return {name: found[name] for name in items if name in found}


def is_long_enough(texts: Sequence[str]) -> bool:
    """Return whether one of the texts has at least 13 words."""
    return any(len(WORD.findall(text)) >= WORDS for text in texts)


def difference_hash(path: Path) -> int | None:
    """Return the difference hash of an image: 64 bits that tell where it becomes brighter from left to right.

    Returns None for an image without features, such as one of a single colour. Raises UserError for one that cannot
    be read.
    """
    import numpy as np
    from PIL import Image

    small = open_image(path).convert("L").resize((9, 8), Image.Resampling.LANCZOS)
    levels = np.asarray(small, dtype=np.int16)
    if levels.std() < FLAT:
        return None
    bits = (levels[:, 1:] > levels[:, :-1]).reshape(-1)
    return int.from_bytes(np.packbits(bits).tobytes(), "big")


@dataclass(frozen=True)
class ImageIndex:
    """The digests and hashes of the images of one side, by name; `unreadable` counts those without."""

    digests: dict[str, str]
    hashes: dict[str, int]
    unreadable: int = 0

    @classmethod
    def of(cls, root: Path, names: Iterable[str]) -> ImageIndex:
        """Read the named images below a root."""
        digests, hashes, unreadable = {}, {}, 0
        for name in dict.fromkeys(names):
            try:
                path = inside(root, name)
                digests[name] = file_fingerprint(path, length=64)
                value = difference_hash(path)
            except (UserError, OSError):
                unreadable += 1
                continue
            if value is not None:
                hashes[name] = value
        return cls(digests, hashes, unreadable)


def shared_images(training: ImageIndex, benchmark: ImageIndex) -> tuple[dict[str, str], dict[str, str]]:
    """Find the images of a benchmark that the training data have, too.

    Args:
        training: The images of the training data.
        benchmark: The images of the benchmark.

    Returns:
        The training image by the benchmark's image: with equal bytes, and with a close hash only.
    """
    known = {digest: name for name, digest in training.digests.items()}
    equal = {name: known[digest] for name, digest in benchmark.digests.items() if digest in known}
    candidates = {name: value for name, value in benchmark.hashes.items() if name not in equal}
    return equal, _near(training.hashes, candidates)


def _near(training: Mapping[str, int], benchmark: Mapping[str, int]) -> dict[str, str]:
    import numpy as np

    if not training or not benchmark:
        return {}
    theirs, names = np.array([*training.values()], dtype=np.uint64), [*training]
    ours, own_names = np.array([*benchmark.values()], dtype=np.uint64), [*benchmark]
    found = {}
    for start in range(0, len(ours), CHUNK):
        distances: NDArray[np.uint8] = np.bitwise_count(ours[start : start + CHUNK, None] ^ theirs[None, :])
        closest = distances.argmin(axis=1)
        for row, column in enumerate(closest):
            if distances[row, column] <= NEAR_BITS:
                found[own_names[start + row]] = names[int(column)]
    return found


def _sequences(text: str) -> Iterable[tuple[str, ...]]:
    words = WORD.findall(text.lower())
    return (tuple(words[start : start + WORDS]) for start in range(len(words) - WORDS + 1))
