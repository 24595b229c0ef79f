"""Log-probs of the untouched base model, computed once and shared by every point of every sweep."""

from __future__ import annotations

import contextlib
import hashlib
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mmdpo import store
from mmdpo.errors import UserError
from mmdpo.files import fingerprint, read_json, write_json
from mmdpo.models.loading import (
    load_model,
    load_processor,
    processor_fingerprint,
    torch_dtype,
    weights_fingerprint,
)
from mmdpo.models.quiet import quiet
from mmdpo.progress import progress
from mmdpo.records import PreferencePair
from mmdpo.training.collate import PreferenceCollator
from mmdpo.training.rows import contents, tokenised, usable

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel

    from mmdpo.config import Config

LAYOUT = 1  # of the stored files; raise it when they, or how the numbers are made, change


@dataclass
class Reference:
    """Summed log-probs and token counts of both answers of N pairs, each tensor [N]; find them with `of`."""

    ids: list[str]
    chosen: list[str]  # digests of the texts
    rejected: list[str]
    chosen_sum: torch.Tensor
    rejected_sum: torch.Tensor
    chosen_tokens: torch.Tensor
    rejected_tokens: torch.Tensor

    def __post_init__(self) -> None:
        self._place = {row: index for index, row in enumerate(self.ids)}

    def of(self, pair: PreferencePair) -> tuple[float, float]:
        """Summed log-probs of the pair's chosen and rejected answer, also where its label was flipped.

        Raises KeyError for a pair, or for answers, that are not among these.
        """
        index, flipped = self._find(pair)
        sums = float(self.chosen_sum[index]), float(self.rejected_sum[index])
        return sums[::-1] if flipped else sums

    def arranged(self, pairs: Sequence[PreferencePair]) -> Reference:
        """The same numbers, in the order and with the labels of `pairs`."""
        import torch

        found = [self._find(pair) for pair in pairs]
        places = torch.tensor([index for index, _ in found])
        flipped = torch.tensor([flip for _, flip in found])

        def side(swap: torch.Tensor, what: str) -> torch.Tensor:
            chosen, rejected = (
                getattr(self, f"chosen_{what}")[places],
                getattr(self, f"rejected_{what}")[places],
            )
            return torch.where(swap, rejected, chosen)

        return Reference(
            ids=[pair.id for pair in pairs],
            chosen=[_digest(pair.chosen) for pair in pairs],
            rejected=[_digest(pair.rejected) for pair in pairs],
            chosen_sum=side(flipped, "sum"),
            rejected_sum=side(~flipped, "sum"),
            chosen_tokens=side(flipped, "tokens"),
            rejected_tokens=side(~flipped, "tokens"),
        )

    def _find(self, pair: PreferencePair) -> tuple[int, bool]:
        """Where the pair stands, and whether its two answers stand the other way round."""
        index = self._place[pair.id]
        known, asked = (
            (self.chosen[index], self.rejected[index]),
            (_digest(pair.chosen), _digest(pair.rejected)),
        )
        if asked not in (known, known[::-1]):
            raise KeyError(f"{pair.id}: other answers than those whose log-probs are known")
        return index, asked != known


def reference(
    cfg: Config, pairs: Sequence[PreferencePair], image_root: Path, model: PreTrainedModel | None = None
) -> Reference:
    """The reference log-probs of `pairs`, from the cache or, the first time, from the base model.

    The key is what the numbers depend on: weights, processor and template, dtype, and each row's
    texts and image. Order and labels do not enter it, nor does anything of the training. A `model`
    that is loaded already is used as it is; it must be the untouched base.
    """
    pairs, _ = usable(pairs)
    rows = _canonical(pairs)
    key = {
        "layout": LAYOUT,
        "weights": weights_fingerprint(cfg.model.path),
        "processor": processor_fingerprint(cfg.model.path),
        "dtype": str(torch_dtype(cfg.model.dtype)),
        "rows": fingerprint(contents(rows, image_root), length=64),
    }

    def make(folder: Path) -> None:
        base = model if model is not None else load_model(cfg.model.path, cfg.model.dtype)
        _write(folder, rows, _log_probs(cfg, rows, image_root, base))

    found = _read(store.cached("reference", key, make), rows)
    if found is None:
        shutil.rmtree(store.cached_path("reference", key), ignore_errors=True)
        found = _read(store.cached("reference", key, make), rows)
    if found is None:
        raise UserError(
            f"The reference log-probs of {cfg.model.path} are not finite. Type model.dtype=float32, or look "
            "at the weights."
        )
    return found.arranged(pairs)


