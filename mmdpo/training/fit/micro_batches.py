"""The micro-batches of a training, for any size: which rows they hold, and how many positions they have."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from enum import Enum
from functools import cached_property
from math import ceil
from typing import TYPE_CHECKING, Any

from mmdpo.training.fit.plan import Steps
from mmdpo.training.group_sampler import GroupSampler
from mmdpo.training.layout import pack
from mmdpo.training.prompt_groups import GROUP, tree_tokens, trees_of

if TYPE_CHECKING:
    from mmdpo.training.collate import Collator
    from mmdpo.training.rows import Row
    from mmdpo.training.settings import TrainingSettings

TRIED = 4  # rows whose number of tokens is looked up with their images
ROWS = 20_000  # in whose order micro-batches are looked for; at least an epoch
TEXT_INPUTS = ("input_ids", "attention_mask", "seen_until", "position_ids")


class Order(Enum):
    """Order of the rows of an epoch."""

    random = "random"
    as_given = "as given"
    by_length = "by length"  # rows of similar length together


@dataclass(frozen=True)
class _Batch:
    """A micro-batch: the indices of its rows, its positions with padding, and the tokens of its answers."""

    indices: list[int]
    positions: int
    answer_tokens: int


@dataclass
class MicroBatches:
    """Micro-batches of a training as its trainer draws them, for any size.

    Lengths are those of the collator's layout. Images count as in the longest row.

    Attributes:
        rows: All rows of the data set.
        collator: Makes batches of them.
        steps: The optimizer steps.
        seed: Seed of the order.
        epochs: Number of epochs whose order is looked at.
        order: Order of the rows, if they have no groups.
    """

    rows: Sequence[Row]
    collator: Collator
    steps: Steps
    seed: int = 0
    epochs: int = 1
    order: Order = Order.random
    _found: dict[int, list[_Batch]] = field(default_factory=dict)
    _sizes: dict[tuple[int, ...], int] = field(default_factory=dict)  # tokens of trees of several rows

    @classmethod
    def of(cls, settings: TrainingSettings, steps: Steps, rows: Sequence[Row], collator: Collator) -> MicroBatches:
        """Return the micro-batches of a training with given settings."""
        strategy = settings.train.trl.get("train_sampling_strategy", "random")
        order = {"random": Order.random, "sequential": Order.as_given}.get(strategy, Order.by_length)
        if settings.trains_on_labels:
            order = Order.as_given
        epochs = max(1, min(ROWS // max(1, len(rows)), ceil(settings.train.num_train_epochs)))
        return cls(rows, collator, steps, settings.seed, epochs, order)

    def largest(self, size: int) -> list[list[Row]]:
        """Return the rows of the micro-batches that may need the most memory.

        These are that with the most positions and, if it is another one, that with the most answer tokens: in small
        models, the output head of a token needs more memory than all layers.
        """
        batches = self._batches(size)
        positions = max(batches, key=lambda batch: (batch.positions, batch.answer_tokens))
        answers = max(batches, key=lambda batch: (batch.answer_tokens, batch.positions))
        found = [positions, answers] if answers.answer_tokens > positions.answer_tokens else [positions]
        return [[self.rows[index] for index in batch.indices] for batch in found]

    def most_positions(self, size: int) -> int:
        """Return the largest number of positions of a micro-batch, with padding."""
        return max(batch.positions for batch in self._batches(size))

    def mean_positions(self, size: int) -> float:
        """Return the mean number of positions of a row, with padding."""
        batches = self._batches(size)
        return sum(batch.positions for batch in batches) / sum(len(batch.indices) for batch in batches)

    def indices(self, size: int) -> list[list[int]]:
        """Return the indices of the rows of each micro-batch, epoch after epoch, of all processes."""
        return [batch.indices for batch in self._batches(size)]

    def _batches(self, size: int) -> list[_Batch]:
        """List all micro-batches of a size."""
        if size not in self._found:
            self._found[size] = [
                _Batch(indices, self._positions(indices), sum(self._answer_tokens[index] for index in indices))
                for epoch in range(self.epochs)
                for indices in _cut(self._epoch(epoch, size), size)
            ]
        return self._found[size]

    def _epoch(self, epoch: int, size: int) -> list[int]:
        """Return the order of an epoch. That of random rows is drawn as accelerate's sampler draws it."""
        import torch

        count = len(self.rows)
        if GROUP in self.rows[0]:
            step_size = self.steps.micro_batch * self.steps.accumulation * self.steps.processes
            groups = [row[GROUP] for row in self.rows]
            return list(GroupSampler(groups, step_size, size, self.seed, lambda: float(epoch)))
        if self.order is Order.by_length:
            return sorted(range(count), key=lambda index: self._lengths[index])
        if self.order is Order.as_given:
            return list(range(count))
        generator = torch.Generator().manual_seed(self.seed + epoch)
        return torch.randperm(count, generator=generator).tolist()

    def _positions(self, batch: Sequence[int]) -> int:
        """Count the positions of a micro-batch in the layout of the collator."""
        if not self.collator.shared:
            answers = len(self.rows[batch[0]]["answers"])
            return answers * len(batch) * max(self._lengths[index] for index in batch)
        sizes = self._tree_sizes(batch)
        if not self._packs or any(len(self.rows[index]["images"]) > 1 for index in batch):
            return len(sizes) * max(sizes)
        packed = pack(sizes, self.collator.max_row_tokens)
        return len(packed) * max(sum(sizes[index] for index in row) for row in packed)

    def _tree_sizes(self, batch: Sequence[int]) -> list[int]:
        if GROUP not in self.rows[0]:
            return [self._lengths[index] for index in batch]
        trees = trees_of([self.rows[index] for index in batch], self.collator.processor)
        return [self._tree_size(tuple(sorted(batch[index] for index in tree))) for tree in trees]

    def _tree_size(self, members: tuple[int, ...]) -> int:
        if members not in self._sizes:
            rows = [self.rows[index] for index in members]
            self._sizes[members] = tree_tokens(rows) + round(self._per_image * len(rows[0]["images"]))
        return self._sizes[members]

    @cached_property
    def _answer_tokens(self) -> list[int]:
        """Tokens of all answers of each row."""
        return [sum(map(len, row["answers"])) for row in self.rows]

    @cached_property
    def _lengths(self) -> list[int]:
        """Tokens of each row alone: of its tree, or of its prompt with the longest answer."""
        return [self._text_tokens(row) + round(self._per_image * len(row["images"])) for row in self.rows]

    @cached_property
    def _per_image(self) -> float:
        """Tokens of an image besides its placeholder, in the longest of the rows that are tried."""
        if not any(row["images"] for row in self.rows):
            return 0.0
        by_text = sorted(self.rows, key=lambda row: (len(row["images"]) > 0, self._text_tokens(row)))[-TRIED:]
        by_images = sorted(self.rows, key=lambda row: (len(row["images"]), self._text_tokens(row)))[-TRIED:]
        found = [(self._alone(row), row) for row in by_text + by_images if row["images"]]
        length, row = max(found, key=lambda one: one[0])
        return (length - self._text_tokens(row)) / len(row["images"])

    def _alone(self, row: Row) -> int:
        """Return the length of a row of the language model that holds one row of the data set."""
        return int(self.collator([row])["model"]["input_ids"].shape[1])

    def _text_tokens(self, row: Row) -> int:
        if self.collator.shared:
            return tree_tokens([row])
        return len(row["prompt_ids"]) + max(max(0, len(answer) - 1) for answer in row["answers"])

    @cached_property
    def _packs(self) -> bool:
        """True if prompts with an image may share a row: the image's tensors have one entry per image."""
        row = next((row for row in self.rows if len(row["images"]) == 1), None)
        if row is None:
            return True
        inputs: dict[str, Any] = self.collator([row])["model"]
        return all(len(value) == 1 for name, value in inputs.items() if name not in TEXT_INPUTS)


def _cut(order: Sequence[int], size: int) -> Iterator[list[int]]:
    for start in range(0, len(order), size):
        yield list(order[start : start + size])
