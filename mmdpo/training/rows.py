"""Rows of tokens from training examples: selection, content, length limit."""

from __future__ import annotations

import dataclasses
from collections import Counter, deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from mmdpo.config.choices import TooLong
from mmdpo.config.schema import TrainConfig
from mmdpo.errors import UserError
from mmdpo.files import fingerprint
from mmdpo.models.chat import check_prompt, encode, end_tokens, moves_images, without_end_token, without_end_tokens
from mmdpo.models.messages import IMAGE_TOKEN, to_answer, to_messages
from mmdpo.models.special_tokens import special_tokens
from mmdpo.records import LabelledAnswer, PreferencePair, SftExample, images_in_order
from mmdpo.training.example_images import ImageFile, image_files

Row = dict[str, Any]
Example = PreferencePair | SftExample | LabelledAnswer

MAX_IDS = 5  # that an error lists
DIGITS = 16  # of the digest of an image


@dataclass(frozen=True)
class Lengths:
    """Text tokens per row (prompt and longest answer) before the limit, and the effect of the limit."""

    longest: int
    p99: int
    limit: int | None
    over: int  # rows
    policy: str

    def __str__(self) -> str:
        """Describe lengths and limit in one line."""
        line = f"text tokens per row: longest {self.longest}, 99th percentile {self.p99}"
        if self.limit is None:
            return f"{line}; no train.max_text_tokens"
        effect = {"cut_answer": "cut", "drop": "dropped", "error": "refused"}[self.policy]
        return f"{line}; train.max_text_tokens={self.limit}: {self.over} {effect}"


@dataclass(frozen=True)
class TokenizedExamples:
    """Examples and their rows, in the same order.

    Attributes:
        examples: The examples that are left.
        rows: Their rows.
        dropped: Counts of the dropped examples by reason.
        lengths: Text tokens per row, and the effect of the limit.
        changed: Counts of examples whose tokens differ from their texts, by the way they do: `end_token_removed`,
            `special_tokens_as_text`, `image_moved_by_template`.
    """

    examples: list[Example]
    rows: list[Row]
    dropped: dict[str, int]
    lengths: Lengths
    changed: dict[str, int] = field(default_factory=dict)


def answers_of(example: Example) -> tuple[str, ...]:
    """Return the answers of an example: chosen and rejected, or the only one."""
    if isinstance(example, PreferencePair):
        return example.chosen, example.rejected
    return (example.answer,)


def usable(examples: Sequence[Example]) -> tuple[list[Example], Counter[str]]:
    """Select the examples that can be trained on; count the others by reason.

    Raises UserError if an id occurs twice.
    """
    kept, dropped, ids = [], Counter[str](), set()
    for example in examples:
        if example.id in ids:
            raise UserError(f"Two examples have the id {example.id!r}; ids must be unique.")
        ids.add(example.id)
        texts = answers_of(example)
        if not all(text.strip() for text in texts):
            dropped["empty_answer"] += 1  # it has no token to average over
        elif len(texts) > 1 and texts[0] == texts[1]:
            dropped["same_answers"] += 1
        else:
            kept.append(example)
    return kept, dropped


def example_contents(examples: Iterable[Example], image_root: Path) -> list[dict[str, Any]]:
    """Return the content of each example as JSON types, with a hash of its image in place of the path."""
    examples = list(examples)
    files = image_files(examples, image_root)
    return [_content(example, [files[name].digest[:DIGITS] for name in example.images]) for example in examples]


_fingerprints: deque[tuple[list[Example], dict[str, ImageFile], str]] = deque(maxlen=4)
"""The last fingerprints, with examples and images: most points of a sweep that one process trains have the same."""


def examples_fingerprint(examples: Iterable[Example], image_root: Path) -> str:
    """Return a fingerprint of the content of examples and their images, of 64 digits."""
    examples = list(examples)
    files = image_files(examples, image_root)
    for known, images, found in _fingerprints:
        if images == files and known == examples:
            return found
    found = fingerprint(example_contents(examples, image_root), length=64)
    _fingerprints.append((examples, files, found))
    return found


def _content(example: Example, images: list[str]) -> dict[str, Any]:
    """Return an example's content with digests for images; its form is that of earlier versions where it can."""
    content = dataclasses.asdict(example)
    content.pop("original_question", None)  # the question contains it
    for name in ("system", "image_positions"):
        if not content[name]:
            del content[name]
    del content["images"]
    content["image"] = images[0] if images else None
    if len(images) > 1:
        content["image"] = images
    return content


