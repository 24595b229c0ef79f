"""The pairs that come out of ratings, by rule and margin; and the ratings against people's preferences."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path
from random import Random

from mmdpo.analysis.audit.estimates import estimate_of
from mmdpo.analysis.audit.tables import SHARE, AuditTable
from mmdpo.config.choices import PairRule
from mmdpo.config.schema import PairsConfig
from mmdpo.errors import UserError
from mmdpo.judge.rubric import Rubric
from mmdpo.records import Annotation, quality
from mmdpo.training_data.dpo import pick

MARGINS = (1, 2, 3, 4, 6)


def pairs_table(
    rubric: Rubric,
    annotations: Mapping[str, Annotation],
    distinct: Mapping[str, Sequence[int]],
    words: Mapping[str, Sequence[int]],
) -> AuditTable:
    """Count the pairs by margin, and the pairs whose chosen answer is the longer one.

    Args:
        rubric: The rubric, whose aggregate ranks completions.
        annotations: The ratings by prompt.
        distinct: The completions of each prompt without equal ones.
        words: The number of words of each completion by prompt; a prompt may lack them.
    """
    scores = {name: [quality(rating, rubric.aggregate) for rating in one.ratings] for name, one in annotations.items()}
    scores = {name: [found[index] for index in distinct[name]] for name, found in scores.items()}
    total = max(len(scores), 1)
    rows = []
    for margin in MARGINS:
        of_rule = {rule: PairsConfig(margin=margin, rule=rule) for rule in (PairRule.best_worst, PairRule.all)}
        one = {name: pick(found, of_rule[PairRule.best_worst], Random(0)) for name, found in scores.items()}
        every = {name: pick(found, of_rule[PairRule.all], Random(0)) for name, found in scores.items()}
        longer = [
            int(length[chosen] > length[rejected])
            for name, found in every.items()
            if (length := [words[name][index] for index in distinct[name]] if _known(words, annotations, name) else [])
            for chosen, rejected in found
            if length[chosen] != length[rejected]
        ]
        with_pair = sum(map(bool, one.values()))
        rows.append(
            {
                "pairs.margin": str(margin),
                "prompts with a pair": with_pair,
                "share": with_pair / total,
                "pairs, rule=all": sum(map(len, every.values())),
                "chosen longer": sum(longer) / len(longer) if longer else None,
            }
        )
    tied = sum(len(set(found)) <= 1 for found in scores.values())
    note = (
        f"{tied} of {len(scores)} prompts are tied: all their completions have the same quality. "
        "The rules random_worse and best_worst make one pair per prompt. Chosen longer: of the pairs of rule=all "
        "whose answers differ in length. Equal completions are counted once; pairs.cut is not applied."
    )
    formats = {"share": SHARE, "chosen longer": SHARE}
    return AuditTable("pairs", "Pairs by margin", tuple(rows) if scores else (), formats, note)


def _known(words: Mapping[str, Sequence[int]], annotations: Mapping[str, Annotation], name: str) -> bool:
    return len(words.get(name, ())) == len(annotations[name].ratings)


def preferences_table(
    rubric: Rubric,
    annotations: Mapping[str, Annotation],
    distinct: Mapping[str, Sequence[int]],
    others: Mapping[str, Mapping[str, Annotation]],
    confidence: float,
) -> AuditTable:
    """Count how many pairs other ratings of the same completions would order in the same way.

    Args:
        rubric: The rubric, whose aggregate ranks completions.
        annotations: The ratings by prompt.
        distinct: The completions of each prompt without equal ones.
        others: The other ratings by prompt, by the name of who gave them.
        confidence: The level of the intervals.
    """
    rows = []
    for name, given in others.items():
        if not all(key in rating for one in given.values() for rating in one.ratings for key in rubric.aggregate):
            continue
        gaps, prompts = [], []
        for prompt in (one for one in annotations if one in given):
            first, second = (
                [quality(found[prompt].ratings[index], rubric.aggregate) for index in distinct[prompt]]
                for found in (annotations, given)
            )
            for chosen, rejected in pick(first, PairsConfig(rule=PairRule.all), Random(0)):
                gaps.append(second[chosen] - second[rejected])
                prompts.append(prompt)
        shares = {
            "same order": [float(gap > 0) for gap in gaps],
            "tied": [float(gap == 0) for gap in gaps],
            "reversed": [float(gap < 0) for gap in gaps],
        }
        if gaps:
            cells = {key: estimate_of([hits], prompts, confidence, limits=(0, 1)) for key, hits in shares.items()}
            rows.append({"rated again by": name, "pairs": len(gaps), **cells})
    note = f"Pairs of rule=all with pairs.margin={PairsConfig().margin}, rated again by the same judge or by another."
    formats = dict.fromkeys(("same order", "tied", "reversed"), SHARE)
    return AuditTable("preferences", "Pairs that other ratings confirm", tuple(rows), formats, note)


def differences(
    rubric: Rubric, annotations: Mapping[str, Annotation], distinct: Mapping[str, Sequence[int]]
) -> list[int]:
    """Return the differences of quality, larger minus smaller, of all two completions of a prompt."""
    found = []
    for name, one in annotations.items():
        values = [quality(one.ratings[index], rubric.aggregate) for index in distinct[name]]
        found += [abs(a - b) for number, a in enumerate(values) for b in values[:number]]
    return found


def people_table(path: Path, rubric: Rubric, confidence: float) -> AuditTable | None:
    """Compare the ratings with people's preferences, by attribute; None for data without preferences.

    Args:
        path: The table that stage=annotate writes for the user's own pairs.
        rubric: The rubric.
        confidence: The level of the intervals.
    """
    if not path.exists():
        return None
    rows = []
    try:
        with path.open(encoding="utf-8", newline="") as lines:
            read = list(csv.DictReader(lines))
        for name in rubric.attributes:
            towards = [int(row[name]) * (1 if row["preference"] == "1" else -1) for row in read]
            decided = [float(gap > 0) for gap in towards if gap]
            names = [str(number) for number in range(len(decided))]
            rows.append(
                {
                    "attribute": name,
                    "with people": sum(gap > 0 for gap in towards),
                    "against": sum(gap < 0 for gap in towards),
                    "tied": towards.count(0),
                    "share with, of decided": estimate_of([decided], names, confidence, limits=(0, 1)),
                }
            )
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(f"{path}: cannot be read ({error}); rerun stage=annotate") from None
    return AuditTable("people", "Agreement with people", tuple(rows), {"share with, of decided": SHARE})
