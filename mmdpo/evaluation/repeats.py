"""Judgments of each answer by a service, once or `bench.repeats` times."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from statistics import fmean
from typing import Any

from mmdpo.clients.answers import ParseFailure
from mmdpo.clients.request import Message
from mmdpo.config.schema import BenchConfig
from mmdpo.evaluation.task import Item, Judge, JudgeReply, JudgeRequest, Judgment, Verdict


def ask_each(
    items: Sequence[Item],
    judge: Judge,
    bench: BenchConfig,
    messages: Callable[[Item], tuple[Message, ...]],
    parse: Callable[[str], Any | ParseFailure],
    **decoding: Any,
) -> list[list[JudgeReply]]:
    """Ask about each item `bench.repeats` times, in one go.

    Args:
        items: The items.
        judge: The judge.
        bench: The number of repeats.
        messages: Return the chat of an item.
        parse: Read a reply.
        **decoding: More fields of the requests, such as `temperature`.

    Returns:
        The replies of each item, in the order of repeats.
    """
    requests = [
        JudgeRequest(item[0].id, "", repeat, messages(item), parse, **decoding)
        for item in items
        for repeat in range(bench.repeats)
    ]
    replies = judge.ask(requests)
    return [list(replies[start : start + bench.repeats]) for start in range(0, len(replies), bench.repeats)]


def readings(replies: Sequence[JudgeReply]) -> list[Any]:
    """Return the values of the replies that could be read."""
    return [reply.value for reply in replies if reply.value is not None]


def unscored(replies: Sequence[JudgeReply], **fields: Any) -> Verdict:
    """Return the verdict of an item without any reading, with the reason of the first reply and more fields."""
    return Verdict(None, reason=replies[0].reason or "no_reply", **fields)


def by_run(replies: Sequence[JudgeReply], read: Callable[[str], Any], *names: str) -> dict[str, float]:
    """Return what upstream reads of each reply, as values of `Verdict.upstream` for `runs`.

    Args:
        replies: The replies of an item; those without text and value are left out.
        read: How upstream reads a raw reply: a value, or one per name. Without the raw reply the stored value counts.
        *names: The names of the values.
    """
    found: dict[str, float] = {}
    for run, reply in enumerate(replies):
        value = reply.value if reply.text is None else read(reply.text)
        if value is not None:
            values = value if isinstance(value, tuple) else (value,)
            found |= {f"{run}/{name}": float(one) for name, one in zip(names, values, strict=True)}
    return found


def values_of_runs(name: str) -> Callable[[Mapping[str, float]], Mapping[str, list[float]]]:
    """Return the `Upstream.readings` of a task that stores a value of each reply by `by_run`."""

    def readings_of(upstream: Mapping[str, float]) -> Mapping[str, list[float]]:
        keys = sorted((int(key.split("/")[0]), key) for key in upstream if key.endswith(f"/{name}"))
        return {"": [upstream[key] for _, key in keys]}

    return readings_of


def runs(judgments: Sequence[Judgment], *names: str) -> list[list[tuple[Judgment, tuple[float, ...]]]]:
    """Return upstream's values of each run, with the items that have them, in their order.

    Args:
        judgments: The judgments.
        *names: The values that `by_run` stored.

    Returns:
        One list of items and values per run.
    """
    numbers = sorted({int(key.split("/")[0]) for one in judgments for key in one.upstream})
    found = []
    for run in numbers:
        keys = [f"{run}/{name}" for name in names]
        found.append([(one, tuple(one.upstream[key] for key in keys)) for one in judgments if keys[0] in one.upstream])
    return found


def mean_of_runs(printed: Sequence[dict[str, float]]) -> dict[str, float]:
    """Return the mean over runs of what upstream's script prints of each; what a run lacks is left out."""
    names = [name for name in (printed[0] if printed else {}) if all(name in one for one in printed)]
    means = {name: fmean(one[name] for one in printed) for name in names}
    if len(printed) == 1:
        return means
    return means | {f"run_{number}": one[""] for number, one in enumerate(printed, 1) if "" in one}
