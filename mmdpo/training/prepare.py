"""Preparation of a training set: rows, reference log-probs and the collator."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from mmdpo.console import print_line
from mmdpo.files import fingerprint
from mmdpo.models.fingerprints import processor_fingerprint
from mmdpo.models.loading import load_processor
from mmdpo.training.collate import Collator
from mmdpo.training.distributed import world_size
from mmdpo.training.labelled import LabelledCollator, labelled_rows
from mmdpo.training.prefix import Sharing
from mmdpo.training.reference import Reference, add_reference, reference
from mmdpo.training.rows import Example, TokenizedExamples, example_contents, tokenize_examples
from mmdpo.training.settings import TrainingSettings


@dataclass(frozen=True)
class TrainingData:
    """Rows to train on, the fingerprint of their content, and the collator that makes batches of them."""

    tokenized: TokenizedExamples
    fingerprint: str
    collator: Collator


def prepare(
    settings: TrainingSettings, examples: Sequence[Example], image_root: Path, reference_logps: Reference | None
) -> TrainingData:
    """Tokenize examples and add the reference log-probs of pairs or labelled answers.

    Args:
        settings: Settings of the training.
        examples: Preference pairs, labelled answers or SFT examples, as the method needs them.
        image_root: Folder of the images.
        reference_logps: Reference log-probs of these pairs, and possibly others. None takes them from the cache, or
            computes them, for these pairs alone; those of labelled answers always come from the cache. SFT needs none.

    Returns:
        The training data.
    """
    processor = load_processor(settings.model)
    tokenized, content = _tokenize(settings, examples, image_root, processor)
    print_line(str(tokenized.lengths))
    if tokenized.changed:
        counts = ", ".join(f"{count} {name.replace('_', ' ')}" for name, count in tokenized.changed.items())
        print_line(f"of {len(tokenized.rows)} rows: {counts}")
    sharing = Sharing(False)
    if settings.trains_on_pairs:
        if reference_logps is None:
            which = settings.method.reference
            reference_logps = reference(settings.model, settings.train, examples, image_root, which)
        add_reference(tokenized, reference_logps, settings)
        sharing = reference_logps.sharing
    elif settings.trains_on_labels:
        tokenized, sharing = labelled_rows(settings, tokenized, image_root, processor)
    if sharing.reason:
        print_line(f"prefix sharing is off, each answer gets its own row: {sharing.reason}")
    collator = LabelledCollator if settings.trains_on_labels else Collator
    return TrainingData(tokenized, content, collator(processor, sharing.holds, image_always=world_size() > 1))


_last: dict[str, tuple[TokenizedExamples, str]] = {}
"""Rows of the last training: most points of a sweep that one process trains have the same."""


def _tokenize(
    settings: TrainingSettings, examples: Sequence[Example], image_root: Path, processor: Any
) -> tuple[TokenizedExamples, str]:
    """Return the rows of the examples, which the caller may change, and the fingerprint of their content."""
    limits = [settings.train.max_text_tokens, settings.train.too_long.value]
    key = fingerprint([example_contents(examples, image_root), processor_fingerprint(settings.model), limits])
    if key not in _last:
        _last.clear()
        tokenized = tokenize_examples(examples, image_root, processor, settings.train)
        _last[key] = tokenized, fingerprint(example_contents(tokenized.examples, image_root))
    tokenized, content = _last[key]
    return replace(tokenized, rows=[dict(row) for row in tokenized.rows]), content
