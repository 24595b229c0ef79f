"""The size of differences that a benchmark can show, where it is known before anything is measured."""

from __future__ import annotations

from dataclasses import dataclass

SUM_OF_QUANTILES = 2.8015852  # of the normal distribution: two-sided 5 %, and 80 % power

MINIATURE = "a study of the miniature"


@dataclass(frozen=True)
class Detectable:
    """The smallest difference of two single models that is seen with 80 % power at 5 %, on the same items.

    Attributes:
        difference: The difference, in units of the task's main metric.
        clusters: The number of clusters of items that it holds for.
        source: What it was computed from.
    """

    difference: float
    clusters: int
    source: str

    @property
    def error(self) -> float:
        """The standard error of the difference of two models."""
        return self.difference / SUM_OF_QUANTILES
