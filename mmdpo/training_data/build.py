"""Writing of a method's training set, with counts of the prompts that are in it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar

from mmdpo.config.choices import CutCompletions, TrainOn
from mmdpo.config.schema import PairsConfig
from mmdpo.console import print_line
from mmdpo.errors import UserError
from mmdpo.records import (
    Annotation,
    Completion,
    LabelledAnswer,
    PreferencePair,
    Prompt,
    SftExample,
    read_records,
    to_json,
    write_records,
)
from mmdpo.sources import authors, llava_sft
from mmdpo.training_data.dpo import make_pairs
from mmdpo.training_data.kto import labelled_completions, unpaired
from mmdpo.training_data.rated import Rated, rated, without_cut
from mmdpo.training_data.rejection_sampling import best_completions
from mmdpo.training_data.sft import teacher_answers
from mmdpo.training_data.steerlm import rated_completions

T = TypeVar("T")
MARKER = "<image>"
Examples = Iterator[PreferencePair] | Iterator[SftExample] | Iterator[LabelledAnswer]

EXAMPLES = "examples.jsonl"
FOR_OTHERS = {True: "llava_dpo.json", False: "llava_sft.json"}
"""Files with the same set in the authors' format (pairs: True) and in LLaVA's, for other trainers."""


def write_training_set(
    folder: Path,
    train_on: TrainOn,
    pairs: PairsConfig,
    aggregate: Sequence[str],
    seed: int,
    prompts: Iterable[Prompt],
    completions: Iterable[Completion] = (),
    annotations: Iterable[Annotation] = (),
    answers: Iterable[Completion] = (),
) -> dict[str, Any]:
    """Write the training set in our format and in those of other trainers.

    Args:
        folder: Gets the files.
        train_on: The kind of set.
        pairs: Rule and margin of preference pairs, and the use of cut completions by any kind of set.
        aggregate: The attributes whose sum ranks completions.
        seed: Seed of the pairs' random choice.
        prompts: All prompts.
        completions: The model's completions, unless a teacher's answers are the targets.
        annotations: Ratings of the completions.
        answers: A teacher's answers.

    Returns:
        Numbers for the card.

    Raises:
        UserError: The set is empty.
    """
    counts = Counter[str]()
    asked = _counted(prompts, counts, "prompts")
    examples: Examples
    if train_on is TrainOn.teacher:
        examples = teacher_answers(asked, answers)
    else:
        items = _counted(rated(asked, completions, annotations), counts, "rated")
        if pairs.cut is CutCompletions.drop:
            paired = train_on is TrainOn.pairs or (train_on is TrainOn.labelled and pairs.desirable is None)
            items = without_cut(items, 2 if paired else 1, counts)
        if train_on is TrainOn.pairs:
            examples = make_pairs(items, pairs, aggregate, seed, counts)
        elif train_on is TrainOn.labelled:
            examples = iter(_labelled(items, pairs, aggregate, seed, counts))
        elif train_on is TrainOn.best_completion:
            examples = best_completions(items, aggregate)
        else:
            examples = rated_completions(items)
    are_pairs = train_on is TrainOn.pairs
    made: Any = _counted(examples, counts, "pairs" if are_pairs else "examples")
    write_records(folder / EXAMPLES, made)
    if not counts["pairs" if are_pairs else "examples"]:
        raise _nothing_to_train_on(train_on, counts)
    if train_on is not TrainOn.labelled:
        _write_for_others(folder, are_pairs)
    return {"counts": dict(counts), "train_on": train_on.value}


def _labelled(
    items: Iterable[Rated], pairs: PairsConfig, aggregate: Sequence[str], seed: int, counts: Counter[str]
) -> list[LabelledAnswer]:
    """Return the answers of the pairs, or all completions by the threshold. Raises UserError if a label is missing."""
    if pairs.desirable is None:
        answers = unpaired(make_pairs(items, pairs, aggregate, seed, counts), counts)
    else:
        answers = list(labelled_completions(items, aggregate, pairs.desirable, counts))
    counts["desirable"] = sum(one.label for one in answers)
    counts["undesirable"] = len(answers) - counts["desirable"]
    if answers and not (counts["desirable"] and counts["undesirable"]):
        missing = "desirable" if not counts["desirable"] else "undesirable"
        raise UserError(f"none of {len(answers)} answers is {missing}: type another pairs.desirable=")
    return answers


def _nothing_to_train_on(train_on: TrainOn, counts: Counter[str]) -> UserError:
    others = ", ".join(f"{count} {name}" for name, count in counts.items())
    if train_on is TrainOn.teacher:
        advice = "type stage=teacher judge.retry_unscored=true to ask for the answers again"
    elif counts["cut"]:
        advice = "completions were cut: type a larger data.sampling.max_new_tokens=, or pairs.cut=keep"
    elif not counts["rated"]:
        advice = "no prompt has ratings: type stage=annotate judge.retry_unscored=true to ask the judge again"
    else:
        advice = "a smaller pairs.margin=, more data.sampling.completions= or another judge= makes pairs"
    return UserError(f"the training set is empty ({others}): {advice}")


def _write_for_others(folder: Path, are_pairs: bool) -> None:
    file = folder / FOR_OTHERS[are_pairs]
    if are_pairs:
        authors.write(_without_markers(read_records(folder / EXAMPLES, PreferencePair), file.name), file)
    else:
        llava_sft.write(_without_markers(read_records(folder / EXAMPLES, SftExample), file.name), file)


def _without_markers(records: Iterable[T], name: str) -> Iterator[T]:
    """Yield the records whose texts contain no marker of images; print a line about the others."""
    left_out = 0
    for record in records:
        if MARKER in to_json(record):
            left_out += 1
        else:
            yield record
    if left_out:
        print_line(f"{left_out} rows are not in {name}, where the {MARKER} in their texts would mark an image")


def _counted(records: Iterable[T], counts: Counter[str], name: str) -> Iterator[T]:
    for record in records:
        counts[name] += 1
        yield record
