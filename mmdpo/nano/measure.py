"""How good the miniature's models are: greedy answers to held-out questions, rated by the oracle."""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path
from statistics import mean
from typing import Any

import torch
from PIL import Image
from transformers import LlavaForConditionalGeneration, LlavaProcessor

from mmdpo.evaluation.presence import says_yes
from mmdpo.judge.oracle import rate, score
from mmdpo.nano import heldout
from mmdpo.records import Prompt

BATCH = 100
RESAMPLES = 2000
PAIR_GAP = 2
"""The difference of merit from which two answers make a preference pair (paper, 3.2)."""


def messages(prompt: Prompt) -> list[dict[str, Any]]:
    """The prompt as a chat; an image goes before the first question."""
    turns: list[dict[str, Any]] = []
    for earlier in prompt.history:
        turns += [
            {"role": "user", "content": [{"type": "text", "text": earlier.question}]},
            {"role": "assistant", "content": [{"type": "text", "text": earlier.answer}]},
        ]
    turns.append({"role": "user", "content": [{"type": "text", "text": prompt.question}]})
    if prompt.image:
        turns[0]["content"].insert(0, {"type": "image"})
    return turns


@torch.inference_mode()
def answers(
    model: LlavaForConditionalGeneration,
    processor: LlavaProcessor,
    prompts: Sequence[Prompt],
    folder: Path,
    samples: int = 0,
    temperature: float = 0.7,
) -> list[list[str]]:
    """For each prompt its greedy answer, or `samples` sampled ones; all prompts have an image, or none."""
    given: list[list[str]] = []
    how: dict[str, Any] = {"do_sample": False}
    if samples:
        how = {"do_sample": True, "temperature": temperature, "top_k": 0, "num_return_sequences": samples}
    for start in range(0, len(prompts), BATCH):
        part = prompts[start : start + BATCH]
        texts = [
            processor.apply_chat_template(messages(prompt), add_generation_prompt=True) for prompt in part
        ]
        images = [Image.open(folder / prompt.image) for prompt in part if prompt.image]
        inputs = processor(
            text=texts, images=images or None, padding=True, padding_side="left", return_tensors="pt"
        )
        made = model.generate(**inputs, max_new_tokens=64, **how)
        told = processor.batch_decode(made[:, inputs["input_ids"].shape[1] :], skip_special_tokens=True)
        given += [told[place : place + max(1, samples)] for place in range(0, len(told), max(1, samples))]
    return given


def interval(values: Sequence[float]) -> tuple[float, float]:
    """The bootstrap's 95 % interval of the mean (percentiles, fixed seed)."""
    rng = random.Random(0)
    means = sorted(mean(rng.choices(values, k=len(values))) for _ in range(RESAMPLES))
    return means[round(0.025 * RESAMPLES)], means[round(0.975 * RESAMPLES) - 1]


def summary(values: Sequence[float]) -> dict[str, Any]:
    """Mean, 95 % interval and number of values."""
    low, high = interval(values)
    return {"mean": round(mean(values), 3), "low": round(low, 3), "high": round(high, 3), "n": len(values)}


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
                "correctness": rating.correctness,
                "helpfulness": rating.helpfulness,
                "coherence": rating.coherence,
                "words": len(answer.split()),
                "right": float(says_yes(answer) is (item.facts["answer"] == ["yes"])),
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
    torch.manual_seed(seed)
    items = heldout.preference_items(count, "preference", seed, folder)
    given = answers(model, processor, items, folder, samples=4)
    merits = [[rate(item, text).merit for text in texts] for item, texts in zip(items, given, strict=True)]
    return summary([float(max(row) - min(row) >= PAIR_GAP) for row in merits])
