"""Labelled answers: from pairs, each once, and from rated completions by a threshold."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from mmdpo.config.choices import TrainOn
from mmdpo.config.schema import PairsConfig
from mmdpo.errors import UserError
from mmdpo.records import Annotation, Completion, LabelledAnswer, PreferencePair, Prompt, read_records
from mmdpo.training_data.build import write_training_set
from mmdpo.training_data.kto import labelled_completions, unpaired
from mmdpo.training_data.rated import Rated
from mmdpo.training_data.subset import flip

RATINGS = tuple({"quality": value} for value in (5, 2, 5, 3))


def test_the_answers_of_pairs_stand_once_each() -> None:
    pairs = [
        PreferencePair("1", "Q?", "good", "bad", ("a.png",)),
        PreferencePair("2", "Q?", "good", "worse", ("a.png",)),
        PreferencePair("3", "Q?", "middle", "bad", ("a.png",)),
        PreferencePair("4", "Q?", "bad", "worse", ("b.png",)),  # another picture: another prompt
        PreferencePair("5", "P?", "yes", "no"),
        PreferencePair("6", "P?", "no", "never"),
    ]
    counts = Counter[str]()
    found = unpaired(pairs, counts)
    assert [(one.id, one.answer, one.label, one.images) for one in found] == [
        ("1/chosen", "good", True, ("a.png",)),
        ("1/rejected", "bad", False, ("a.png",)),
        ("2/rejected", "worse", False, ("a.png",)),
        ("3/chosen", "middle", True, ("a.png",)),
        ("4/chosen", "bad", True, ("b.png",)),
        ("4/rejected", "worse", False, ("b.png",)),
        ("5/chosen", "yes", True, ()),
        ("6/rejected", "never", False, ()),
    ]
    assert counts == {"repeated": 2, "both_labels": 1}


def test_a_threshold_labels_every_completion() -> None:
    counts = Counter[str]()
    item = Rated(Prompt("p", "Q?"), ["a", "b", "a", "c"], RATINGS, indices=[0, 1, 2, 4])
    found = list(labelled_completions([item], ["quality"], 3, counts))
    assert [(one.id, one.answer, one.label) for one in found] == [
        ("p-0", "a", True),
        ("p-1", "b", False),
        ("p-4", "c", True),
    ]
    assert counts == {"repeated": 1}


def test_a_set_is_written_with_the_counts_of_its_labels(tmp_path: Path) -> None:
    def write(**pairs: int) -> dict[str, int]:
        made = write_training_set(
            tmp_path,
            TrainOn.labelled,
            PairsConfig(**pairs),
            ["quality"],
            0,
            [Prompt("p", "Q?")],
            [Completion("p", index, text) for index, text in enumerate("abcd")],
            [Annotation("p", RATINGS, "oracle")],
        )
        counts: dict[str, int] = made["counts"]
        return counts

    counts = write(desirable=4)
    assert (counts["desirable"], counts["undesirable"], counts["examples"]) == (2, 2, 4)
    labels = [one.label for one in read_records(tmp_path / "examples.jsonl", LabelledAnswer)]
    assert labels == [True, False, True, False]
    counts = write()  # one pair
    assert (counts["desirable"], counts["undesirable"], counts["examples"]) == (1, 1, 2)
    with pytest.raises(UserError, match=r"pairs\.desirable="):
        write(desirable=1)


def test_noise_changes_labels() -> None:
    answers = [LabelledAnswer(str(index), "Q?", "a", index % 2 == 0) for index in range(8)]
    changed = [one.label is not two.label for one, two in zip(flip(answers, 0.25, 0), answers, strict=True)]
    assert sum(changed) == 2
