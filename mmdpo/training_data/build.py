"""Writes the training set of a method, and says what became of every prompt."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, TypeVar

from mmdpo.config.choices import TrainOn
from mmdpo.config.schema import Config
from mmdpo.records import (
    Annotation,
    Completion,
    PreferencePair,
    Prompt,
    SftExample,
    read_records,
    write_records,
)
from mmdpo.sources import authors, llava_sft
from mmdpo.training_data.dpo import make_pairs
from mmdpo.training_data.rated import rated
from mmdpo.training_data.rejection_sampling import best_completions
from mmdpo.training_data.sft import teacher_answers
from mmdpo.training_data.steerlm import rated_completions

Thing = TypeVar("Thing")
Examples = Iterator[PreferencePair] | Iterator[SftExample]

EXAMPLES = "examples.jsonl"
FOR_OTHERS = {True: "llava_dpo.json", False: "llava_sft.json"}
"""The same set in the authors' and LLaVA's formats, for other trainers; the key: are they pairs?"""


def write_training_set(
    folder: Path,
    config: Config,
    prompts: Iterable[Prompt],
    completions: Iterable[Completion] = (),
    annotations: Iterable[Annotation] = (),
    answers: Iterable[Completion] = (),
) -> dict[str, Any]:
    """Write the set, ours and as other trainers read it; returns what its card says."""
    train_on, counts = config.method.train_on, Counter[str]()
    asked = _counted(prompts, counts, "prompts")
    examples: Examples
    if train_on is TrainOn.teacher:
        examples = teacher_answers(asked, answers)
    else:
        items = _counted(rated(asked, completions, annotations), counts, "rated")
        if train_on is TrainOn.pairs:
            examples = make_pairs(items, config.pairs, config.data.seed, counts)
        elif train_on is TrainOn.best_completion:
            examples = best_completions(items)
        else:
            examples = rated_completions(items)
    are_pairs = train_on is TrainOn.pairs
    made: Any = _counted(examples, counts, "pairs" if are_pairs else "examples")
    write_records(folder / EXAMPLES, made)
    _write_for_others(folder, are_pairs)
    return {"counts": dict(counts), "train_on": train_on.value}


def _write_for_others(folder: Path, are_pairs: bool) -> None:
    file = folder / FOR_OTHERS[are_pairs]
    if are_pairs:
        authors.write(read_records(folder / EXAMPLES, PreferencePair), file)
    else:
        llava_sft.write(read_records(folder / EXAMPLES, SftExample), file)


def _counted(things: Iterable[Thing], counts: Counter[str], name: str) -> Iterator[Thing]:
    for thing in things:
        counts[name] += 1
        yield thing
