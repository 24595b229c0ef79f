"""Notes that tell a prediction which reference log-probs a training on labelled answers will find in the cache.

Such a training compares answers of rows that lie beside each other, which depends on tokens, the seed and the batch
size. The note of a training is found by its examples before they are tokenized.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from mmdpo.cache import read_memo, write_memo
from mmdpo.files import fingerprint
from mmdpo.records import LabelledAnswer
from mmdpo.storage import cache_root
from mmdpo.training.reference import scoring_key
from mmdpo.training.rows import Example, examples_fingerprint

if TYPE_CHECKING:
    from mmdpo.training.settings import TrainingSettings


def reference_note(settings: TrainingSettings, examples: Sequence[Example], image_root: Path) -> Path:
    """Return the file of a training's note, whether or not it is there.

    Args:
        settings: Settings of the training.
        examples: Its labelled answers, in the order in which they are given; their labels do not matter.
        image_root: Folder of the images.
    """
    unlabelled = [dataclasses.replace(one, label=True) for one in examples if isinstance(one, LabelledAnswer)]
    key = {
        **scoring_key(settings.model, settings.method.reference, settings.train),
        "rows": examples_fingerprint(unlabelled, image_root),
        "seed": settings.seed,
        "batch_size": settings.train.per_device_train_batch_size,
    }
    return cache_root() / "digests" / f"labelled-{fingerprint(key)}.json"


def note_reference(note: Path, folder: Path) -> None:
    """Note the folder of the reference log-probs that a training has used."""
    write_memo(note, folder.name)


def is_noted_reference_known(note: Path) -> bool:
    """Return whether the reference log-probs that a note names are in the cache."""
    name = read_memo(note, str)
    return bool(name) and (cache_root() / "reference" / str(name)).exists()
