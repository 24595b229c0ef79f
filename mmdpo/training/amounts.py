"""Amounts of work of a training and of a reference pass, counted from texts alone. Imports no torch.

The same functions count what was measured and what is predicted (mmdpo/timings.py), so tokens need not be known.
"""

from __future__ import annotations

import math
import random
from collections.abc import Sequence

from mmdpo.config.schema import TrainConfig
from mmdpo.records import LabelledAnswer, PreferencePair, SftExample
from mmdpo.training.schedule import total_steps

Example = PreferencePair | SftExample | LabelledAnswer


def training_amounts(
    train: TrainConfig, examples: Sequence[Example], processes: int = 1, steps: int | None = None
) -> dict[str, float]:
    """Count the work of each of the processes that train together.

    Args:
        train: Batch size, accumulation and epochs.
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
    order = [*examples]
    random.Random(0).shuffle(order)  # of some epoch: how the letters of a batch are padded
    letters = _padded([_letters(one, train.prefix_sharing) for one in order], size) / processes
    return {
        "trainings": 1.0,
        "steps": float(done),
        "batches": math.ceil(own / size) * epochs,
        "letters": letters * epochs,
        "images": sum(len(one.images) for one in examples) / processes * epochs,
    }


def reference_amounts(train: TrainConfig, pairs: Sequence[Example]) -> dict[str, float]:
    """Count the work of a reference pass, whose batches hold rows of similar length.

    Args:
        train: The batch size of the pass.
        pairs: The pairs.

    Returns:
        Passes, batches, letters with padding, and images.
    """
    size = train.precompute_ref_batch_size
    return {
        "passes": 1.0,
        "batches": float(math.ceil(len(pairs) / size)),
        "letters": _padded(sorted(_letters(one, train.prefix_sharing) for one in pairs), size),
        "images": float(sum(len(one.images) for one in pairs)),
    }


def _letters(example: Example, shared_prefix: bool) -> int:
    """Count the letters of a row, with the prompt once if its answers share it."""
    turns = sum(len(turn.question) + len(turn.answer) for turn in example.history)
    prompt = len(example.system) + turns + len(example.question)
    if isinstance(example, PreferencePair):
        return prompt * (1 if shared_prefix else 2) + len(example.chosen) + len(example.rejected)
    return prompt + len(example.answer)


def _padded(letters: Sequence[int], size: int) -> float:
    batches = (letters[start : start + size] for start in range(0, len(letters), size))
    return float(sum(max(batch) * len(batch) for batch in batches))