def tokenize_examples(
    examples: Sequence[Example], image_root: Path, processor: Any, train: TrainConfig
) -> TokenizedExamples:
    """Tokenize examples to rows and apply the length limit.

    A row is a dictionary of `id`, `images` (paths), their `digests`, `prompt` (text), `prompt_ids` and `answers` (a
    list of token ids per answer). The collator tokenizes the prompts of rows with an image, since their number of
    tokens depends on the image. `train.too_long` decides about rows over `train.max_text_tokens`. A row is dropped if
    cutting leaves one of its answers empty or makes both equal. Special tokens in texts are ordinary text; one at the
    end of an answer, where the chat template writes its own, is removed.

    Args:
        examples: Preference pairs, or SFT examples.
        image_root: Folder of the images.
        processor: The model's processor.
        train: The length limit and its policy.

    Returns:
        The rows and examples that are left, and counts of the others.

    Raises:
        UserError: No row is left, a row is too long and `train.too_long=error`, an image is not under the root, or
            a text contains the image token.
    """
    token, ends = getattr(processor, "image_token", IMAGE_TOKEN), end_tokens(processor)
    changed = Counter[str]()
    kept, dropped, texts = [], Counter[str](), []
    for example, answers in _without_end_tokens(examples, ends, changed, dropped):
        kept.append(example)
        texts.append(answers)
    conversations = [to_messages(without_end_tokens(example, ends), token) for example in kept]
    all_encoded = iter(
        encode(
            processor,
            [messages for messages, answers in zip(conversations, texts, strict=True) for _ in answers],
            [to_answer(text) for answers in texts for text in answers],
        )
    )
    files = image_files(kept, image_root)
    rows: list[Row] = []
    for example, messages, answers in zip(kept, conversations, texts, strict=True):
        encoded = [next(all_encoded) for _ in answers]
        check_prompt(processor, encoded[0].text, example)
        if has_special_tokens(processor, example, answers):
            changed["special_tokens_as_text"] += 1
        if example.image_positions and moves_images(processor, messages, encoded[0].text):
            changed["image_moved_by_template"] += 1
        images = [files[name] for name in images_in_order(example)]
        rows.append(
            {
                "id": example.id,
                "images": [str(image.path) for image in images],
                "digests": [image.digest for image in images],
                "prompt": encoded[0].text,
                "prompt_ids": encoded[0].prompt_ids,
                "answers": [one.answer_ids for one in encoded],
            }
        )
    return dataclasses.replace(_limit_lengths(kept, rows, dropped, train), changed=dict(changed))


def _without_end_tokens(
    examples: Sequence[Example], ends: Sequence[str], changed: Counter[str], dropped: Counter[str]
) -> Iterator[tuple[Example, tuple[str, ...]]]:
    """Yield each usable example with its answers as they are tokenized; count the others."""
    kept, unusable = usable(examples)
    dropped.update(unusable)
    for example in kept:
        answers = tuple(without_end_token(text, ends) for text in answers_of(example))
        if answers != answers_of(example):
            changed["end_token_removed"] += 1
            if not all(answers):
                dropped["empty_answer"] += 1
                continue
            if len(answers) > 1 and answers[0] == answers[1]:
                dropped["same_answers"] += 1
                continue
        yield example, answers


def has_special_tokens(processor: Any, example: Example, answers: Sequence[str] | None = None) -> bool:
    """Return whether a text of an example contains a special token, which is encoded as ordinary text.

    Args:
        processor: The model's processor.
        example: The example.
        answers: Its answers without tokens at their end; None for its own.
    """
    earlier = (text for turn in example.history for text in (turn.question, turn.answer))
    texts = [example.system, *earlier, example.question, *(answers_of(example) if answers is None else answers)]
    return any(map(special_tokens(processor).search, texts))


def _limit_lengths(
    examples: list[Example], rows: list[Row], dropped: Counter[str], train: TrainConfig
) -> TokenizedExamples:
    """Apply the length limit to rows and examples."""
    limit, policy = train.max_text_tokens, train.too_long
    sizes = [_prompt_tokens(row) + max(len(ids) for ids in row["answers"]) for row in rows]
    over = [row["id"] for row, size in zip(rows, sizes, strict=True) if limit and size > limit]
    if over and policy is TooLong.error:
        raise UserError(
            f"{len(over)} of {len(rows)} rows have more than train.max_text_tokens={limit} text tokens "
            f"(longest {max(sizes)}), the first: {', '.join(over[:MAX_IDS])}. Type a larger "
            "train.max_text_tokens=, or train.too_long=cut_answer or drop."
        )
    kept = []
    for example, row, size in zip(examples, rows, sizes, strict=True):
        if limit and size > limit:
            if policy is TooLong.drop:
                dropped["too_long"] += 1
                continue
            answer_limit = limit - _prompt_tokens(row)
            if answer_limit < 1:
                dropped["no_room_for_answer"] += 1
                continue
            row["answers"] = [ids[:answer_limit] for ids in row["answers"]]
            if len(row["answers"]) > 1 and row["answers"][0] == row["answers"][1]:
                dropped["same_after_cut"] += 1
                continue
        kept.append((example, row))
    if not kept:
        reasons = ", ".join(f"{count} {reason}" for reason, count in dropped.items()) or "the data set is empty"
        raise UserError(
            f"No example is left to train on ({reasons}). Check the data, or type a larger data_scale= or "
            "train.max_text_tokens=."
        )
    lengths = Lengths(
        longest=max(sizes),
        p99=int(np.percentile(sizes, 99, method="higher")),
        limit=limit,
        over=len(over),
        policy=policy.value,
    )
    return TokenizedExamples([one for one, _ in kept], [row for _, row in kept], dict(dropped), lengths)


def _prompt_tokens(row: Row) -> int:
    """Count the text tokens of a prompt, without the placeholders of its images."""
    return len(row["prompt_ids"]) - len(row["images"])
