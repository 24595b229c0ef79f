"""Preference pairs as token rows: which are used, what names their content, how they are tokenised."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mmdpo.errors import UserError
from mmdpo.files import file_fingerprint
from mmdpo.models.chat import IMAGE_TOKEN, answer, messages
from mmdpo.models.quiet import quiet
from mmdpo.records import PreferencePair

Row = dict[str, Any]


def usable(pairs: Sequence[PreferencePair]) -> tuple[list[PreferencePair], dict[str, int]]:
    """The pairs that can be trained on, and how many were left out for which reason.

    Raises UserError for an id that occurs twice, and where no pair is left.
    """
    kept, dropped, ids = [], Counter[str](), set()
    for pair in pairs:
        if pair.id in ids:
            raise UserError(f"Two pairs have the id {pair.id!r}; give each its own.")
        ids.add(pair.id)
        if not pair.chosen.strip() or not pair.rejected.strip():
            dropped["empty_answer"] += 1  # no token to average over
        elif pair.chosen == pair.rejected:
            dropped["same_answers"] += 1
        else:
            kept.append(pair)
    if not kept:
        why = ", ".join(f"{count} {reason}" for reason, count in dropped.items()) or "none came in"
        raise UserError(
            f"No pair is left to train on ({why}). Look at the data, or type a larger data_scale=."
        )
    return kept, dict(dropped)


def contents(pairs: Sequence[PreferencePair], image_root: Path) -> list[dict[str, Any]]:
    """What each pair says, with its image's content instead of its place; JSON-able."""
    paths = {pair.image: _image(pair, image_root) for pair in pairs}
    digests = {name: file_fingerprint(path) if path else None for name, path in paths.items()}
    return [{**dataclasses.asdict(pair), "image": digests[pair.image]} for pair in pairs]


def _image(pair: PreferencePair, image_root: Path) -> Path | None:
    """The file of the pair's image. Raises UserError, naming the pair, where it is not under the root."""
    from mmdpo.sources.images import inside

    if pair.image is None:
        return None
    try:
        return inside(image_root, pair.image)
    except UserError as error:
        raise UserError(f"Pair {pair.id!r}: {error}. Type data.image_root=FOLDER.") from error


def tokenised(pairs: Sequence[PreferencePair], image_root: Path, processor: Any) -> list[Row]:
    """One row a pair: `id`, `image` (a path or None), `prompt`, `chosen_ids`, `rejected_ids`.

    Texts and tokens are those of TRL's vision collator: the chat template makes one text of the
    conversation, and prompt and answers are tokenised apart. The prompt of a row with an image stays
    text, since its placeholder grows with the image.
    """
    with quiet():
        from trl.data_utils import apply_chat_template

    token = getattr(processor, "image_token", IMAGE_TOKEN)
    rows: list[Row] = []
    for pair in pairs:
        conversation = {
            "prompt": messages(
                pair.question, pair.history, pair.image is not None, record=pair.id, image_token=token
            ),
            "chosen": answer(pair.chosen, record=pair.id, image_token=token),
            "rejected": answer(pair.rejected, record=pair.id, image_token=token),
        }
        texts = apply_chat_template(conversation, processor)
        written, wanted = texts["prompt"].count(token), int(pair.image is not None)
        if written != wanted:
            raise UserError(
                f"Pair {pair.id!r}: its prompt has {written} image placeholders for {wanted} images. "
                "Type model.path= with a model whose template takes images."
            )
        path = _image(pair, image_root)
        rows.append({"id": pair.id, "image": str(path) if path else None, **texts})
    # One call for all answers: a fast tokenizer takes them in parallel.
    for side in ("chosen", "rejected"):
        ids = processor.tokenizer([row.pop(side) for row in rows], add_special_tokens=False)["input_ids"]
        for row, tokens in zip(rows, ids, strict=True):
            row[f"{side}_ids"] = tokens
    return rows
