"""Kinds and amounts of work of a training and of a reference pass, counted from texts alone. Imports no torch.

The same functions count what was measured and what is predicted (mmdpo/timings.py), so tokens need not be known.
"""

from __future__ import annotations

import math
import random
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from mmdpo.config.choices import TrainOn
from mmdpo.config.losses import weighted_losses
from mmdpo.config.schema import MethodConfig, ModelConfig, TrainConfig
from mmdpo.records import LabelledAnswer, PreferencePair, SftExample
from mmdpo.training.group_order import epoch_order, first_question
from mmdpo.training.schedule import total_steps

Example = PreferencePair | SftExample | LabelledAnswer


@dataclass(frozen=True)
class _Row:
    """A row as its texts.

    Attributes:
        group: What the rows that may share a prompt have in common.
        prompt: The text before the answers.
        answers: The answers; two of a pair, and of a labelled answer with that of its KL term.
        images: Number of images.
    """

    group: tuple[object, ...]
    prompt: str
    answers: tuple[str, ...]
    images: int

    @property
    def letters(self) -> int:
        """The letters of the row, with the prompt once."""
        return len(self.prompt) + sum(map(len, self.answers))


def training_kind(method: MethodConfig, model: ModelConfig, train: TrainConfig) -> str:
    """Return the kind of work of a training, by what a step computes.

    These are the form of the rows, several losses, and settings with which a step takes another time. Single losses of
    pairs cost the same: the model computes the same log-probs for all of them.

    Args:
        method: The method.
        model: The model.
        train: The settings as configured. What `train.fit` makes of them depends on them and the model, too.
    """
    words = ["train", "answers" if method.train_on not in (TrainOn.pairs, TrainOn.labelled) else "pairs"]
    if method.train_on is TrainOn.labelled:
        words.append("labelled")  # such a row has two answers, too: the other one is of the KL term
    elif len(losses := weighted_losses(method)) > 1:
        words.append("+".join(losses))
    words += ["dora"] if model.lora.use_dora else []
    words += ["activation_checkpointing"] if train.activation_checkpointing else []
    words += ["projector"] if model.train_projector else []
    words += [model.quantization] if model.quantization else []
    words += [model.attn_implementation] if model.attn_implementation not in ("auto", "sdpa") else []
    return "/".join(words)


def training_amounts(
    train: TrainConfig, examples: Sequence[Example], processes: int = 1, steps: int | None = None
) -> dict[str, float]:
    """Count the work of each of the processes that train together.

    Args:
        train: Batch size, accumulation, epochs, and whether prompts are shared.
        examples: The examples that are trained on.
        processes: Number of processes that train together.
        steps: The optimizer steps that are done; None for all.

    Returns:
        Trainings, optimizer steps, batches, letters with padding, and images.
    """
    total = total_steps(train, len(examples), processes)
    done = total if steps is None else steps
    size, epochs = train.per_device_train_batch_size, train.num_train_epochs * done / max(total, 1)
    own = math.ceil(len(examples) / processes)
    rows, shared = _rows(examples), _is_prompt_shared(train, examples)
    groups = _groups(rows) if train.prompt_once and shared and not _is_labelled(examples) else None
    rng = random.Random(0)  # of some epoch: how the letters of a batch are padded
    if groups:
        order = epoch_order(groups, size * train.gradient_accumulation_steps * processes, size, rng)
    else:
        order = rng.sample(range(len(rows)), len(rows))
    letters, images = _computed([rows[index] for index in order], size, shared, groups is not None)
    return {
        "trainings": 1.0,
        "steps": float(done),
        "batches": math.ceil(own / size) * epochs,
        "letters": letters / processes * epochs,
        "images": images / processes * epochs,
    }


