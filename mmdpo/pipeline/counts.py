"""Counts of rows, prompts and completions of the data stages, as the user reads them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from mmdpo.config.schema import SamplingConfig
from mmdpo.console import print_line
from mmdpo.records import CUT, Completion


def count_cut(completions: Iterable[Completion]) -> int:
    """Return how many completions the limit of tokens cut."""
    return sum(completion.finish_reason == CUT for completion in completions)


def count_completions(completions: Iterable[Completion], sampling: SamplingConfig) -> dict[str, int]:
    """Return the counts for the card of sampled completions; print a line if the limit of tokens cut some."""
    ended = [completion.finish_reason != CUT for completion in completions]
    counts = {"completions": len(ended), "cut": ended.count(False)}
    if counts["cut"]:
        print_line(
            f"{counts['cut']} of {len(ended)} completions were cut at data.sampling.max_new_tokens="
            f"{sampling.max_new_tokens}. They are not trained on: type a larger data.sampling.max_new_tokens, or "
            "pairs.cut=keep"
        )
    return counts


def report_cut(counts: Mapping[str, int], sampling: SamplingConfig) -> None:
    """Print a line if a training set leaves cut completions out, or nothing else is left."""
    if not counts.get("cut_completions"):
        return
    print_line(
        f"{counts['cut_completions']} completions that were cut at data.sampling.max_new_tokens="
        f"{sampling.max_new_tokens} are left out, and {counts.get('cut', 0)} prompts with them: type a larger "
        "data.sampling.max_new_tokens, or pairs.cut=keep"
    )


def describe_counts(facts: Mapping[str, Any]) -> Iterator[str]:
    """Yield lines about the rows, prompts or completions of a folder, from the facts of its card."""
    for name, rows in facts.get("sources", {}).items():
        dropped = ", ".join(f"{count} {reason}" for reason, count in rows["dropped"].items())
        yield f"{name}: {rows['read']} rows read, {rows['kept']} good" + (f", dropped {dropped}" if dropped else "")
    if cut := facts.get("cut", facts.get("completions_cut")):
        yield f"{cut} completions were cut at data.sampling.max_new_tokens"
    counts = facts.get("counts", {})
    if "pairs" in counts:
        prompts, pairs = counts["prompts"], counts["pairs"]
        unrated = prompts - counts.get("rated", 0)
        without = {**{name: counts.get(name, 0) for name in ("too_close", "tied", "cut")}, "unrated": unrated}
        why = ", ".join(f"{count} {name.replace('_', ' ')}" for name, count in without.items() if count)
        yield f"{pairs} pairs of {prompts} prompts ({100 * pairs / max(prompts, 1):.0f} %)" + (
            f"; without a pair: {why}" if why else ""
        )
    elif counts:
        yield f"{counts.get('examples', 0)} examples of {counts['prompts']} prompts"
