"""Report on a judge's ratings: distributions, agreement with itself, effect of the presentation order, cost.

The report is made from the folder that stage=annotate writes, and is added to it as JSON and a picture.
"""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mmdpo.config.schema import JudgeConfig
from mmdpo.console import make_console, markup_safe, printable
from mmdpo.files import read_json, write_json
from mmdpo.judge.rubric import load_rubric
from mmdpo.records import Annotation, Unscored, quality, read_records

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from rich.console import Console

FEWEST = 10
"""The number of prompts from which the effect of the order is tested."""


def write_annotation_report(folder: Path, console: Console | None = None) -> dict[str, Any]:
    """Write report.json, report.png and report.pdf to the folder and print the tables; returns the numbers."""
    numbers = summarize_ratings(folder)
    write_json(folder / "report.json", numbers)
    _draw(numbers, folder / "report.png")
    _print(numbers, console or make_console())
    return numbers


def summarize_ratings(folder: Path) -> dict[str, Any]:
    """Compute the numbers of the report from the records in the folder."""
    summary = read_json(folder / "summary.json")
    rubric = load_rubric(summary.pop("rubric", JudgeConfig.rubric))
    low, high = rubric.scale
    marks = np.zeros((len(rubric.attributes), high - low + 1), dtype=int)
    by_position: dict[int, list[list[int]]] = {}  # by number of completions: qualities in presentation order
    steps: Counter[str] = Counter()
    first: dict[str, Annotation] = {}
    again = {one.prompt_id: one for one in _annotations(folder / "repeated.jsonl")}
    count = 0
    for annotation in _annotations(folder / "annotations.jsonl"):
        count += 1
        steps[annotation.parser] += 1
        for rating in annotation.ratings:
            for row, name in enumerate(rubric.attributes):
                marks[row, rating[name] - low] += 1
        order = annotation.presentation_order
        if len(order) > 1 and len(order) == len(set(order)):  # no two completions were equal
            presented = [annotation.ratings[order.index(position)] for position in sorted(order)]
            qualities = [quality(rating, rubric.aggregate) for rating in presented]
            by_position.setdefault(len(order), []).append(qualities)
        if annotation.prompt_id in again:
            first[annotation.prompt_id] = annotation
    reasons = Counter(one.reason for one in read_records(folder / "unscored.jsonl", Unscored))
    return {
        "scored": count,
        "unscored": dict(reasons.most_common()),
        "read_by": dict(steps.most_common()),
        "ratings": {name: marks[row].tolist() for row, name in enumerate(rubric.attributes)},
        "agreement": _agreement([(first[name], again[name]) for name in first], rubric.attributes),
        "position": _position(max(by_position.values(), key=len, default=[])),
        "people": _people(folder / "differences.csv", rubric.attributes),
        "scale": [low, high],
        "best": high * len(rubric.aggregate),
        **summary,
    }


def _annotations(path: Path) -> Iterable[Annotation]:
    return read_records(path, Annotation) if path.exists() else ()


def _agreement(twice: Sequence[tuple[Annotation, Annotation]], attributes: Sequence[str]) -> dict[str, Any] | None:
    """Compute the agreement of two ratings of the same completions, by attribute; None if none was repeated."""
    from scipy.stats import spearmanr

    if not twice:
        return None
    result: dict[str, Any] = {"prompts": len(twice)}
    for name in attributes:
        one, other = (np.array([rating[name] for pair in twice for rating in pair[side].ratings]) for side in (0, 1))
        varied = len(set(one)) > 1 and len(set(other)) > 1
        result[name] = {
            "equal": float(np.mean(one == other)),
            "within_1": float(np.mean(abs(one - other) <= 1)),
            "spearman": float(spearmanr(one, other).statistic) if varied else None,
        }
    return result


def _position(rows: Sequence[Sequence[int]]) -> dict[str, Any] | None:
    """Compute the mean quality by presentation position, and Friedman's test for differences.

    The order is drawn for each prompt, so that without a bias all positions have the same mean.
    """
    from scipy.stats import friedmanchisquare

    if len(rows) < FEWEST:
        return None
    table = np.array(rows, dtype=float)
    centred = table - table.mean(axis=1, keepdims=True)
    error = centred.std(axis=0, ddof=1) / np.sqrt(len(table))
    tested = len(table[0]) > 2 and bool((table != table[:, :1]).any())
    return {
        "prompts": len(table),
        "quality": table.mean(axis=0).round(4).tolist(),
        "half_width": (1.96 * error).round(4).tolist(),
        "p": float(friedmanchisquare(*table.T).pvalue) if tested else None,
    }


def _people(table: Path, attributes: Sequence[str]) -> dict[str, Any] | None:
    """Count how often the judge rates the answer higher that people preferred, by attribute; ties apart."""
    if not table.exists():
        return None
    with table.open(encoding="utf-8", newline="") as lines:
        rows = list(csv.DictReader(lines))
    result: dict[str, Any] = {"pairs": len(rows)}
    for name in attributes:
        towards = [int(row[name]) * (1 if row["preference"] == "1" else -1) for row in rows]
        result[name] = {
            "with": sum(gap > 0 for gap in towards),
            "against": sum(gap < 0 for gap in towards),
            "tied": sum(gap == 0 for gap in towards),
        }
    return result


