"""Two points side by side: do they differ by more than the choice of items explains?"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mmdpo.analysis.points import read_answers
from mmdpo.errors import UserError
from mmdpo.files import read_json

if TYPE_CHECKING:
    from rich.table import Table

RESAMPLES = 9999
CONFIDENCE = 0.95
SEED = 0
SCORE, WORDS = "score", "words"


@dataclass(frozen=True)
class Difference:
    """B minus A over the items of one benchmark; `part` is the score, a part of it, or the length.

    The interval is NaN for a single item. Wins are items on which B is higher.
    """

    benchmark: str
    part: str
    mean: float
    low: float
    high: float
    n: int
    wins: int
    ties: int
    losses: int


@dataclass(frozen=True)
class Comparison:
    """Every difference of two points; `skipped` names benchmarks that only one of them has."""

    a: str
    b: str
    judge: str
    differences: tuple[Difference, ...]
    skipped: tuple[str, ...] = ()
    unscored: int = 0


def compare(a: Path, b: Path) -> Comparison:
    """Compare the judged answers of two points item by item.

    Raises:
        UserError: an unfinished point, different judges, or different items.
    """
    judges = {folder: _judge(folder) for folder in (a, b)}
    if judges[a] != judges[b]:
        raise UserError(
            f"different judges: {a.name} was rated by {judges[a]!r}, {b.name} by {judges[b]!r}. "
            "Scores of different judges cannot be compared; measure both with the same judge=."
        )
    answers_a, answers_b = read_answers(a), read_answers(b)
    shared = [name for name in answers_a if name in answers_b]
    if not shared:
        raise UserError(
            f"no benchmark in common: {a.name} has {', '.join(answers_a) or 'no answers'}, "
            f"{b.name} has {', '.join(answers_b) or 'no answers'}."
        )
    differences: list[Difference] = []
    unscored = 0
    for benchmark in shared:
        _check_same_items(benchmark, a.name, answers_a[benchmark], b.name, answers_b[benchmark])
        pairs = [(item, answers_b[benchmark][key]) for key, item in sorted(answers_a[benchmark].items())]
        unscored += sum(_number(x, SCORE) is None or _number(y, SCORE) is None for x, y in pairs)
        differences += _differences(benchmark, pairs)
    return Comparison(
        a.name,
        b.name,
        judges[a],
        tuple(differences),
        tuple(sorted(answers_a.keys() ^ answers_b.keys())),
        unscored,
    )


def paired_interval(differences: Sequence[float]) -> tuple[float, float]:
    """The percentile bootstrap interval (95 %, seeded) of the mean of per-item differences."""
    from mmdpo.config.schema import BenchConfig
    from mmdpo.evaluation.statistics import score

    if len(differences) < 2:
        return math.nan, math.nan
    settings = BenchConfig(resamples=RESAMPLES, confidence=CONFIDENCE, seed=SEED)
    found = score([differences], settings)
    return found.low, found.high


def comparison_table(comparison: Comparison) -> Table:
    """The differences, those whose interval leaves out 0 in bold."""
    from rich import box
    from rich.markup import escape
    from rich.table import Table

    table = Table(
        title=f"A: {escape(comparison.a)}\nB: {escape(comparison.b)}",
        box=box.SIMPLE_HEAD,
        pad_edge=False,
        collapse_padding=True,
    )
    for heading in ("benchmark", "part"):
        table.add_column(heading)
    for heading in ("B − A", "95 % interval", "n", "B wins", "ties", "A wins"):
        table.add_column(heading, justify="right", no_wrap=True)
    previous = ""
    for d in comparison.differences:
        if previous and d.benchmark != previous:
            table.add_section()
        interval = "–" if math.isnan(d.low) else f"[{d.low:+.2f}, {d.high:+.2f}]"
        name = d.benchmark if d.benchmark != previous else ""
        cells = [name, d.part, f"{d.mean:+.2f}", interval, str(d.n), str(d.wins), str(d.ties), str(d.losses)]
        clear = not math.isnan(d.low) and not d.low <= 0 <= d.high
        table.add_row(*map(escape, cells), style="bold" if clear else "")
        previous = d.benchmark
    return table


def comparison_notes(comparison: Comparison) -> list[str]:
    """What the reader of the table must know."""
    lines = [
        f"paired bootstrap over items, {RESAMPLES} resamples, seed {SEED}; judge: {comparison.judge}",
        "bold: the interval leaves out 0 (no correction for the number of rows)",
    ]
    if comparison.unscored:
        lines.append(f"{comparison.unscored} items without a score in one of the two are left out")
    if comparison.skipped:
        lines.append(f"measured for one of the two only: {', '.join(comparison.skipped)}")
    return lines


def _judge(folder: Path) -> str:
    try:
        return str(read_json(folder / "result.json").get("judge"))
    except FileNotFoundError:
        raise UserError(f"{folder} has no result.json: the point is not finished, or no point.") from None
    except (OSError, ValueError, AttributeError) as error:
        raise UserError(f"{folder / 'result.json'} cannot be read: {error}") from None


def _check_same_items(benchmark: str, a: str, of_a: dict[str, Any], b: str, of_b: dict[str, Any]) -> None:
    for name, only in ((a, of_a.keys() - of_b.keys()), (b, of_b.keys() - of_a.keys())):
        if only:
            raise UserError(
                f"different items in {benchmark}: {len(only)} only in {name}, such as {min(only)!r}. "
                "Measure both points with the same bench=, bench.items, bench.split and bench.seed."
            )
    changed = [key for key in of_a if of_a[key].get("question") != of_b[key].get("question")]
    if changed:
        raise UserError(
            f"different items in {benchmark}: {min(changed)!r} asks another question in {a} than in {b}, "
            f"as do {len(changed) - 1} more."
        )


def _differences(benchmark: str, pairs: Sequence[tuple[dict[str, Any], dict[str, Any]]]) -> list[Difference]:
    parts = dict.fromkeys(part for x, _ in pairs for part in (x.get("parts") or {}))
    found = []
    for part in (SCORE, *parts, WORDS):
        values = [(_number(x, part), _number(y, part)) for x, y in pairs]
        deltas = [y - x for x, y in values if x is not None and y is not None]
        if deltas:
            wins, losses = sum(delta > 0 for delta in deltas), sum(delta < 0 for delta in deltas)
            found.append(
                Difference(
                    benchmark,
                    part,
                    sum(deltas) / len(deltas),
                    *paired_interval(deltas),
                    len(deltas),
                    wins,
                    len(deltas) - wins - losses,
                    losses,
                )
            )
    return found


def _number(item: dict[str, Any], part: str) -> float | None:
    value = item.get(part) if part in (SCORE, WORDS) else (item.get("parts") or {}).get(part)
    if isinstance(value, int | float) and math.isfinite(value):
        return float(value)
    return None
