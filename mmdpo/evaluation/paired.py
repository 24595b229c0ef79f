"""Paired differences between two sets of judgments of the same items, such as noisy and clean MT-Bench."""

from __future__ import annotations

from collections.abc import Sequence

from mmdpo.config.schema import BenchConfig
from mmdpo.evaluation.statistics import Score, bootstrap_score
from mmdpo.evaluation.task import Judgment


def paired(judgments: Sequence[Judgment], others: Sequence[Judgment], bench: BenchConfig) -> Score:
    """Compute the mean difference of scores over the items that both sets have, with its interval.

    Args:
        judgments: The judgments of one set, such as noisy MT-Bench.
        others: The judgments that are subtracted, such as clean MT-Bench; items are joined by their ids.
        bench: The settings of the bootstrap, which draws the clusters of `judgments`.

    Returns:
        The difference. `unscored` counts the items of either set that have no scored partner.
    """
    scored = {one.id: one.score for one in others if one.score is not None}
    pairs = [(one, scored[one.id]) for one in judgments if one.score is not None and one.id in scored]
    differences = [one.score - other for one, other in pairs if one.score is not None]
    items = {one.id for one in (*judgments, *others)}
    clusters = [one.cluster for one, _ in pairs]
    return bootstrap_score([differences], bench, clusters=clusters, unscored=len(items) - len(pairs))
