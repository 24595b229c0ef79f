"""Training examples as token rows: which are used, what names their content, how long they may be."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from mmdpo.config.choices import TooLong
from mmdpo.config.schema import TrainConfig
from mmdpo.errors import UserError
from mmdpo.files import file_fingerprint
from mmdpo.models.chat import IMAGE_TOKEN, answer, check_placeholders, encoded, messages
from mmdpo.records import PreferencePair, SftExample

Row = dict[str, Any]
Example = PreferencePair | SftExample

SHOWN = 5  # ids that an error names


@dataclass(frozen=True)
class Lengths:
    """Text tokens of the rows, prompt and longest answer, before the limit, and what it did to them."""

    longest: int
    p99: int
    limit: int | None
    over: int  # rows
    policy: str

    def __str__(self) -> str:
        line = f"text tokens a row: longest {self.longest}, 99th percentile {self.p99}"
        if self.limit is None:
            return f"{line}; no train.max_text_tokens"
        did = {"cut_answer": "cut", "drop": "dropped", "error": "refused"}[self.policy]
        return f"{line}; train.max_text_tokens={self.limit}: {self.over} {did}"


@dataclass(frozen=True)
class Tokenised:
    """Examples and their rows, in one order, and what became of the others, by reason."""

    examples: list[Example]
    rows: list[Row]
    dropped: dict[str, int]
    lengths: Lengths


def answers(example: Example) -> tuple[str, ...]:
    """What the model learns to say: chosen and rejected, or the one answer."""
    if isinstance(example, PreferencePair):
        return example.chosen, example.rejected
    return (example.answer,)


def usable(examples: Sequence[Example]) -> tuple[list[Example], Counter[str]]:
    """The examples that can be trained on, and how many were left out for which reason.

    Raises UserError for an id that occurs twice.
    """
    kept, dropped, ids = [], Counter[str](), set()
    for example in examples:
        if example.id in ids:
            raise UserError(f"Two examples have the id {example.id!r}; give each its own.")
        ids.add(example.id)
        texts = answers(example)
        if not all(text.strip() for text in texts):
            dropped["empty_answer"] += 1  # no token to average over
        elif len(texts) > 1 and texts[0] == texts[1]:
            dropped["same_answers"] += 1
        else:
            kept.append(example)
    return kept, dropped


def contents(examples: Iterable[Example], image_root: Path) -> list[dict[str, Any]]:
    """What each example says, with its image's content instead of its place; JSON-able."""
    examples = list(examples)
    paths = {example.image: _image(example, image_root) for example in examples}
    digests = {name: file_fingerprint(path) if path else None for name, path in paths.items()}
    return [{**dataclasses.asdict(example), "image": digests[example.image]} for example in examples]


def _image(example: Example, image_root: Path) -> Path | None:
    """The file of the image. Raises UserError, naming the record, where it is not under the root."""
    from mmdpo.images import inside

    if example.image is None:
        return None
    try:
        return inside(image_root, example.image)
    except UserError as error:
        raise UserError(f"Record {example.id!r}: {error}. Type data.image_root=FOLDER.") from error


def tokenised(examples: Sequence[Example], image_root: Path, processor: Any, settings: TrainConfig) -> Tokenised:
    """One row an example: `id`, `image` (a path or None), `prompt`, `prompt_ids`, `answers` (ids of each).

    The prompt of a row with an image stays text, since its placeholder grows with the image. Rows over
    `train.max_text_tokens` meet `train.too_long`; an answer that a cut would leave without a token, or
    equal to the other one, takes its row with it. Raises UserError where no row is left.
    """
    kept, dropped = usable(examples)
    token = getattr(processor, "image_token", IMAGE_TOKEN)
    conversations, turns = [], []
    for example in kept:
        has_image = example.image is not None
        conversation = messages(example.question, example.history, has_image, record=example.id, image_token=token)
        for text in answers(example):
            conversations.append(conversation)
            turns.append(answer(text, record=example.id, image_token=token))
    texts = iter(encoded(processor, conversations, turns))
    rows: list[Row] = []
    for example in kept:
        made = [next(texts) for _ in answers(example)]
        check_placeholders(processor, made[0].text, example.image is not None, example.id)
        path = _image(example, image_root)
        rows.append(
            {
                "id": example.id,
                "image": str(path) if path else None,
                "prompt": made[0].text,
                "prompt_ids": made[0].prompt_ids,
                "answers": [one.answer_ids for one in made],
            }
        )
    return _limited(kept, rows, dropped, settings)


def _limited(examples: list[Example], rows: list[Row], dropped: Counter[str], settings: TrainConfig) -> Tokenised:
    """What the length policy leaves of rows and examples."""
    limit, policy = settings.max_text_tokens, settings.too_long
    sizes = [_prompt_tokens(row) + max(len(ids) for ids in row["answers"]) for row in rows]
    over = [row["id"] for row, size in zip(rows, sizes, strict=True) if limit and size > limit]
    if over and policy is TooLong.error:
        raise UserError(
            f"{len(over)} of {len(rows)} rows have more than train.max_text_tokens={limit} text tokens "
            f"(longest {max(sizes)}), the first: {', '.join(over[:SHOWN])}. Type a larger "
            "train.max_text_tokens=, or train.too_long=cut_answer or drop."
        )
    kept = []
    for example, row, size in zip(examples, rows, sizes, strict=True):
        if limit and size > limit:
            if policy is TooLong.drop:
                dropped["too_long"] += 1
                continue
            room = limit - _prompt_tokens(row)
            if room < 1:
                dropped["no_room_for_answer"] += 1
                continue
            row["answers"] = [ids[:room] for ids in row["answers"]]
            if len(row["answers"]) > 1 and row["answers"][0] == row["answers"][1]:
                dropped["same_after_cut"] += 1
                continue
        kept.append((example, row))
    if not kept:
        why = ", ".join(f"{count} {reason}" for reason, count in dropped.items()) or "none came in"
        raise UserError(
            f"No example is left to train on ({why}). Look at the data, or type a larger data_scale= or "
            "train.max_text_tokens=."
        )
    lengths = Lengths(
        longest=max(sizes),
        p99=int(np.percentile(sizes, 99, method="higher")),
        limit=limit,
        over=len(over),
        policy=policy.value,
    )
    return Tokenised([one for one, _ in kept], [row for _, row in kept], dict(dropped), lengths)


def _prompt_tokens(row: Row) -> int:
    """Text tokens of a prompt: its image's placeholder, one here, is not counted."""
    return len(row["prompt_ids"]) - (row["image"] is not None)
