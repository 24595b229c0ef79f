"""Settings of `search`: pruning of a grid's points while they train."""

from dataclasses import dataclass, field
from typing import Annotated

from annotated_types import Interval
from omegaconf import MISSING

from mmdpo.config.choices import SearchKind
from mmdpo.config.markers import NOT_NEGATIVE, SHARE

INNER_SHARE = Interval(gt=0, lt=1)


@dataclass
class SearchConfig:
    """Pruning of points at rungs, which are shares of a point's training. Nothing here changes a point's result."""

    name: str = MISSING  # a label
    kind: SearchKind = SearchKind.none
    rungs: Annotated[list[float], INNER_SHARE] = field(default_factory=lambda: [0.25, 0.5])  # shares of the steps
    keep: Annotated[float, INNER_SHARE] = 0.5  # share of the results that each rung keeps, rounded up
    keep_points: list[str] = field(default_factory=list)  # never pruned: names of points, or values such as beta=0.1
    max_loss: Annotated[float, NOT_NEGATIVE] = 0.005  # largest expected loss per rung, as a share of the score's scale
    # Of the results' true scores at a rung and at the end; null: estimated from finished points, or else assumed
    correlation: Annotated[float | None, SHARE] = None
    # A result is ruined if more of its chosen answers than this lost probability against the reference model
    max_below_reference: Annotated[float, SHARE] = 0.30
