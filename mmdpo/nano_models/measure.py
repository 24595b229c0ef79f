"""Evaluation of the miniature's models: greedy answers to held-out questions, rated by the oracle."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from statistics import mean
from typing import Any

from transformers import LlavaForConditionalGeneration, LlavaProcessor

from mmdpo.config.schema import BenchConfig
from mmdpo.evaluation.scorers import read_yes_no
from mmdpo.evaluation.statistics import bootstrap_score
from mmdpo.models.generate import Decoding, generate_several
from mmdpo.nano import items as nano_items
from mmdpo.nano.oracle import QUALITY, rate, ten_point_score
from mmdpo.records import Prompt, quality

BATCH = 100
MAX_NEW_TOKENS = 64
TEMPERATURE = 0.7  # paper, 3.1
PAIR_GAP = 2
"""Smallest difference of quality between the two answers of a preference pair (paper, 3.2)."""


def generate_answers(
    model: LlavaForConditionalGeneration,
    processor: LlavaProcessor,
    prompts: Sequence[Prompt],
    folder: Path,
    samples: int = 1,
    temperature: float = 0.0,
    seed: int = 0,
) -> list[list[str]]:
    """Generate answers to prompts.

    Args:
        model: The model.
        processor: Its processor.
        prompts: N prompts.
        folder: Folder of their images.
        samples: Answers per prompt.
        temperature: 0 for greedy search.
        seed: Seed of the samples.

    Returns:
        N lists of `samples` answers.
    """
    decoding = Decoding(MAX_NEW_TOKENS, BATCH, temperature=temperature, seed=seed)
    found = generate_several(model, processor, prompts, folder, decoding, samples)
    return [[answer.text for answer in answers] for answers in found]


def summary(values: Sequence[float]) -> dict[str, Any]:
    """Compute mean, bootstrap interval and number of values."""
    found = bootstrap_score([values], BenchConfig())
    return {
        "mean": round(found.value, 3),
        "low": round(found.low, 3),
        "high": round(found.high, 3),
        "n": found.n,
    }


def measure_all(
    model: LlavaForConditionalGeneration,
    processor: LlavaProcessor,
    folder: Path,
    count: int,
    seed: int,
    split: str,
) -> dict[str, list[dict[str, Any]]]:
    """Answer and rate the held-out questions of every benchmark.

    Args:
        model: The model.
        processor: Its processor.
        folder: Folder to draw the images into.
        count: Questions per benchmark.
        seed: Seed of the questions.
        split: Split of the questions.

    Returns:
        For each benchmark one row per question: the answer, its score and attributes, its group and category.
    """
    benches = {
        "text": nano_items.text_items(count, split, seed),
        "visual": nano_items.visual_items(count, split, seed, folder),
        "presence": nano_items.presence_items(count, split, seed, folder),
        "noisy_text": nano_items.noisy_text_items(count, split, seed, folder),
    }
    return {name: _rows(items, generate_answers(model, processor, items, folder)) for name, items in benches.items()}


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
                "score": ten_point_score(rating),
                "correctness": rating["correctness"],
                "helpfulness": rating["helpfulness"],
                "coherence": rating["coherence"],
                "words": len(answer.split()),
                "right": float(read_yes_no(answer) is (item.facts["answer"] == ["yes"])),
            }
        )
    return rows


def score_summary(rows: dict[str, list[dict[str, Any]]]) -> dict[str, Any]:
    """Summarize the scores of one model."""
    scores: dict[str, Any] = {"presence_accuracy": summary([row["right"] for row in rows["presence"]])}
    for bench in ("text", "visual", "noisy_text"):
        scores[bench] = summary([row["score"] for row in rows[bench]])
        for part in ("correctness", "helpfulness", "coherence", "words"):
            scores[bench][part] = round(mean(row[part] for row in rows[bench]), 2)
    for distance in ("near", "far"):
        scores[f"text_{distance}"] = summary([row["score"] for row in rows["text"] if row["group"] == distance])
    return scores


def paired_difference(before: Sequence[dict[str, Any]], after: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Compute the change of score from one model to another on the same questions."""
    return summary([two["score"] - one["score"] for one, two in zip(before, after, strict=True)])


def pair_share(
    model: LlavaForConditionalGeneration, processor: LlavaProcessor, folder: Path, count: int, seed: int
) -> dict[str, Any]:
    """Compute the share of preference prompts whose four samples make a preference pair.

    Args:
        model: The model.
        processor: Its processor.
        folder: Folder to draw the images into.
        count: Number of prompts.
        seed: Seed of prompts and samples.

    Returns:
        The share (0..1) with its interval.
    """
    items = nano_items.preference_items(count, "preference", seed, folder)
    given = generate_answers(model, processor, items, folder, samples=4, temperature=TEMPERATURE, seed=seed)
    scores = [[quality(rate(item, text), QUALITY) for text in texts] for item, texts in zip(items, given, strict=True)]
    return summary([float(max(row) - min(row) >= PAIR_GAP) for row in scores])
