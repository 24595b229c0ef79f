"""Synthetic studies on disk. All numbers come from a formula with seeded noise, none from a model."""

from __future__ import annotations

import json
import random
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import yaml

CATEGORIES = ("writing", "reasoning", "math", "extraction")
AXES: dict[str, Any] = {
    "method": "dpo",
    "beta": 0.1,
    "lr": 5e-4,
    "logprob_avg": False,
    "data_scale": 1.0,
    "data_limit": None,
    "label_noise": 0.0,
    "seed": 0,
}


def make_study(folder: Path, points: Iterable[dict[str, Any]], *, n: int = 24, references: bool = True) -> Path:
    """Write a finished study: the two reference models, then one point per set of axes."""
    if references:
        make_point(folder, {"data_scale": 0.0}, role="base", n=n, gain=0.0)
        make_point(folder, {"data_scale": 0.0}, role="before_visual_tuning", n=n, gain=1.0)
    for axes in points:
        scale = axes.get("data_scale", 1.0) * (1 - axes.get("label_noise", 0.0))
        gain = 0.5 * scale - 0.4 * (axes.get("beta") or 0.1)
        gain -= 0.1 if axes.get("lr", 5e-4) != 5e-4 else 0.0
        gain -= 0.15 if axes.get("logprob_avg") else 0.0
        if axes.get("data_scale") == 0:
            continue
        make_point(folder, axes, n=n, gain=gain + 0.04 * axes.get("seed", 0))
    return folder


