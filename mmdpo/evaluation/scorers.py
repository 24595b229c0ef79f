"""Benchmarks whose answers a judge rates: 1..10, with the parts of that score kept apart."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from mmdpo.config.schema import BenchConfig
from mmdpo.evaluation.statistics import Score, score
from mmdpo.nano.oracle import score as scale
from mmdpo.records import Prompt, Rating

PARTS = ("correctness", "helpfulness", "coherence")


@dataclass(frozen=True)
class Judged:
    """One item's answer and what it is worth."""

    id: str
    category: str
    question: str
    answer: str
    score: float
    parts: dict[str, float]
    words: int
    distance: str = ""  # of the miniature's text tasks from its visual questions: near or far


def judged(prompt: Prompt, answer: str, rate: Callable[[Prompt, str], Rating]) -> Judged:
    """An answer on MT-Bench's scale, 1..10, and the parts of its merit, 0..4 each."""
    rating = rate(prompt, answer)
    parts = {part: float(rating[part]) for part in PARTS}
    return Judged(
        id=prompt.id,
        category=prompt.category,
        question=prompt.question,
        answer=answer,
        score=scale(rating),
        parts=parts,
        words=len(answer.split()),
        distance=prompt.facts.get("distance", ""),
    )


def summarize(items: Sequence[Judged], bench: BenchConfig) -> dict[str, Score]:
    """The mean score (key ""), its parts, the answers' length, and a score a category and distance."""
    scores = {"": score([[item.score for item in items]], bench)}
    for part in PARTS:
        scores[part] = score([[item.parts[part] for item in items]], bench)
    scores["words"] = score([[item.words for item in items]], bench)
    for kind in ("category", "distance"):
        names = {getattr(item, kind) for item in items} - {""}
        for name in sorted(names) if len(names) > 1 else []:  # of one alone it is the score itself
            alike = [item.score for item in items if getattr(item, kind) == name]
            scores[f"{kind}/{name}"] = score([alike], bench)
    return scores
