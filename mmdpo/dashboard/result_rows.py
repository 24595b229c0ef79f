"""The results of a study as a table: score, gain and verdict, one row per result and benchmark."""

from __future__ import annotations

import math

from mmdpo.analysis.gains import Gain
from mmdpo.analysis.labels import benchmark_label, decimals, estimate_text
from mmdpo.analysis.table import with_bounds
from mmdpo.dashboard.panels import Dashboard

HEADINGS = ["benchmark", "result", "gain over the base", "verdict", "score", "p, corrected", "seeds", "n"]


def result_rows(dashboard: Dashboard) -> tuple[list[str], list[list[str]]]:
    """Return the headings and the rows, by benchmark; what is not known is a dash."""
    rows = []
    for task in dashboard.study.benchmarks:
        scored = [(group, score) for group in dashboard.results if (score := group.score(task)) is not None]
        places = decimals(score for _, score in scored)
        for group, score in scored:
            gain = dashboard.gains.of(group, task)
            difference, verdict, p = _gain_cells(gain, places)
            counts = [str(len(group.scored(task))), str(score.n)]
            name = benchmark_label(task)
            rows.append([name, group.label, difference, verdict, with_bounds(score, places), p, *counts])
    return HEADINGS, rows


def results_note(dashboard: Dashboard) -> str:
    """Write how the table of results is to be read."""
    level = f"{100 * dashboard.study.confidence:g} %"
    note = f"Intervals: {level} over items and seeds. Gains are paired over the items of the base."
    if count := dashboard.gains.comparisons:
        note += f" Verdicts are corrected for the {count} comparisons of the study (Holm)."
    return note


def _gain_cells(gain: Gain | None, places: int) -> list[str]:
    """Return the gain with its interval, the verdict and the corrected p value."""
    if gain is None:
        return ["–", "–", "–"]
    one = gain.estimate
    p = gain.p_corrected
    return [estimate_text(one, places), str(gain.verdict or "–"), "–" if math.isnan(p) else f"{p:.2g}"]