def _print(numbers: Mapping[str, Any], console: Console) -> None:
    from rich import box
    from rich.table import Table

    agreement, people = numbers["agreement"], numbers["people"]
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, title="ratings, share of the completions")
    table.add_column("")
    marks = _marks(numbers)
    for mark in marks:
        table.add_column(str(mark), justify="right")
    table.add_column("mean", justify="right")
    if agreement:
        table.add_column("equal when asked again", justify="right")
    if people:
        table.add_column("with : against people", justify="right")
    for name, counts in numbers["ratings"].items():
        total = max(sum(counts), 1)
        mean = sum(mark * count for mark, count in zip(marks, counts, strict=True)) / total
        twice = [f"{100 * agreement[name]['equal']:.0f} %"] if agreement else []
        sides = [f"{people[name]['with']} : {people[name]['against']}"] if people else []
        shares = (f"{100 * count / total:.0f} %" for count in counts)
        table.add_row(markup_safe(name), *shares, f"{mean:.2f}", *twice, *sides)
    console.print(table)
    for line in _lines(numbers):
        console.print(printable(line), highlight=False, markup=False)


def _lines(numbers: Mapping[str, Any]) -> list[str]:
    unscored = sum(numbers["unscored"].values())
    why = ", ".join(f"{count} {reason}" for reason, count in numbers["unscored"].items())
    steps = ", ".join(f"{count} {step}" for step, count in numbers["read_by"].items())
    lines = [
        f"scored: {numbers['scored']} prompts, read by {steps}" if steps else "scored: none",
        f"unscored: {unscored}" + (f" ({why})" if why else ""),
    ]
    position = numbers["position"]
    if position:
        means = "  ".join(
            f"{number}: {mean:.2f} ±{half:.2f}"
            for number, (mean, half) in enumerate(zip(position["quality"], position["half_width"], strict=True), 1)
        )
        test = "" if position["p"] is None else f"  (Friedman p {position['p']:.2g})"
        lines.append(f"quality by position: {means}{test}")
    if numbers["cost_so_far"]:
        lines.append(f"cost of this judge so far: {numbers['cost_so_far']:.2f} {numbers['currency']}")
    return lines


def _marks(numbers: Mapping[str, Any]) -> range:
    """Return the possible ratings, lowest first."""
    low, high = numbers["scale"]
    return range(low, high + 1)


def _draw(numbers: Mapping[str, Any], path: Path) -> None:
    from mmdpo.analysis.figures.style import applied, save_figure

    with applied():
        save_figure(_figure(numbers), path)


def _figure(numbers: Mapping[str, Any]) -> Figure:
    """Draw the share of each mark by attribute (left) and the mean quality by presentation order (right)."""
    from mmdpo.analysis.figures.style import GREY, PALETTE, light_grid, new_figure

    position = numbers["position"]
    figure = new_figure(7.0 if position else 4.6, 2.9)
    panels = figure.subplots(1, 2 if position else 1, squeeze=False)[0]
    left = panels[0]
    attributes, marks = list(numbers["ratings"]), _marks(numbers)
    begins = np.zeros(len(attributes))
    shares = np.array(list(numbers["ratings"].values()), dtype=float)
    shares = 100 * shares / np.maximum(shares.sum(axis=1, keepdims=True), 1)
    for column, mark in enumerate(marks):
        grey = str(0.92 - 0.76 * column / max(len(marks) - 1, 1))
        left.barh(attributes, shares[:, column], left=begins, color=grey, height=0.7)
        for row, share in enumerate(shares[:, column]):
            if share >= 8:
                centre = begins[row] + share / 2
                left.text(
                    centre,
                    row,
                    str(mark),
                    ha="center",
                    va="center",
                    color="w" if 2 * column > len(marks) - 1 else "k",
                    fontsize=8,
                )
        begins += shares[:, column]
    left.invert_yaxis()
    left.set(xlim=(0, 100), xlabel="% of the completions, by rating", title="Ratings")
    if position:
        right = panels[1]
        positions = np.arange(1, len(position["quality"]) + 1)
        right.errorbar(
            positions, position["quality"], yerr=position["half_width"], fmt="o", color=PALETTE[0], capsize=3
        )
        middle = float(np.mean(position["quality"]))
        right.axhline(middle, color=GREY, linewidth=0.8, linestyle="--")
        right.set(xticks=positions, xlabel="presentation position", ylabel=f"mean quality, 0..{numbers['best']}")
        bars = zip(position["quality"], position["half_width"], strict=True)
        reach = max(1.0, *(1.1 * (abs(mean - middle) + half) for mean, half in bars))
        right.set_ylim(middle - reach, middle + reach)
        right.set_title("Effect of the presentation order")
        light_grid(right)
    return figure
