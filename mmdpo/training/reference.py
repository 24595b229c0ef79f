"""Reference log-probs: computed once with the base model, and shared by all points of all sweeps."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from mmdpo.cache import cached, cached_path
from mmdpo.config.choices import ReferenceModel
from mmdpo.console import progress
from mmdpo.errors import UserError
from mmdpo.files import read_json, write_json
from mmdpo.models.device import on_device, to_device
from mmdpo.models.fingerprints import processor_fingerprint, weights_fingerprint
from mmdpo.models.loading import load_processor, torch_dtype
from mmdpo.models.quantization import base_settings
from mmdpo.records import PreferencePair
from mmdpo.timings import timed
from mmdpo.training.amounts import reference_amounts
from mmdpo.training.causality import require_causal
from mmdpo.training.collate import Collator
from mmdpo.training.partial_scores import PartialScores
from mmdpo.training.prefix import Sharing, sharing
from mmdpo.training.prompt_groups import GROUP, prompt_groups
from mmdpo.training.rows import TokenizedExamples, examples_fingerprint, has_special_tokens, tokenize_examples, usable
from mmdpo.training.start import reference_model, start_key

if TYPE_CHECKING:
    import torch

    from mmdpo.config.schema import ModelConfig, TrainConfig
    from mmdpo.training.rows import Example, Row
    from mmdpo.training.settings import TrainingSettings

_special: dict[tuple[str, str], bool] = {}
"""True for pairs that have special tokens in their texts, by the fingerprints of processor and pairs."""

LAYOUT = 3  # of the stored files; raise it if they change, or the way the numbers are computed


@dataclass(frozen=True)
class AnswerLogps:
    """Log-probs of one answer (nats): their sum, and those of its T tokens [T]."""

    sum: float
    tokens: torch.Tensor


@dataclass
class AnswersLogps:
    """Log-probs of one answer of each of N pairs.

    Attributes:
        texts: Hash of each answer's text, N in all.
        sums: Sum of each answer's log-probs [N], in nats.
        counts: Number of each answer's tokens [N].
        log_probs: Log-probs of all tokens of all answers, one after the other [sum of counts].
    """

    texts: list[str]
    sums: torch.Tensor
    counts: torch.Tensor
    log_probs: torch.Tensor

    def __post_init__(self) -> None:
        """Compute the end of each answer in `log_probs`."""
        self._ends = self.counts.cumsum(0).tolist()

    def __getitem__(self, index: int) -> AnswerLogps:
        """Return the log-probs of one answer."""
        end = self._ends[index]
        return AnswerLogps(float(self.sums[index]), self.log_probs[end - int(self.counts[index]) : end])


@dataclass
class Reference:
    """Log-probs of both answers of N pairs under the base model; `of` finds those of a pair."""

    ids: list[str]
    first: AnswersLogps  # of the answer whose text sorts first
    second: AnswersLogps
    sharing: Sharing

    def __post_init__(self) -> None:
        """Index the pairs by id."""
        self._index = {pair_id: index for index, pair_id in enumerate(self.ids)}

    def of(self, pair: PreferencePair) -> tuple[AnswerLogps, AnswerLogps]:
        """Return the log-probs of a pair's chosen and rejected answer, whichever is labelled chosen.

        Raises KeyError if the pair, or its answers, are not among these.
        """
        index = self._index[pair.id]
        stored = self.first.texts[index], self.second.texts[index]
        wanted = _digest(pair.chosen), _digest(pair.rejected)
        if wanted == stored:
            return self.first[index], self.second[index]
        if wanted == stored[::-1]:
            return self.second[index], self.first[index]
        raise KeyError(f"{pair.id}: other answers than those with reference log-probs")


def reference(
    model: ModelConfig,
    train: TrainConfig,
    pairs: Sequence[Example],
    image_root: Path,
    which: ReferenceModel = ReferenceModel.start,
) -> Reference:
    """Return the reference log-probs of pairs from the cache, or compute them with the reference model.

    The cache key is what the numbers depend on: weights, processor and chat template, dtype, length limit, and
    each pair's texts and image. The order and the labels of the pairs do not matter, nor do other settings of the
    training. If several processes ask at once, one computes on its own device and the others wait. A process that is
    killed leaves the log-probs of most rows that it has scored to the next one.

    Args:
        model: The base model.
        train: Length limit, prefix sharing and batch size.
        pairs: Preference pairs with unique ids.
        image_root: Folder of the images.
        which: The reference, if the training starts from an adapter.

    Returns:
        Log-probs of every pair that the length limit leaves.

    Raises:
        UserError: The log-probs are not finite, or the pairs cannot be tokenized (`rows.tokenize_examples`).
    """
    kept, _ = usable(pairs)
    ordered = _canonical(kept)
    path = cached_path("reference", key := _key(model, which, train, ordered, image_root))
    parts = path.with_name(f".{path.name}.parts")

    def make(folder: Path) -> None:
        with timed("reference", **reference_amounts(train, ordered)) as block:
            block.recorded = not parts.exists()
            _write(folder, _compute(model, which, train, ordered, image_root, parts))

    found = _read(cached("reference", key, make))
    if found is None:
        for damaged in (path, parts):
            shutil.rmtree(damaged, ignore_errors=True)
        found = _read(cached("reference", key, make))
    shutil.rmtree(parts, ignore_errors=True)
    if found is None:
        raise UserError(
            f"The reference log-probs of model.path={model.path} are not finite. Type model.dtype=float32, or check "
            "the weights."
        )
    return found


def reference_path(
    model: ModelConfig,
    which: ReferenceModel,
    train: TrainConfig,
    pairs: Sequence[Example],
    image_root: Path,
) -> Path:
    """Return the folder of the cache for the reference log-probs of pairs, whether or not they are there.

    Args:
        model: The base model, and the adapter that a training starts from.
        which: The model that the log-probs are of.
        train: Length limit and prefix sharing.
        pairs: Preference pairs with unique ids.
        image_root: Folder of the images.
    """
    return cached_path("reference", _key(model, which, train, _canonical(usable(pairs)[0]), image_root))


def scoring_key(model: ModelConfig, which: ReferenceModel, train: TrainConfig) -> dict[str, Any]:
    """Return what reference log-probs depend on besides the texts and images.

    Args:
        model: The base model, and the adapter that a training starts from.
        which: The model that the log-probs are of.
        train: Length limit and prefix sharing.
    """
    key: dict[str, Any] = {
        "layout": LAYOUT,
        "weights": weights_fingerprint(model.path),
        "processor": processor_fingerprint(model),
        "dtype": str(torch_dtype(model.dtype)),
        "length": [train.max_text_tokens, train.too_long.value] if train.max_text_tokens else None,
        "prefix_sharing": train.prefix_sharing,
        **base_settings(model),
    }
    if which is ReferenceModel.start and (start := start_key(model)):
        key["start"] = start
    return key


def _key(
    model: ModelConfig,
    which: ReferenceModel,
    train: TrainConfig,
    ordered: Sequence[PreferencePair],
    image_root: Path,
) -> dict[str, Any]:
    """Return what the log-probs of pairs in canonical order depend on."""
    rows = examples_fingerprint(ordered, image_root)
    key = {**scoring_key(model, which, train), "rows": rows}
    processor = key["processor"]
    if (processor, rows) not in _special:
        _special[processor, rows] = any(map(partial(has_special_tokens, load_processor(model)), ordered))
    if _special[processor, rows]:
        key["special_tokens"] = "text"  # earlier versions encoded them as control tokens
    return key


def add_reference(data: TokenizedExamples, reference_logps: Reference, settings: TrainingSettings) -> None:
    """Add the summed reference log-probs to the rows, and with `method.fine_grained` token weights.

    Args:
        data: Rows of preference pairs, changed in place.
        reference_logps: Log-probs of these pairs, and possibly others.
        settings: Settings of the training; its method decides about token weights.
    """
    from mmdpo.training.fine_grained import token_weights

    method = settings.method
    for row, pair in zip(data.rows, data.examples, strict=True):
        answers = reference_logps.of(cast(PreferencePair, pair))
        sums = [answer.sum for answer in answers]
        if method.fine_grained:
            chosen, rejected = row["answers"]
            weights = token_weights(chosen, rejected, method.fine_grained_weight, settings.averages_logps)
            row["weights"] = weights
            sums = [
                float((answer.tokens * answer.tokens.new_tensor(own)).sum())
                for answer, own in zip(answers, weights, strict=True)
            ]
        row["ref_chosen_logps"], row["ref_rejected_logps"] = sums


def _canonical(pairs: Sequence[Any]) -> list[PreferencePair]:
    """Sort the pairs by id and the answers of each by text, which removes order and labels."""
    return [
        dataclasses.replace(pair, chosen=min(pair.chosen, pair.rejected), rejected=max(pair.chosen, pair.rejected))
        for pair in sorted(pairs, key=lambda pair: pair.id)
    ]


def _compute(
    model: ModelConfig,
    which: ReferenceModel,
    train: TrainConfig,
    pairs: Sequence[PreferencePair],
    image_root: Path,
    parts: Path,
) -> Reference:
    """Compute the log-probs of every pair that the length limit leaves, in batches of similar length.

    Args:
        model: The base model, and the adapter that the training starts from.
        which: The reference, if there is such an adapter.
        train: Length limit, prefix sharing and batch size.
        pairs: The pairs in canonical order.
        image_root: Folder of the images.
        parts: Folder for the log-probs until all are computed.

    Returns:
        The log-probs, bit-equal also if an earlier process has computed some of the batches.
    """
    import torch

    from mmdpo.training.scoring import scoring, shared_attention

    base = on_device(reference_model(model, which)).eval()
    processor = load_processor(model)
    data = tokenize_examples(pairs, image_root, processor, train)
    rows = data.rows
    groups = prompt_groups(data.examples, rows)
    for row, group in zip(rows, groups or (), strict=False):
        row[GROUP] = group
    size = train.precompute_ref_batch_size
    require_causal(base, processor, rows, model.path)
    can_share = sharing(base, processor, rows) if train.prefix_sharing else Sharing(False)
    order = _by_length(rows, groups if can_share.holds else None)
    collate = Collator(processor, shared=can_share.holds)
    sums = torch.zeros(2, len(rows))
    log_probs: list[list[torch.Tensor]] = [[torch.zeros(0)] * len(rows) for _ in range(2)]
    key = {"batch_size": size, "rows": len(rows), "sharing": dataclasses.asdict(can_share), "grouped": bool(groups)}
    done = PartialScores(parts, key)
    attention = shared_attention(base) if can_share.holds else contextlib.nullcontext()
    with (
        attention,
        scoring(base) as scorer,
        torch.inference_mode(),
        progress("reference", len(order)) as advance,
        done,
    ):
        advance(len(done))
        for start in range(len(done), len(order), size):
            indices = order[start : start + size]
            batch = to_device(collate([rows[index] for index in indices]), base.device)
            scored = scorer(base, batch).log_probs.float()
            padded = scored.cpu().view(2, len(indices), -1)
            counts = [[len(answer) for answer in rows[index]["answers"]] for index in indices]
            tokens = [(padded[0, row, :n].clone(), padded[1, row, :m].clone()) for row, (n, m) in enumerate(counts)]
            done.add(scored.sum(dim=1).cpu().view(2, -1), tokens)
            advance(len(indices))
    for index, summed, row_tokens in zip(order, done.sums, done.log_probs, strict=True):
        sums[:, index] = summed
        log_probs[0][index], log_probs[1][index] = row_tokens
    examples: list[Any] = data.examples
    texts = [[_digest(one.chosen) for one in examples], [_digest(one.rejected) for one in examples]]
    first, second = (
        AnswersLogps(
            texts[side],
            sums[side].clone(),
            torch.tensor([len(tokens) for tokens in log_probs[side]]),
            torch.cat(log_probs[side]),
        )
        for side in range(2)
    )
    return Reference([example.id for example in examples], first, second, can_share)


def _by_length(rows: Sequence[Row], groups: Sequence[int] | None) -> list[int]:
    """Order rows by length; those of a group stay together, since their prompts and equal answers are computed once."""
    longest: dict[int, int] = {}
    for row, group in zip(rows, groups or (), strict=False):
        longest[group] = max(longest.get(group, 0), _tokens(row))
    ranks = [(longest[group], group) for group in groups] if groups else [(_tokens(row), 0) for row in rows]
    return sorted(range(len(rows)), key=lambda index: (*ranks[index], index))


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
        tensors |= {f"{name}.{field}": getattr(side, field) for field in ("sums", "counts", "log_probs")}
    save_file(tensors, folder / "log_probs.safetensors")
    write_json(folder / "rows.json", {"ids": found.ids, **columns, "sharing": dataclasses.asdict(found.sharing)})


def _read(folder: Path) -> Reference | None:
    """Read what `_write` wrote; return None if it is damaged: unreadable, incomplete or not finite."""
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        columns: dict[str, Any] = read_json(folder / "rows.json")
        tensors = load_file(folder / "log_probs.safetensors")
        sides = [
            AnswersLogps(columns[name], *(tensors[f"{name}.{field}"] for field in ("sums", "counts", "log_probs")))
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
