"""Small points with benchmarks of the paper, whose scores are chosen."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tests.support.studies import AXES, interval, make_point, write, write_answers

SPREAD = (-1.0, 1.0, -0.5, 0.5)
"""Added to the mean of a task, so that items differ."""


def score_point(
    folder: Path,
    scores: Mapping[str, float],
    axes: dict[str, Any] | None = None,
    *,
    role: str = "trained",
    model: str = "llava_1_5_13b",
    labels: Mapping[str, Mapping[str, Any]] | None = None,
    n: int = 24,
    words: int = 5,
) -> Path:
    """Write a finished point: the mean score of each task, and `n` judged items of it."""
    point = make_point(folder, axes or {}, role=role, n=2, config={"model": {"name": model, "path": model}})
    for path in [*point.glob("judgments/*"), *point.glob("answers/*")]:
        path.unlink()
    entries = {}
    for task, mean in scores.items():
        items = [
            {"id": f"{number}", "score": mean + SPREAD[number % 4], "parts": {}, "words": words} for number in range(n)
        ]
        write_answers(point, task, items)
        entries |= {task: interval(mean, 0.4, n), f"{task}/words": interval(words, 0.1, n)}
    shown = AXES | (axes or {})
    result = {"role": role, "axes": shown, "scores": entries, "labels": dict(labels or {}), "judge": "gpt-4"}
    write(point / "result.json", result)
    return point


def import_row(folder: Path, name: str, scores: Mapping[str, float], words: int = 5) -> Path:
    """Write an imported row."""
    point = folder / f"imported-{name.replace('/', '-')}-00abcd"
    entries = {}
    for task, mean in scores.items():
        (point / "judgments").mkdir(parents=True, exist_ok=True)
        items = [{"id": f"{number}", "score": mean + SPREAD[number % 4], "words": words} for number in range(24)]
        lines: Sequence[str] = [json.dumps({"parts": {}, **item}) for item in items]
        (point / "judgments" / f"{task}.jsonl").write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
        entries |= {task: interval(mean, 0.4, 24), f"{task}/words": interval(words, 0.1, 24)}
    config = {"imported": {"name": name, "judge": "", "of": ""}, "bench": {"tasks": [*scores]}}
    write(point / "config.yaml", config)  # JSON is YAML
    write(point / "status.json", {"state": "done", "role": "imported"})
    write(point / "result.json", {"role": "imported", "scores": entries, "judge": "gpt-4"})
    return point
