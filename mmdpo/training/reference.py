"""Log-probs of the untouched base model, computed once and shared by every point of every sweep."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from mmdpo import cache as store
from mmdpo.console import progress
from mmdpo.errors import UserError
from mmdpo.files import fingerprint, read_json, write_json
from mmdpo.models.device import on_device
from mmdpo.models.fingerprints import processor_fingerprint, weights_fingerprint
from mmdpo.models.loading import load_model, load_processor, torch_dtype
from mmdpo.records import PreferencePair
from mmdpo.training.collate import Collator
from mmdpo.training.rows import Tokenised, contents, tokenised, usable
from mmdpo.training.trl_config import loss_type

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel

    from mmdpo.config.schema import Config
    from mmdpo.training.rows import Example, Row

LAYOUT = 3  # of the stored files; raise it when they, or how the numbers are made, change


@dataclass(frozen=True)
class Sharing:
    """Whether a model takes a shared prefix, and why it does not."""

    holds: bool
    reason: str = ""


@dataclass(frozen=True)
class Answer:
    """One answer's log-probs: their sum, and each token's [T]."""

    sum: float
    tokens: torch.Tensor


@dataclass
class Answers:
    """An answer of each of N pairs: digests of the texts; sums and token counts [N]; log-probs in one row."""

    texts: list[str]
    sums: torch.Tensor
    counts: torch.Tensor
    log_probs: torch.Tensor

    def __post_init__(self) -> None:
        self._ends = self.counts.cumsum(0).tolist()

    def __getitem__(self, index: int) -> Answer:
        end = self._ends[index]
        return Answer(float(self.sums[index]), self.log_probs[end - int(self.counts[index]) : end])


@dataclass
class Reference:
    """The base model's log-probs of both answers of N pairs; find a pair's with `of`."""

    ids: list[str]
    first: Answers  # of a pair's two texts, the lesser
    second: Answers
    sharing: Sharing

    def __post_init__(self) -> None:
        self._place = {row: index for index, row in enumerate(self.ids)}

    def of(self, pair: PreferencePair) -> tuple[Answer, Answer]:
        """Log-probs of the pair's chosen and rejected answer, whichever label they have.

        Raises KeyError for a pair, or for answers, that are not among these.
        """
        index = self._place[pair.id]
        known = self.first.texts[index], self.second.texts[index]
        asked = _digest(pair.chosen), _digest(pair.rejected)
        if asked == known:
            return self.first[index], self.second[index]
        if asked == known[::-1]:
            return self.second[index], self.first[index]
        raise KeyError(f"{pair.id}: other answers than those whose log-probs are known")


def reference(
    cfg: Config, pairs: Sequence[Example], image_root: Path, model: PreTrainedModel | None = None
) -> Reference:
    """The reference log-probs of `pairs`, from the cache or, the first time, from the base model.

    The key is what the numbers depend on: weights, processor and template, dtype, length policy, and
    each row's texts and image. Order and labels do not enter it, nor does anything of the training. A
    `model` that is loaded already is used as it is; it must be the untouched base. Of several processes
    one computes, on its own device, and the others wait.
    """
    kept, _ = usable(pairs)
    ordered = _canonical(kept)
    train = cfg.train
    key = {
        "layout": LAYOUT,
        "weights": weights_fingerprint(cfg.model.path),
        "processor": processor_fingerprint(cfg.model),
        "dtype": str(torch_dtype(cfg.model.dtype)),
        "length": [train.max_text_tokens, train.too_long.value] if train.max_text_tokens else None,
        "prefix_sharing": train.prefix_sharing,
        "rows": fingerprint(contents(ordered, image_root), length=64),
    }

    def make(folder: Path) -> None:
        base = model if model is not None else load_model(cfg.model.path, cfg.model.dtype)
        _write(folder, _compute(cfg, ordered, image_root, base))

    found = _read(store.cached("reference", key, make))
    if found is None:
        shutil.rmtree(store.cached_path("reference", key), ignore_errors=True)
        found = _read(store.cached("reference", key, make))
    if found is None:
        raise UserError(
            f"The reference log-probs of {cfg.model.path} are not finite. Type model.dtype=float32, or look "
            "at the weights."
        )
    return found


def add_reference(cfg: Config, made: Tokenised, known: Reference) -> None:
    """Put the summed reference log-probs, and with `method.fine_grained` token weights, into the rows."""
    from mmdpo.training.fine_grained import token_weights

    average = loss_type(cfg) == "sigmoid_norm"
    for row, pair in zip(made.rows, made.examples, strict=True):
        found = known.of(cast(PreferencePair, pair))
        sums = [answer.sum for answer in found]
        if cfg.method.fine_grained:
            weights = token_weights(row["answers"][0], row["answers"][1], cfg.method.fine_grained_weight, average)
            row["weights"] = weights
            sums = [
                float((answer.tokens * answer.tokens.new_tensor(own)).sum())
                for answer, own in zip(found, weights, strict=True)
            ]
        row["ref_chosen_logps"], row["ref_rejected_logps"] = sums


def _canonical(pairs: Sequence[Any]) -> list[PreferencePair]:
    """The pairs by id, the answers of each by text: the same whatever the order and the labels."""
    return [
        dataclasses.replace(pair, chosen=min(pair.chosen, pair.rejected), rejected=max(pair.chosen, pair.rejected))
        for pair in sorted(pairs, key=lambda pair: pair.id)
    ]


def _compute(cfg: Config, pairs: Sequence[PreferencePair], image_root: Path, model: PreTrainedModel) -> Reference:
    """The log-probs of every pair that the length policy leaves, in batches of rows of like length."""
    import torch

    from mmdpo.training.prefix import sharing, to_device
    from mmdpo.training.scoring import scoring, shared_attention

    processor = load_processor(cfg.model)
    made = tokenised(pairs, image_root, processor, cfg.train)
    rows = made.rows
    order = sorted(range(len(rows)), key=lambda place: (_tokens(rows[place]), place))
    size = cfg.train.precompute_ref_batch_size
    model = on_device(model).eval()
    how = sharing(model, processor, rows) if cfg.train.prefix_sharing else Sharing(False)
    collate = Collator(processor, shared=how.holds)
    sums = torch.zeros(2, len(rows))
    log_probs: list[list[torch.Tensor]] = [[torch.zeros(0)] * len(rows) for _ in range(2)]
    attention = shared_attention(model) if how.holds else contextlib.nullcontext()
    with (
        attention,
        scoring(model) as scorer,
        torch.inference_mode(),
        progress("reference", len(order)) as advance,
    ):
        for start in range(0, len(order), size):
            places = order[start : start + size]
            batch = to_device(collate([rows[place] for place in places]), model.device)
            scored = scorer(model, batch).log_probs.float()
            sums[:, places] = scored.sum(dim=1).cpu().view(2, -1)
            for side, values in enumerate(scored.cpu().view(2, len(places), -1)):
                for place, tokens in zip(places, values, strict=True):
                    log_probs[side][place] = tokens[: len(rows[place]["answers"][side])]
            advance(len(places))
    examples: list[Any] = made.examples
    texts = [[_digest(one.chosen) for one in examples], [_digest(one.rejected) for one in examples]]
    first, second = (
        Answers(
            texts[side],
            sums[side].clone(),
            torch.tensor([len(tokens) for tokens in log_probs[side]]),
            torch.cat(log_probs[side]),
        )
        for side in range(2)
    )
    return Reference([example.id for example in examples], first, second, how)


def _tokens(row: Row) -> int:
    return len(row["prompt_ids"]) + sum(len(ids) for ids in row["answers"])


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _write(folder: Path, found: Reference) -> None:
    from safetensors.torch import save_file

    columns: dict[str, Any] = {}
    tensors: dict[str, torch.Tensor] = {}
    for name, side in (("first", found.first), ("second", found.second)):
        columns[name] = side.texts
        tensors |= {f"{name}.{what}": getattr(side, what) for what in ("sums", "counts", "log_probs")}
    save_file(tensors, folder / "log_probs.safetensors")
    write_json(folder / "rows.json", {"ids": found.ids, **columns, "sharing": dataclasses.asdict(found.sharing)})


def _read(folder: Path) -> Reference | None:
    """What `_write` wrote, or None where it is damaged: unreadable, incomplete or not finite."""
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        columns: dict[str, Any] = read_json(folder / "rows.json")
        tensors = load_file(folder / "log_probs.safetensors")
        sides = [
            Answers(columns[name], *(tensors[f"{name}.{what}"] for what in ("sums", "counts", "log_probs")))
            for name in ("first", "second")
        ]
        found = Reference(columns["ids"], sides[0], sides[1], Sharing(**columns["sharing"]))
    except (OSError, ValueError, TypeError, KeyError, SafetensorError):
        return None
    rows = len(found.ids)
    whole = all(
        rows == len(side.texts) == len(side.sums) == len(side.counts) and int(side.counts.sum()) == len(side.log_probs)
        for side in sides
    )
    finite = all(bool(side.sums.isfinite().all() and side.log_probs.isfinite().all()) for side in sides)
    return found if rows and whole and finite else None
