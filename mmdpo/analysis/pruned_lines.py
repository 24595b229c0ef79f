"""Lines about the points of a study that a search has pruned: at which rungs, with which scores, and at what risk."""

from __future__ import annotations

from mmdpo.analysis.groups import varying_but_seed
from mmdpo.analysis.labels import row_label
from mmdpo.analysis.study import Study
from mmdpo.errors import UserError
from mmdpo.points.search_record import SearchRecord, read_search
from mmdpo.points.status import State

SHOWN = 12
"""Results that a line names."""


def pruned_lines(study: Study) -> list[str]:
    """Return a line for each decision that pruned points of a study, and one for each rung that refused to.

    Pruned points have no score at the end: their scores at a rung are those of an unfinished training.
    """
    labels = {row.point: row_label(row, varying_but_seed(study)) for row in study.trained if row.state == State.pruned}
    try:
        record = read_search(study.folder)
    except UserError as error:
        record, lines = SearchRecord(), [f"pruned: {error}"]
    else:
        lines = []
    known = set()
    for decision in record.decisions:
        gone = [one for one in decision.results if not one.kept and set(one.points) & set(labels)]
        known |= {point for one in gone for point in one.points}
        named = [f"{labels[next(p for p in one.points if p in labels)]} ({one.score:.4g})" for one in gone]
        more = f" and {len(named) - SHOWN} more" if len(named) > SHOWN else ""
        cost = f"; {text}" if (text := decision.cost_text()) else ""
        if gone:
            rung = f"at {100 * decision.share:.4g} % of the training, by {decision.objective} on dev"
            lines.append(f"pruned {rung}: {'; '.join(named[:SHOWN])}{more}{cost}; search=none trains them to the end")
        if decision.refused:
            lines.append(f"rung {decision.share:g}: {decision.refused}")
    others = {row.point: row.pruned for row in study.trained if row.pruned and row.point not in known}
    return lines + [f"pruned {labels[point]}: {reason}" for point, reason in others.items() if point in labels]
