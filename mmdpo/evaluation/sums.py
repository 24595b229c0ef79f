"""Statistics that depend on items only by sums over them, such as means, shares and F1.

Leaving out a cluster of items is then a subtraction, so that the jackknife over thousands of items is cheap.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class SumStatistic:
    """A function of sums over items; it is called with columns, as every statistic.

    Attributes:
        terms: Return the arrays [..., N] that are summed, from one array [..., N] per column.
        of_sums: Compute the statistic from the sums [...] of the terms, in their order.
    """

    terms: Callable[..., Sequence[Any]]
    of_sums: Callable[..., Any]

    def __call__(self, *columns: Any, axis: int = -1) -> Any:
        """Compute the statistic over an axis of the columns."""
        return self.of_sums(*(term.sum(axis) for term in self.terms(*columns)))


def _mean_terms(value: Any) -> Sequence[Any]:
    import numpy as np

    return value, np.ones_like(value)


def _ratio(part: Any, whole: Any) -> Any:
    import numpy as np

    return part / np.maximum(whole, 1)


def _f1(hits: Any, predicted: Any, label: Any) -> Any:
    return _ratio(2 * hits, predicted + label)


mean = SumStatistic(_mean_terms, lambda total, count: total / count)
"""The mean of one column."""

f1 = SumStatistic(lambda predicted, label: (predicted * label, predicted, label), _f1)
"""F1 of the positive answer over columns of zeros and ones: predicted, label; 0 if there is no positive."""

share = SumStatistic(lambda part, whole: (part, whole), _ratio)
"""The sum of one column over the sum of another; 0 if the second sum is 0."""

precision = SumStatistic(lambda predicted, label: (predicted * label, predicted), _ratio)
"""The share of right ones among the positive answers, of columns like those of `f1`; 0 without any."""

recall = SumStatistic(lambda predicted, label: (predicted * label, label), _ratio)
"""The share of positive labels that were answered so, of columns like those of `f1`; 0 without any."""


def scaled(statistic: SumStatistic, factor: float) -> SumStatistic:
    """Return a multiple of a statistic, such as a percentage."""
    return SumStatistic(statistic.terms, lambda *sums: factor * statistic.of_sums(*sums))


def over_parts(statistic: SumStatistic, parts: int) -> SumStatistic:
    """Return the mean over parts of a statistic; parts without items do not count.

    Args:
        statistic: The statistic of each part.
        parts: The number of parts. The last column that the result takes is the number of an item's part, from 0.
    """

    def terms(*columns: Any) -> Sequence[Any]:
        *values, part = columns
        found: list[Any] = []
        for number in range(parts):
            inside = (part == number).astype(float)
            found += [inside, *(inside * term for term in statistic.terms(*values))]
        return found

    def of_sums(*sums: Any) -> Any:
        import numpy as np

        width = len(sums) // parts
        total: Any = 0.0
        present: Any = 0
        for number in range(parts):
            count, *own = sums[number * width : (number + 1) * width]
            with np.errstate(divide="ignore", invalid="ignore"):
                total = total + np.where(count > 0, statistic.of_sums(*own), 0.0)
            present = present + (count > 0)
        return total / present

    return SumStatistic(terms, of_sums)
