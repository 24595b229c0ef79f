"""Figure 2 of the paper: the score against the share of the data, beside the paper's own curve."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from mmdpo.analysis.figures import data
from mmdpo.analysis.figures.data import Dot, Panel, Series
from mmdpo.analysis.figures.data_scaling import scaling
from mmdpo.analysis.paper.published import read_published
from mmdpo.analysis.study import Study
from mmdpo.evaluation.statistics import Score

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def scaling_panel(study: Study) -> Panel | None:
    """Return the data of the figure; None for a study without several shares of the data."""
    pattern = data.pattern(study)
    if pattern.kind != "scaling":
        return None
    of_paper = read_published()["data_scaling"]["benchmark"]
    benchmark = of_paper if of_paper in study.benchmarks else study.benchmarks[0]
    (panel,) = data.score_panels(study, pattern, [benchmark])
    return panel


def paper_curve(benchmark: str) -> Series | None:
    """Return the paper's curve; None for another benchmark than the paper's."""
    found = read_published()["data_scaling"]
    if benchmark != found["benchmark"]:
        return None
    pairs = zip(found["shares"], found["scores"], strict=True)
    dots = [Dot(share / 100, Score(score, 0, math.nan, math.nan, 0)) for share, score in pairs]
    return Series("paper, 13B (read off)", tuple(dots))


def draw_scaling(study: Study, panel: Panel) -> Figure:
    """Draw the figure."""
    curve = paper_curve(panel.benchmark)
    note = f"Paper: one run a point, read off its poster. {read_published()['figure_2']}" if curve else ""
    return scaling(study, panel, curve, note)