def reference_amounts(train: TrainConfig, examples: Sequence[Example]) -> dict[str, float]:
    """Count the work of a reference pass, whose batches hold rows of similar length.

    Args:
        train: The batch size of the pass, and whether prompts are shared.
        examples: The pairs, or labelled answers.

    Returns:
        Passes, batches, letters with padding, and images.
    """
    size = train.precompute_ref_batch_size
    rows, shared = _rows(examples), _is_prompt_shared(train, examples)
    groups = _groups(rows) if shared else None
    numbers = groups or range(len(rows))
    longest: dict[int, int] = {}
    for row, number in zip(rows, numbers, strict=True):
        longest[number] = max(longest.get(number, 0), row.letters)
    order = sorted(range(len(rows)), key=lambda index: (longest[numbers[index]], numbers[index]))
    letters, images = _computed([rows[index] for index in order], size, shared, groups is not None)
    return {"passes": 1.0, "batches": float(math.ceil(len(rows) / size)), "letters": letters, "images": images}


def _rows(examples: Sequence[Example]) -> list[_Row]:
    return [_row(example, examples[number - 1]) for number, example in enumerate(examples)]


def _row(example: Example, other: Example) -> _Row:
    """Return the texts of an example; a labelled answer gets that of another one, as for its KL term."""
    if isinstance(example, PreferencePair):
        answers: tuple[str, ...] = (example.chosen, example.rejected)
    elif isinstance(example, LabelledAnswer) and isinstance(other, LabelledAnswer):
        answers = (example.answer, other.answer)
    else:
        answers = (example.answer,)
    turns = "".join(turn.question + turn.answer for turn in example.history)
    prompt = example.system + turns + example.question
    return _Row((example.images, example.system, first_question(example)), prompt, answers, len(example.images))


def _is_labelled(examples: Sequence[Example]) -> bool:
    return bool(examples) and isinstance(examples[0], LabelledAnswer)


def _is_prompt_shared(train: TrainConfig, examples: Sequence[Example]) -> bool:
    """Return whether answers of one prompt share it; those of different rows with one answer always may."""
    return train.prefix_sharing or (bool(examples) and isinstance(examples[0], SftExample))


def _groups(rows: Sequence[_Row]) -> list[int] | None:
    """Number the groups of rows with a common prompt; None if no two rows have one."""
    numbers: dict[tuple[object, ...], int] = {}
    groups = [numbers.setdefault(row.group, len(numbers)) for row in rows]
    return groups if len(numbers) < len(rows) else None


def _computed(rows: Sequence[_Row], size: int, shared: bool, grouped: bool) -> tuple[float, float]:
    """Count the letters, with padding, and the images that batches of rows compute."""
    letters = images = 0
    for start in range(0, len(rows), size):
        sequences = [*_sequences(rows[start : start + size], shared, grouped)]
        letters += max(length for length, _ in sequences) * len(sequences)
        images += sum(count for _, count in sequences)
    return float(letters), float(images)


def _sequences(rows: Sequence[_Row], shared: bool, grouped: bool) -> Iterator[tuple[int, int]]:
    """Yield the letters and images of each sequence of a batch."""
    if not shared:
        for row in rows:
            yield from ((len(row.prompt) + len(answer), row.images) for answer in row.answers)
        return
    trees: dict[object, list[_Row]] = {}
    for number, row in enumerate(rows):
        trees.setdefault(row.group if grouped else number, []).append(row)
    for members in trees.values():
        yield _tree_letters(row.prompt + answer for row in members for answer in row.answers), members[0].images


def _tree_letters(texts: Iterable[str]) -> int:
    """Count the letters of texts, those of a common beginning once."""
    total, before = 0, ""
    for text in sorted(texts):
        total += len(text) - _common_letters(before, text)
        before = text
    return total


def _common_letters(one: str, other: str) -> int:
    """Count the letters with which two texts begin alike."""
    low, high = 0, min(len(one), len(other))
    while low < high:
        middle = (low + high + 1) // 2
        if one[:middle] == other[:middle]:
            low = middle
        else:
            high = middle - 1
    return low
