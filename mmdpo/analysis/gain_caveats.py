"""Lines about the gains of a study: those that are missing, and seeds that vary much."""

from __future__ import annotations

import math
from collections.abc import Iterator

from mmdpo.analysis.comparable import are_comparable
from mmdpo.analysis.gains import Gain, Gains, GainVerdict, name_of
from mmdpo.analysis.groups import Group, base_of, groups
from mmdpo.analysis.measured import common_items, measure
from mmdpo.analysis.study import Study

ENOUGH_SEEDS = 5
"""Seeds from which verdicts hold also where seeds vary as much as the mean over items does."""

SEED_RATIO = 0.5
"""Deviation between seeds, as a share of the standard error over items, up to which verdicts over fewer seeds hold."""


def gain_caveats(study: Study, gains: Gains) -> list[str]:
    """Return lines about gains that are missing, and about verdicts over too few seeds."""
    found = groups(study)
    by_text: dict[str, list[str]] = {}
    for group in found:
        for text in _of_group(study, gains, group):
            by_text.setdefault(text, []).append(group.label)
    notes = [
        f"{labels[0] if len(labels) == 1 else f'{len(labels)} results'}: {text}" for text, labels in by_text.items()
    ]
    return [
        *notes,
        *_two_seeds(found, gains),
        *(line for key in study.benchmarks for line in _of_seeds(found, gains, key)),
    ]


def _of_group(study: Study, gains: Gains, group: Group) -> Iterator[str]:
    base = base_of(study, group)
    if base is None:
        yield "no gain, since the study has no base of the same model and benchmark settings, or several"
        return
    for key in study.benchmarks:
        if not base.scored(key) or not group.scored(key):
            continue
        if gains.of(group, key) is None:
            yield f"no gain on {key}: {_reason(base, group, key)}"


def _reason(base: Group, group: Group, key: str) -> str:
    rows = [*base.scored(key), *group.scored(key)]
    if not are_comparable(rows, key):
        return "it was judged otherwise than the base"
    measured = [measure(row.folder, key) for row in rows]
    found = [one for one in measured if one is not None]
    if missing := len(rows) - len(found):
        return f"{missing} of {len(rows)} points have no judged item; rerun the same command with stage=judge"
    if not common_items(found):
        return "it shares no scored item with the base"
    return "unknown"


def _two_seeds(found: list[Group], gains: Gains) -> Iterator[str]:
    claims = (
        gain for group in found if len(group.rows) == 2 for gain in gains.by_group.get(name_of(group), {}).values()
    )
    if any(map(_is_claim, claims)):
        yield "2 seeds can hardly tell how much seeds vary; for firmer verdicts type seed=0,1,2"


def _is_claim(gain: Gain) -> bool:
    return gain.verdict in (GainVerdict.better, GainVerdict.worse)


def _of_seeds(found: list[Group], gains: Gains, key: str) -> Iterator[str]:
    """Compare the deviation between seeds, pooled over the groups, with the standard error over items."""
    several = [gain for group in found if (gain := gains.of(group, key)) and gain.estimate.seeds > 1]
    estimates = [gain.estimate for gain in several]
    if not any(map(_is_claim, several)) or max(one.seeds for one in estimates) >= ENOUGH_SEEDS:
        return
    of_seeds = sum(one.seed_variance for one in estimates)
    of_items = sum(one.error**2 - max(0.0, one.seed_variance) / one.seeds for one in estimates)
    if of_seeds > SEED_RATIO**2 * max(0.0, of_items):
        seeds, items = (math.sqrt(max(0.0, part) / len(estimates)) for part in (of_seeds, of_items))
        yield (
            f"{key}: seeds seem to vary by {seeds:.2g} beside a standard error over items of {items:.2g}; verdicts "
            f"over {max(one.seeds for one in estimates)} seeds then claim too much. To be sure, type "
            f"seed={','.join(map(str, range(ENOUGH_SEEDS)))}"
        )
