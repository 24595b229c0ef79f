"""How good the miniature's models are: greedy answers to held-out questions, rated by the oracle."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from statistics import mean
from typing import Any

from transformers import LlavaForConditionalGeneration, LlavaProcessor

from mmdpo.config.schema import BenchConfig
from mmdpo.evaluation.scorers import read_yes_no
from mmdpo.evaluation.statistics import score as mean_score
from mmdpo.models.generate import Decoding, generate_several
from mmdpo.nano import items as heldout
from mmdpo.nano.oracle import QUALITY, rate, score
from mmdpo.records import Prompt, quality

BATCH = 100
MAX_NEW_TOKENS = 64
TEMPERATURE = 0.7  # paper, 3.1
PAIR_GAP = 2
"""The difference of merit from which two answers make a preference pair (paper, 3.2)."""


def answers(
    model: LlavaForConditionalGeneration,
    processor: LlavaProcessor,
    prompts: Sequence[Prompt],
    folder: Path,
    samples: int = 1,
    temperature: float = 0.0,
    seed: int = 0,
) -> list[list[str]]:
    """For each prompt its answers: one, the greedy one, unless told."""
    decoding = Decoding(MAX_NEW_TOKENS, BATCH, temperature=temperature, seed=seed)
    return generate_several(model, processor, prompts, folder, decoding, samples)


def summary(values: Sequence[float]) -> dict[str, Any]:
    """Mean, bootstrap interval and number of values."""
    found = mean_score([values], BenchConfig())
    return {
        "mean": round(found.value, 3),
        "low": round(found.low, 3),
        "high": round(found.high, 3),
        "n": found.n,
    }


def measure(
    model: LlavaForConditionalGeneration,
    processor: LlavaProcessor,
    folder: Path,
    count: int,
    seed: int,
    split: str,
) -> dict[str, list[dict[str, Any]]]:
    """For each benchmark a row per question: the answer, its score and attributes, and where it belongs."""
    benches = {
        "text": heldout.text_items(count, split, seed),
        "visual": heldout.visual_items(count, split, seed, folder),
        "presence": heldout.presence_items(count, split, seed, folder),
        "noisy_text": heldout.noisy_text_items(count, split, seed, folder),
    }
    return {name: _rows(items, answers(model, processor, items, folder)) for name, items in benches.items()}


def _rows(items: Sequence[Prompt], given: Sequence[list[str]]) -> list[dict[str, Any]]:
    rows = []
    for item, (answer,) in zip(items, given, strict=True):
        rating = rate(item, answer)
        rows.append(
            {
                "question": item.question,
                "answer": answer,
                "group": item.facts["distance"] if item.facts["distance"] != "visual" else item.category,
                "category": item.category,
                "score": score(rating),
                "correctness": rating["correctness"],
                "helpfulness": rating["helpfulness"],
                "coherence": rating["coherence"],
                "words": len(answer.split()),
                "right": float(read_yes_no(answer) is (item.facts["answer"] == ["yes"])),
            }
        )
    return rows


def digest(rows: dict[str, list[dict[str, Any]]]) -> dict[str, Any]:
    """The scores of one model."""
    told: dict[str, Any] = {"presence_accuracy": summary([row["right"] for row in rows["presence"]])}
    for bench in ("text", "visual", "noisy_text"):
        told[bench] = summary([row["score"] for row in rows[bench]])
        for part in ("correctness", "helpfulness", "coherence", "words"):
            told[bench][part] = round(mean(row[part] for row in rows[bench]), 2)
    for distance in ("near", "far"):
        told[f"text_{distance}"] = summary([row["score"] for row in rows["text"] if row["group"] == distance])
    return told


def paired_difference(before: Sequence[dict[str, Any]], after: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """The change of score from one model to another on the same questions."""
    return summary([two["score"] - one["score"] for one, two in zip(before, after, strict=True)])


def pair_share(
    model: LlavaForConditionalGeneration, processor: LlavaProcessor, folder: Path, count: int, seed: int
) -> dict[str, Any]:
    """The share of preference prompts of whose four samples two differ enough in merit to make a pair."""
    items = heldout.preference_items(count, "preference", seed, folder)
    given = answers(model, processor, items, folder, samples=4, temperature=TEMPERATURE, seed=seed)
    merits = [[quality(rate(item, text), QUALITY) for text in texts] for item, texts in zip(items, given, strict=True)]
    return summary([float(max(row) - min(row) >= PAIR_GAP) for row in merits])
