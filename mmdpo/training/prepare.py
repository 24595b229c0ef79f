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
from mmdpo.training.prefix import Sharing, group_sharing
from mmdpo.training.processed_images import ProcessedImages
from mmdpo.training.prompt_groups import GROUP, Savings, prompt_groups, savings
from mmdpo.training.reference import Reference, add_reference, reference
from mmdpo.training.rows import Example, TokenizedExamples, examples_fingerprint, tokenize_examples
from mmdpo.training.settings import TrainingSettings

CONTENT_DIGITS = 16  # of the fingerprint that a point notes of its rows


@dataclass(frozen=True)
class TrainingData:
    """Rows to train on, the fingerprint of their content, and the collator that makes batches of them."""

    tokenized: TokenizedExamples
    fingerprint: str
    collator: Collator
    prompts: int = 0  # groups of rows that share a batch and compute their prompt once; 0 if rows are separate

    @property
    def batches_fingerprint(self) -> str:
        """Fingerprint of what the batches depend on; that of the content where rows are separate."""
        return fingerprint([self.fingerprint, GROUP]) if self.prompts else self.fingerprint


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
    found = _tokenize(settings, examples, image_root)
    processor, tokenized, content = found.processor, found.data, found.content
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
        tokenized, sharing = labelled_rows(settings, examples, tokenized, image_root, processor)
    if sharing.reason:
        print_line(f"prefix sharing is off, each answer gets its own row: {sharing.reason}")
    several = world_size() > 1
    if settings.trains_on_labels:  # their partners of the KL term need a fixed order
        labelled = LabelledCollator(processor, sharing.holds, image_always=several, processed=found.images)
        return TrainingData(tokenized, content, labelled)
    grouped = _group_rows(settings, processor, tokenized, sharing.holds)
    shared = sharing.holds or grouped is not None
    collator = Collator(processor, shared, image_always=several, processed=found.images)
    return TrainingData(tokenized, content, collator, grouped.prompts if grouped else 0)


def _group_rows(
    settings: TrainingSettings, processor: Any, data: TokenizedExamples, pairs_share: bool
) -> Savings | None:
    """Give rows of one prompt the number of their group, where the model allows to compute the prompt once.

    Args:
        settings: Settings of the training.
        processor: The model's processor.
        data: The rows, changed in place.
        pairs_share: Whether the answers of a pair share their prompt.

    Returns:
        What the groups save; None if rows have none.
    """
    if not settings.train.prompt_once or (settings.trains_on_pairs and not pairs_share):
        return None
    groups = prompt_groups(data.examples, data.rows)
    if groups is None:
        return None
    for row, group in zip(data.rows, groups, strict=True):
        row[GROUP] = group
    test = group_sharing(settings.model, processor, data.rows)
    if not test.holds:
        for row in data.rows:
            del row[GROUP]
        print_line(f"train.prompt_once is off, each row computes its prompt: {test.reason}")
        return None
    found = savings(data.rows, groups, settings.train.per_device_train_batch_size)
    print_line(str(found))
    return found


@dataclass(frozen=True)
class _Tokenized:
    """Rows of a training set, the fingerprint of their content, and what makes batches of them."""

    processor: Any
    data: TokenizedExamples
    content: str
    images: ProcessedImages


_last: dict[tuple[Any, ...], _Tokenized] = {}
"""Rows of the last training: most points of a sweep that one process trains have the same."""


def _tokenize(settings: TrainingSettings, examples: Sequence[Example], image_root: Path) -> _Tokenized:
    """Return the rows of the examples, which the caller may change, and what belongs to them."""
    limits = settings.train.max_text_tokens, settings.train.too_long
    key = examples_fingerprint(examples, image_root), image_root, processor_fingerprint(settings.model), *limits
    if key not in _last:
        _last.clear()
        processor = load_processor(settings.model)
        data = tokenize_examples(examples, image_root, processor, settings.train)
        content = examples_fingerprint(data.examples, image_root)[:CONTENT_DIGITS]
        _last[key] = _Tokenized(processor, data, content, ProcessedImages())
    found = _last[key]
    return replace(found, data=replace(found.data, rows=[dict(row) for row in found.data.rows]))
