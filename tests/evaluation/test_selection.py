"""The items of dev, test and of a share: nested, by whole clusters, and evenly by category."""

import dataclasses
from collections import Counter

import pytest

from mmdpo.config.choices import Split
from mmdpo.config.schema import BenchConfig
from mmdpo.errors import UserError
from mmdpo.evaluation.bench_files import BenchFile
from mmdpo.evaluation.selection import select
from mmdpo.evaluation.task import Cluster, load_task
from mmdpo.records import Prompt

TASK = dataclasses.replace(
    load_task("text"), cluster=Cluster.image, bench_files=(BenchFile("k", "k.jsonl", "nowhere", "none"),)
)
PROMPTS = [
    Prompt(f"{category}{number}/{question}", "?", images=(f"{category}{number}.png",), category=category)
    for category, count in (("a", 40), ("b", 20), ("c", 1))
    for number in range(count)
    for question in range(3)
]


def chosen(split: Split = Split.all, subset: float = 1.0, seed: int = 0) -> list[str]:
    bench = BenchConfig(tasks=["text"], split=split, subset=subset, seed=seed)
    return [prompt.id for prompt in select(TASK, PROMPTS, bench)]


def by_category(ids: list[str]) -> Counter[str]:
    return Counter(name[0] for name in ids)


def test_dev_and_test_are_halves_of_whole_clusters_in_each_category():
    dev, test = chosen(Split.dev), chosen(Split.test)
    assert sorted([*dev, *test]) == sorted(chosen()) == sorted(prompt.id for prompt in PROMPTS)
    assert not {name.split("/")[0] for name in dev} & {name.split("/")[0] for name in test}
    assert (by_category(dev)["a"], by_category(dev)["b"]) == (60, 30)
    assert chosen(Split.dev, seed=1) != dev


def test_a_larger_share_contains_a_smaller_one_and_keeps_the_categories():
    quarter, half = chosen(subset=0.25), chosen(subset=0.5)
    assert set(quarter) < set(half) < set(chosen())
    assert (by_category(quarter)["a"], by_category(quarter)["b"]) == (30, 15)
    assert set(Counter(name.split("/")[0] for name in quarter).values()) == {3}
    assert set(chosen(Split.dev, 0.5)) < set(chosen(Split.dev))


def test_an_order_of_the_file_is_kept_and_nothing_left_is_an_error():
    ids = [prompt.id for prompt in PROMPTS]
    assert chosen(subset=0.5) == [name for name in ids if name in set(chosen(subset=0.5))]
    few = BenchConfig(tasks=["text"], subset=0.001)
    with pytest.raises(UserError, match=r"bench\.subset"):
        select(TASK, PROMPTS[:2], few)


def test_tasks_that_make_their_own_items_are_not_split_again():
    made = dataclasses.replace(TASK, bench_files=())
    bench = BenchConfig(tasks=["text"], split=Split.dev)
    assert select(made, PROMPTS, bench) == PROMPTS
