"""The items of a benchmark's file that are measured: dev or test halves, and a nested share for searches.

Whole clusters are taken, such as all questions about an image. Each category keeps its share.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from mmdpo.config.choices import Split
from mmdpo.config.schema import BenchConfig
from mmdpo.errors import UserError
from mmdpo.evaluation.task import Task
from mmdpo.records import Prompt
from mmdpo.seeds import hashed_number


def select(task: Task, prompts: Sequence[Prompt], bench: BenchConfig) -> list[Prompt]:
    """Return the samples of `bench.split` and `bench.subset`, in their order.

    Upstream's files have no splits: a seeded half of them is dev, the other half test. A larger `bench.subset` contains
    a smaller one.

    Args:
        task: The task; one that makes its own items has made those of its split already.
        prompts: All samples of the task.
        bench: `split`, `subset` and `seed`.

    Raises:
        UserError: No sample is left.
    """
    chosen = list(prompts)
    if task.bench_files and bench.split is not Split.all:
        places = _places(task, chosen, f"split {bench.seed}")
        chosen = [one for one, place in zip(chosen, places, strict=True) if (place < 0.5) == (bench.split is Split.dev)]
    if bench.subset < 1:
        places = _places(task, chosen, f"subset {bench.seed}")
        chosen = [one for one, place in zip(chosen, places, strict=True) if place < bench.subset]
    if prompts and not chosen:
        raise UserError(f"bench.subset={bench.subset}: none of {len(prompts)} items is left; type a larger one")
    return chosen


def _places(task: Task, prompts: Sequence[Prompt], salt: str) -> list[float]:
    """Return a place from 0 to 1 for the cluster of each sample, spread evenly within its category."""
    categories: dict[str, set[str]] = defaultdict(set)
    for prompt in prompts:
        categories[task.cluster_of(prompt)].add(prompt.category)
    strata: dict[tuple[str, ...], list[tuple[float, str]]] = defaultdict(list)
    for cluster, names in categories.items():
        strata[tuple(sorted(names))].append((_uniform(f"{salt} {cluster}"), cluster))
    places = {}
    for stratum, members in strata.items():
        offset = _uniform(f"{salt} {stratum}")
        for rank, (_, cluster) in enumerate(sorted(members)):
            places[cluster] = (rank + offset) / len(members)
    return [places[task.cluster_of(prompt)] for prompt in prompts]


def _uniform(text: str) -> float:
    return hashed_number(text) / 2**64
