"""The plan of a study as lines for the table, the report and the paper: plan, primary comparison, departures."""

from __future__ import annotations

import math

from mmdpo.analysis.gains import Gain, Gains, name_of
from mmdpo.analysis.labels import decimals, estimate_text
from mmdpo.analysis.plan import conditions_text, departures, primary_comparison
from mmdpo.analysis.study import Study
from mmdpo.errors import UserError
from mmdpo.evaluation.statistics import Score
from mmdpo.points.study_plan import read_plan

DEPARTED = "departed from the plan: "


def plan_lines(study: Study, gains: Gains) -> list[str]:
    """Return lines about the plan of a study, what came of its primary comparison, and what departed from it."""
    try:
        plan = read_plan(study.folder)
    except UserError as error:
        return [str(error)]
    if plan is None:
        return []
    settings = plan.first.plan
    compared = conditions_text(settings["compared"]) or "all trained results"
    rules = [
        f"seeds {', '.join(map(str, settings['seeds']))}" if settings["seeds"] else "",
        f"split {settings['split']}" if settings["split"] else "",
        f"{settings['points']} points" if settings["points"] else "",
        f"stopping: {settings['stopping']}" if settings["stopping"] else "",
    ]
    primary = f"{settings['primary']}, {compared} against {conditions_text(settings['against']) or 'base'}"
    return [
        f"planned {plan.first.time[:10]} (hash {plan.first.hash}): {settings['hypothesis']}",
        "; ".join([f"primary: {primary}", *filter(None, rules)]),
        *primary_lines(study, gains),
        *(f"{DEPARTED}{line}" for line in departures(study)),
    ]


def primary_lines(study: Study, gains: Gains) -> list[str]:
    """Return a line for each planned comparison, with its verdict; none without a plan that counts."""
    comparison = primary_comparison(study)
    if comparison is None:
        return []
    return [
        f"primary: {group.label} against {comparison.against} on {comparison.benchmark}: {_gain_text(gain)}"
        for _, group in comparison.pairs
        if (gain := gains.planned.get(name_of(group)))
    ]


def _gain_text(gain: Gain) -> str:
    one = gain.estimate
    places = decimals([Score(one.value, one.n, one.low, one.high)])
    corrected = "" if math.isnan(gain.p_corrected) else f", p {gain.p_corrected:.2g} corrected"
    seeds = f", {one.seeds} seeds" if one.seeds > 1 else ""
    return f"{estimate_text(one, places)} {gain.verdict or ''} (n = {one.n}{seeds}{corrected})"
