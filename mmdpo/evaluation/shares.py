"""Shares of a sample set that several processes answer at the same time."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from hashlib import sha256

from mmdpo.config.shard import Shard
from mmdpo.evaluation.samples import SampleSet
from mmdpo.records import Prompt


def share_of(one: SampleSet, shard: Shard) -> Sequence[Prompt]:
    """Return the samples of one share, as the model is asked; all shares together are the set.

    Samples about the same images, or of the same cluster, are in the same share. The shares are about equally large,
    and depend on the samples alone.

    Args:
        one: The sample set.
        shard: The share.
    """
    groups: dict[str, list[int]] = defaultdict(list)
    for index, prompt in enumerate(one.prompts):
        groups["\n".join(prompt.images) or one.task.cluster_of(prompt)].append(index)
    shares: list[list[int]] = [[] for _ in range(shard.count)]
    for name in sorted(groups, key=lambda name: sha256(name.encode(errors="backslashreplace")).digest()):
        min(shares, key=len).extend(groups[name])
    return [one.asked[index] for index in sorted(shares[shard.number - 1])]
