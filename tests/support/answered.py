"""Synthetic studies whose points answer the miniature's real samples, so that images and references are there."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mmdpo.config.schema import BenchConfig
from mmdpo.evaluation.samples import SampleSet, sample_sets
from mmdpo.files import file_fingerprint
from tests.support.studies import make_point, write, write_answers

Score = float | None


def make_answered_study(folder: Path, scores: dict[str, Sequence[Score]], texts: dict[str, str] | None = None) -> Path:
    """Write a study with the task `visual`: `base`, and trained points by their seed, as `1`.

    Args:
        folder: The folder of the study.
        scores: The scores of each point's answers.
        texts: The answers of points that all say the same; others answer with their name and the item's number.
    """
    one = visual_samples(len(next(iter(scores.values()))))
    for name, values in scores.items():
        config = {"bench": {"items": len(values)}}
        role = "base" if name == "base" else "trained"
        axes = {"data_scale": 0.0} if name == "base" else {"seed": int(name)}
        point = make_point(folder, axes, role=role, n=2, config=config)
        for path in (point / "answers").glob("*.jsonl"):
            path.unlink()
        write_answers(
            point, "visual", [item_of(one, number, name, values, texts or {}) for number in range(len(values))]
        )
        content = file_fingerprint(point / "answers" / "visual.jsonl")
        write(point / "answers" / "visual.json", {"samples": one.asked_fingerprint, "content": content})
    return folder


def visual_samples(items: int) -> SampleSet:
    """Return samples of the miniature's visual task."""
    bench = BenchConfig(name="nano", tasks=["visual"], items=items)
    return sample_sets(bench, {}, "")[0]


def item_of(one: SampleSet, number: int, name: str, scores: Sequence[Score], texts: dict[str, str]) -> dict[str, Any]:
    """Return an answer with its judgment."""
    prompt = one.prompts[number]
    return {
        "id": prompt.id,
        "category": prompt.category,
        "question": prompt.question,
        "answer": texts.get(name, f"{name} answers {number}"),
        "score": scores[number],
        "parts": {"correctness": 3.0},
        "words": 3,
        "groups": {"category": prompt.category},
        "reason": "" if scores[number] is not None else "refused",
        "replies": [f"Judge on {name}, item {number}"],
    }
