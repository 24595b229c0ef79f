"""Rows of labelled answers, with the answers and reference log-probs of KTO's KL term.

KTO (arXiv 2402.01306) estimates the KL divergence between model and reference from prompts with answers to other
prompts. As in TRL's vision collator, row i of a micro-batch gets the answer of row i - 1, and the first one that of the
last. Both answers of a row follow the same prompt, so that they share its prefix and its image as those of a pair do,
and their reference log-probs are computed and stored as those of pairs.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any, cast

from mmdpo.config.choices import TooLong
from mmdpo.console import print_line
from mmdpo.errors import UserError
from mmdpo.records import LabelledAnswer, PreferencePair, context
from mmdpo.training.collate import Collator
from mmdpo.training.prefix import Sharing
from mmdpo.training.reference import reference, reference_path
from mmdpo.training.reference_notes import note_reference, reference_note
from mmdpo.training.rows import Example, Row, TokenizedExamples, tokenize_examples
from mmdpo.training.settings import TrainingSettings

BALANCED = (1.0, 4 / 3)
"""Range of desirable to undesirable answers, each times its weight, that KTO's authors recommend."""


@dataclass
class LabelledCollator(Collator):
    """Data collator for rows with the answer and that of the KL term.

    A batch further contains `label` [B], and the reference log-probs of both answers, `ref_logps` and `ref_KL_logps`
    [B] (nats).
    """

    def __call__(self, rows: Sequence[Row]) -> dict[str, Any]:
        """Collate B rows to a batch."""
        import torch

        batch = super().__call__(rows)
        batch["label"] = torch.tensor([row["label"] for row in rows])
        for name in ("ref_logps", "ref_KL_logps"):
            batch[name] = torch.tensor([row[name] for row in rows], dtype=torch.float32)
        return batch


def labelled_rows(
    settings: TrainingSettings,
    given: Sequence[Example],
    tokenized: TokenizedExamples,
    image_root: Path,
    processor: Any,
) -> tuple[TokenizedExamples, Sharing]:
    """Return the rows in the order in which they are trained on, each with the answer of its KL term.

    Args:
        settings: Settings of the training. The seed decides about the order, which all epochs share, and the number of
            rows per device and step about the answers of the KL term.
        given: The labelled answers of the training set.
        tokenized: Rows with one answer each, of those that are left.
        image_root: Folder of the images.
        processor: The model's processor.

    Returns:
        The rows, and whether the answers of a row can share its prompt.
    """
    order = Random(f"labelled {settings.seed}").sample(range(len(tokenized.rows)), len(tokenized.rows))
    examples = [cast(LabelledAnswer, tokenized.examples[index]) for index in order]
    rows = [dict(tokenized.rows[index]) for index in order]
    _report_balance(settings, examples)
    others = partners(len(rows), settings.train.per_device_train_batch_size)
    pairs = [_pair(example, examples[other]) for example, other in zip(examples, others, strict=True)]
    cut = dataclasses.replace(settings.train, too_long=TooLong.cut_answer)  # the rows themselves are not too long
    both, same = _with_equal_answers(pairs, examples, rows, image_root, processor, cut)
    which = settings.method.reference
    found = reference(settings.model, cut, both.examples, image_root, which)
    folder = reference_path(settings.model, which, cut, both.examples, image_root)
    note_reference(reference_note(settings, given, image_root), folder)
    by_id = {row["id"]: row for row in both.rows}
    for row, example, pair in zip(rows, examples, both.examples, strict=True):
        own, other = found.of(cast(PreferencePair, pair))
        row["label"] = example.label
        row["answers"] = [row["answers"][0]] * 2 if row["id"] in same else by_id[row["id"]]["answers"]
        row["ref_logps"], row["ref_KL_logps"] = own.sum, own.sum if row["id"] in same else other.sum
    return dataclasses.replace(tokenized, examples=list(examples), rows=rows), found.sharing


def partners(count: int, batch_size: int) -> list[int]:
    """Return the index of the row whose answer each row's KL term takes: within a batch, the one before it."""
    starts = [index - index % batch_size for index in range(count)]
    return [index - 1 if index > start else min(start + batch_size, count) - 1 for index, start in enumerate(starts)]


def _pair(example: LabelledAnswer, other: LabelledAnswer) -> PreferencePair:
    return PreferencePair(example.id, example.question, example.answer, other.answer, **context(example))


def _with_equal_answers(
    pairs: Sequence[PreferencePair],
    examples: Sequence[LabelledAnswer],
    rows: Sequence[Row],
    image_root: Path,
    processor: Any,
    train: Any,
) -> tuple[TokenizedExamples, set[str]]:
    """Tokenize pairs of a row's answer and that of its KL term.

    Args:
        pairs: The pairs.
        examples: Their rows' examples.
        rows: Their rows.
        image_root: Folder of the images.
        processor: The model's processor.
        train: The length limit, which cuts.

    Returns:
        The pairs and their rows, in the same order, and the ids of those whose two answers are equal. In these, the
        second answer is any other one, since there are no reference log-probs of pairs with equal answers.
    """
    kept = {row["id"] for row in _tokenized(pairs, image_root, processor, train).rows}
    same = {pair.id for pair in pairs if pair.id not in kept}
    both = [
        _pair(example, _different(row, examples, rows)) if pair.id in same else pair
        for pair, example, row in zip(pairs, examples, rows, strict=True)
    ]
    return tokenize_examples(both, image_root, processor, train), same


def _tokenized(pairs: Sequence[PreferencePair], image_root: Path, processor: Any, train: Any) -> TokenizedExamples:
    distinct = [pair for pair in pairs if pair.chosen != pair.rejected]
    if not distinct:
        raise _alike()
    return tokenize_examples(distinct, image_root, processor, train)


def _different(row: Row, examples: Sequence[LabelledAnswer], rows: Sequence[Row]) -> LabelledAnswer:
    """Return an answer that differs from a row's in a token that both have."""
    (own,) = row["answers"]
    for example, other in zip(examples, rows, strict=True):
        if any(one != two for one, two in zip(own, other["answers"][0], strict=False)):
            return example
    raise _alike()


def _alike() -> UserError:
    return UserError("method=kto: the answers of the training set are all alike; check the data")


def _report_balance(settings: TrainingSettings, examples: Sequence[LabelledAnswer]) -> None:
    """Print the number of answers of each label, and the advice of KTO's authors if they are out of balance."""
    desirable = sum(example.label for example in examples)
    undesirable = len(examples) - desirable
    print_line(f"labels: {desirable} desirable, {undesirable} undesirable")
    if not desirable or not undesirable:
        print_line("KTO learns from both labels; one of them is missing")
        return
    method = settings.method
    ratio = desirable * method.desirable_weight / (undesirable * method.undesirable_weight)
    low, high = BALANCED
    if not low <= round(ratio, 2) <= round(high, 2):
        name, weight = ("desirable", low / ratio) if ratio < low else ("undesirable", ratio / high)
        print_line(
            f"desirable answers weigh {ratio:.2f} times the others; KTO's authors recommend 1 to 1.33, as with "
            f"method.{name}_weight={getattr(method, f'{name}_weight') * weight:.2f}"
        )
