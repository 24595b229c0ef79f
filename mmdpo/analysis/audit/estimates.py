"""Intervals of an audit's numbers: over items, or over clusters of items, by the jackknife of the gains."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from mmdpo.evaluation.task import Statistic

if TYPE_CHECKING:
    from mmdpo.evaluation.crossed import Estimate

MOST_GROUPS = 100
"""The number of groups that clusters are gathered in, so that a statistic that is no mean is computed 100 times."""
CORRELATION = (-1.0, 1.0)


@dataclass(frozen=True)
class Finding:
    """A relation that an audit tests for.

    Attributes:
        name: The test in words.
        estimate: The size of the relation; 0 is none.
        p: The p value; it may be that of another test than the estimate's.
        unit: The unit of the estimate, as in `points of quality`.
        positive: The finding in words if the size is above 0.
        negative: The finding in words if it is below 0.
        p_corrected: The p value corrected for the number of tests of the audit.
    """

    name: str
    estimate: Estimate
    p: float
    unit: str
    positive: str
    negative: str
    p_corrected: float = math.nan


def estimate_of(
    columns: Sequence[Sequence[float]],
    clusters: Sequence[str],
    confidence: float,
    statistic: Statistic | None = None,
    limits: tuple[float, float] | None = None,
) -> Estimate | None:
    """Estimate a statistic over items with its interval over clusters of items.

    Args:
        columns: One sequence of N numbers per argument of the statistic.
        clusters: The cluster of each item.
        confidence: The level of the interval.
        statistic: A function of the columns with a keyword `axis`; None is the mean of a single column.
        limits: The lowest and highest possible value, at which the interval is cut.

    Returns:
        The estimate; None if there is no item, or the statistic is not defined, as the correlation of constants.
    """
    from mmdpo.evaluation.crossed import estimate, pseudo_values

    if not clusters:
        return None
    groups = clusters if statistic is None else gathered(clusters)
    value, pseudo = pseudo_values(columns, groups, statistic)
    if math.isnan(value):
        return None
    found = replace(
        estimate([value], pseudo[:, None], len(clusters), confidence), value=value, clusters=len(set(clusters))
    )
    return found if limits is None else bounded(found, limits)


def gathered(clusters: Sequence[str]) -> list[str]:
    """Name the group of each cluster: the clusters in turn are dealt to at most `MOST_GROUPS` groups."""
    numbers: dict[str, int] = {}
    return [str(numbers.setdefault(name, len(numbers)) % MOST_GROUPS) for name in clusters]


def bounded(found: Estimate, limits: tuple[float, float]) -> Estimate:
    """Return an estimate whose interval lies within limits."""
    low, high = limits
    return replace(found, low=max(found.low, low), high=min(found.high, high)) if found.low == found.low else found


def corrected(findings: Sequence[Finding]) -> list[Finding]:
    """Return findings with p values corrected for their number (Holm); one without a p value takes no part."""
    from mmdpo.analysis.gains import holm

    known = [one for one in findings if not math.isnan(one.p)]
    values = iter(holm([one.p for one in known]))
    return [one if math.isnan(one.p) else replace(one, p_corrected=next(values)) for one in findings]


def finding_text(found: Finding, confidence: float) -> str:
    """Write a finding with its interval; words claim it only if its corrected p value does."""
    one = found.estimate
    claimed = found.p_corrected <= 1 - confidence
    verdict = (found.positive if one.value > 0 else found.negative) if claimed else "not distinguishable from none"
    interval = "" if math.isnan(one.low) else f" [{one.low:+.2f}, {one.high:+.2f}]"
    small = "p < 0.0001" if found.p_corrected < 1e-4 else f"p {found.p_corrected:.2g}"
    p = "" if math.isnan(found.p_corrected) else f", {small}"
    return f"{found.name}: {verdict} ({one.value:+.2f}{interval} {found.unit}, n = {one.n}{p})"


def correlation(one: Any, other: Any, axis: int = -1) -> Any:
    """Compute the correlation of columns [..., N] that were centred before; NaN if one of them is constant."""
    import numpy as np

    squares = (one**2).sum(axis) * (other**2).sum(axis)
    constant = squares <= 1e-18
    return np.where(constant, np.nan, (one * other).sum(axis) / np.sqrt(np.where(constant, 1, squares)))


def slope(one: Any, other: Any, axis: int = -1) -> Any:
    """Compute the change of the second column [..., N] per unit of the first; both were centred before."""
    import numpy as np

    square = (one**2).sum(axis)
    return np.where(square <= 1e-18, np.nan, (one * other).sum(axis) / np.where(square <= 1e-18, 1, square))
