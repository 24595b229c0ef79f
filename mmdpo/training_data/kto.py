"""Answers with a label each, for KTO: from pairs, or from rated completions by a threshold."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence

from mmdpo.records import LabelledAnswer, PreferencePair, context
from mmdpo.training_data.rated import Rated


def unpaired(pairs: Iterable[PreferencePair], counts: Counter[str]) -> list[LabelledAnswer]:
    """Return the answers of pairs, each once: chosen ones with label true, rejected ones with label false.

    Args:
        pairs: The pairs.
        counts: Gets the number of further pairs that an answer is in, `repeated`, and that of answers that are left out
            because they are chosen in one pair and rejected in another, `both_labels`.
    """
    found: dict[object, LabelledAnswer] = {}
    contradicted: set[object] = set()
    for pair in pairs:
        for text, label, side in ((pair.chosen, True, "chosen"), (pair.rejected, False, "rejected")):
            key = pair.question, text, *context(pair).values()
            if key not in found:
                found[key] = LabelledAnswer(f"{pair.id}/{side}", pair.question, text, label, **context(pair))
            elif found[key].label is label:
                counts["repeated"] += 1
            else:
                contradicted.add(key)
    counts.update({"both_labels": len(contradicted)} if contradicted else {})
    return [answer for key, answer in found.items() if key not in contradicted]


def labelled_completions(
    items: Iterable[Rated], aggregate: Sequence[str], threshold: int, counts: Counter[str]
) -> Iterator[LabelledAnswer]:
    """Yield every completion, with label true from a threshold on.

    Args:
        items: Rated completions.
        aggregate: The attributes whose sum is compared with the threshold.
        threshold: The least sum of a desirable completion.
        counts: Gets the number of completions with the text of an earlier one of their prompt, which are left out,
            `repeated`.
    """
    for item in items:
        prompt, seen = item.prompt, set[str]()
        for position, (text, score) in enumerate(zip(item.texts, item.aggregate_scores(aggregate), strict=True)):
            if text in seen:
                counts["repeated"] += 1
                continue
            seen.add(text)
            name = f"{prompt.id}-{item.index(position)}"
            yield LabelledAnswer(name, prompt.question, text, score >= threshold, **context(prompt))