def _canonical(pairs: Sequence[PreferencePair]) -> list[PreferencePair]:
    """The pairs by id, the answers of each by text: the same whatever the order and the labels."""
    return [
        PreferencePair(
            id=pair.id,
            question=pair.question,
            chosen=min(pair.chosen, pair.rejected),
            rejected=max(pair.chosen, pair.rejected),
            image=pair.image,
            history=pair.history,
        )
        for pair in sorted(pairs, key=lambda pair: pair.id)
    ]


def _log_probs(
    cfg: Config, pairs: Sequence[PreferencePair], image_root: Path, model: PreTrainedModel
) -> dict[str, torch.Tensor]:
    """Sums and token counts, [N] each, from batches of rows of like length."""
    import torch

    processor = load_processor(cfg.model.path)
    rows = tokenised(pairs, image_root, processor)
    collate = PreferenceCollator(processor)
    order = sorted(range(len(rows)), key=lambda i: (len(rows[i]["prompt"]) + len(rows[i]["chosen_ids"]), i))
    size = cfg.train.reference_batch_size
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    sums, counts = torch.zeros(2, len(rows)), torch.zeros(2, len(rows), dtype=torch.long)
    with (
        fused_head(model.to(device).eval()),
        torch.inference_mode(),
        progress("reference", len(order)) as advance,
    ):
        for start in range(0, len(order), size):
            places = order[start : start + size]
            batch = collate([rows[place] for place in places])
            mask = batch.pop("completion_mask").to(device)
            batch.pop("rows")
            inputs = {name: value.to(device) for name, value in batch.items()}
            labels = inputs["input_ids"].masked_fill(mask == 0, -100)
            logps = model(**inputs, labels=labels, use_cache=False, fused_lm_head=True).log_probs.sum(dim=1)
            sums[:, places] = logps.float().cpu().view(2, -1)
            counts[:, places] = mask.sum(dim=1).cpu().view(2, -1)
            advance(len(places))
    return {
        "chosen_sum": sums[0].clone(),
        "rejected_sum": sums[1].clone(),
        "chosen_tokens": counts[0].clone(),
        "rejected_tokens": counts[1].clone(),
    }


@contextlib.contextmanager
def fused_head(model: PreTrainedModel) -> Iterator[None]:
    """Give the model TRL's `fused_lm_head=True` for a while: the very numbers that training sees."""
    with quiet():
        from trl.trainer.utils import add_fused_lm_head

    add_fused_lm_head(model)
    try:
        yield
    finally:
        del model.forward  # the patch is an attribute of the instance; the class's method is back


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _write(folder: Path, pairs: Sequence[PreferencePair], tensors: Mapping[str, torch.Tensor]) -> None:
    from safetensors.torch import save_file

    save_file(dict(tensors), folder / "log_probs.safetensors")
    write_json(
        folder / "ids.json",
        {
            "ids": [pair.id for pair in pairs],
            "chosen": [_digest(pair.chosen) for pair in pairs],
            "rejected": [_digest(pair.rejected) for pair in pairs],
        },
    )


def _read(folder: Path, pairs: Sequence[PreferencePair]) -> Reference | None:
    """What `_write` wrote, or None where it is damaged: unreadable, of other rows, or not finite."""
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        columns: dict[str, Any] = read_json(folder / "ids.json")
        columns |= load_file(folder / "log_probs.safetensors")
        found = Reference(**columns)
    except (OSError, ValueError, TypeError, SafetensorError):
        return None
    whole = all(len(column) == len(pairs) for column in columns.values()) and found.ids == [
        pair.id for pair in pairs
    ]
    finite = bool(found.chosen_sum.isfinite().all() and found.rejected_sum.isfinite().all())
    return found if whole and finite else None