def make_point(
    study: Path,
    axes: dict[str, Any],
    *,
    role: str = "trained",
    state: str = "done",
    n: int = 24,
    gain: float = 0.4,
    steps: int = 35,
    config: dict[str, Any] | None = None,
    judge: str = "oracle",
    **status: Any,
) -> Path:
    """Write one point's folder; `gain` raises its scores above those of the base."""
    axes = AXES | axes
    shown = axes if role == "trained" else dict.fromkeys(AXES) | {"data_scale": 0.0}
    folder = study / point_name(axes, role, config)
    folder.mkdir(parents=True, exist_ok=True)
    settings = merged(
        {
            **{key: value for key, value in axes.items() if key != "method"},
            "study": study.name,
            "method": {"name": axes["method"], "loss_type": axes["method"]},
            "model": {"name": "nano", "path": f"pkg://made-up/{role}"},
            "data": {"name": "nano", "prompts": 1000},
            "judge": {"name": judge},
            "bench": {"name": "nano", "items": n, "confidence": 0.95},
            "train": {"name": "nano", "num_train_epochs": 1.0},
        },
        config or {},
    )
    (folder / "config.yaml").write_text(yaml.safe_dump(settings), encoding="utf-8")
    write(
        folder / "status.json",
        {"state": state, "attempts": 1, "host": "nowhere", "pid": 1, "error": None} | status,
    )
    random_ = random.Random(str(folder.name))
    if role == "trained" and state in ("done", "running"):
        lines = [json.dumps(made_up_step(step, steps, gain, random_)) for step in range(1, steps + 1)]
        (folder / "metrics.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
    if state != "done":
        return folder
    scores: dict[str, Any] = {}
    for benchmark in ("text", "visual", "text_noisy"):
        items = [made_up_item(index, benchmark, gain, random_) for index in range(n)]
        write_answers(folder, benchmark, items)
        scores |= rated_scores(benchmark, items)
    presence = 0.95 + 0.02 * gain
    scores["presence"] = interval(presence, 0.03, n)
    scores["presence/f1"] = interval(presence - 0.01, 0.03, n)
    scores["presence/yes_ratio"] = interval(0.5, 0.06, n)
    write(
        folder / "result.json",
        {
            "point": folder.name,
            "study": study.name,
            "role": role,
            "axes": shown,
            "scores": scores,
            "training": {"steps": steps, "examples": 16 * steps, "seconds": 7.1} if role == "trained" else None,
            "judge": judge,
            "fingerprints": {"data": "0123456789abcdef", "model": "fedcba9876543210"},
            "versions": {"python": "3.11.7", "torch": "2.13.0"},
            "git": "0000000",
            "seconds": 12.3,
        },
    )
    return folder


def made_up_step(step: int, steps: int, gain: float, random_: random.Random) -> dict[str, Any]:
    """Return a logged step; over the steps the loss falls and the margin grows."""
    share = step / steps
    return {
        "step": step,
        "loss": 0.69 - 0.3 * share * (1 + gain) + random_.gauss(0, 0.03),
        "rewards/margins": 2 * share * (1 + gain) + random_.gauss(0, 0.1),
        "rewards/accuracies": min(1.0, 0.5 + 0.4 * share + random_.gauss(0, 0.05)),
    }


def made_up_item(index: int, benchmark: str, gain: float, random_: random.Random) -> dict[str, Any]:
    """Return a judged answer; a higher `gain` improves its form and leaves its content."""
    form = min(4.0, max(0.0, 2.6 + 1.2 * gain + random_.gauss(0, 0.5)))
    parts = {"correctness": float(random_.choice((3, 4, 4))), "helpfulness": form, "coherence": form}
    length = int(5 + 4 * gain + random_.random() * 4)
    return {
        "id": f"{benchmark}-{index}",
        "category": CATEGORIES[index % len(CATEGORIES)],
        "question": f"Made-up question {index} of {benchmark}: is the red circle <left> of the blue square?",
        "answer": " ".join(["made-up"] * length),
        "score": 1 + 9 * sum(parts.values()) / 12,
        "parts": parts,
        "words": length,
    }


def rated_scores(benchmark: str, items: list[dict[str, Any]]) -> dict[str, Any]:
    """Return the scores of a rated benchmark with normal intervals."""
    scores = {benchmark: mean_of([item["score"] for item in items])}
    for part in ("correctness", "helpfulness", "coherence"):
        scores[f"{benchmark}/{part}"] = mean_of([item["parts"][part] for item in items])
    scores[f"{benchmark}/words"] = mean_of([float(item["words"]) for item in items])
    for category in dict.fromkeys(item["category"] for item in items):
        of_category = [item["score"] for item in items if item["category"] == category]
        scores[f"{benchmark}/category/{category}"] = mean_of(of_category)
    return scores


def mean_of(values: list[float]) -> dict[str, Any]:
    """Return the mean with its normal 95 % interval."""
    mean = sum(values) / len(values)
    variance = sum((value - mean) ** 2 for value in values) / max(1, len(values) - 1)
    return interval(mean, 1.96 * (variance / len(values)) ** 0.5, len(values))


def interval(value: float, half: float, n: int) -> dict[str, Any]:
    """Return a score entry of result.json."""
    return {"value": value, "n": n, "low": value - half, "high": value + half}


def write_answers(folder: Path, benchmark: str, items: list[dict[str, Any]]) -> None:
    """Write answers/<benchmark>.jsonl and judgments/<benchmark>.jsonl."""
    of_answers = ("id", "question", "answer", "category")
    for name, keys in (("answers", of_answers), ("judgments", None)):
        rows = [
            {
                key: value
                for key, value in item.items()
                if (key in keys if keys else key == "id" or key not in of_answers)
            }
            for item in items
        ]
        path = folder / name / f"{benchmark}.jsonl"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


def write(path: Path, data: Any) -> None:
    """Write a JSON file."""
    path.write_text(json.dumps(data), encoding="utf-8")


def point_name(axes: dict[str, Any], role: str, config: dict[str, Any] | None) -> str:
    """Return a readable name, unique among the axes."""
    if role != "trained":
        return f"{role}-00abcd"
    average = "avg" if axes["logprob_avg"] else "sum"
    beta = "" if axes["beta"] is None else f"-beta{axes['beta']:g}"
    noise = f"-noise{axes['label_noise']:g}" if axes["label_noise"] else ""
    limit = f"-limit{axes['data_limit']}" if axes["data_limit"] else ""
    extra = "".join(f"-{value}" for group in (config or {}).values() for value in group.values())
    return (
        f"{axes['method']}{beta}-lr{axes['lr']:g}-{average}-data{axes['data_scale']}{limit}{noise}"
        f"-seed{axes['seed']}{extra}-00abcd"
    )


def merged(base: dict[str, Any], over: dict[str, Any]) -> dict[str, Any]:
    """Return `base` with the groups of `over` merged into it."""
    return base | {
        group: base[group] | values if isinstance(values, dict) else values for group, values in over.items()
    }
