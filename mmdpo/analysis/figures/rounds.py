"""Scores against the round of training, a panel per benchmark; the base is round 0."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mmdpo.analysis.figures import data
from mmdpo.analysis.figures.figure import StudyFigure
from mmdpo.analysis.figures.lines import small_multiples
from mmdpo.analysis.study import Study

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def _suits(study: Study) -> bool:
    return data.pattern(study).kind == "rounds"


def _figures(study: Study) -> dict[str, Figure]:
    pattern = data.pattern(study)
    return {"score_by_round": small_multiples(study, pattern, data.score_panels(study, pattern))}


CAPTION = "The scores against the round: each samples from the adapter of the round before. Round 0 is the base."
FIGURE = StudyFigure(_suits, _figures, lambda name: CAPTION, order=10)
