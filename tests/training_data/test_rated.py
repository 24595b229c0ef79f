"""Rated completions: those that the limit of tokens cut are left out and counted."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from mmdpo.config.choices import CutCompletions, PairRule, TrainOn
from mmdpo.config.schema import PairsConfig
from mmdpo.errors import UserError
from mmdpo.files import read_json
from mmdpo.records import Annotation, Completion, PreferencePair, Prompt, SftExample, read_records
from mmdpo.training_data.build import write_training_set
from mmdpo.training_data.rated import Rated, without_cut
from tests.support.ratings import rating

RATINGS = tuple(rating(score, 0, 0, 0, 0) for score in (4, 3, 1))
CUT = {"p": (0,), "q": (0, 2), "r": (0, 1, 2), "s": ()}  # indices of cut completions by prompt


def built(folder: Path, train_on: TrainOn, **pairs: object) -> tuple[list[str], dict[str, int]]:
    completions = [
        Completion(name, index, f"{name}{index}", "length" if index in cut else "stop")
        for name, cut in CUT.items()
        for index in range(3)
    ]
    made = write_training_set(
        folder,
        train_on,
        PairsConfig(**{"margin": 1, "rule": PairRule.all, **pairs}),
        ["helpfulness"],
        0,
        [Prompt(name, "?") for name in CUT],
        completions=completions,
        annotations=[Annotation(name, RATINGS, "oracle") for name in CUT],
    )
    kind = PreferencePair if train_on is TrainOn.pairs else SftExample
    return [one.id for one in read_records(folder / "examples.jsonl", kind)], made["counts"]


S = ["s-0-1", "s-0-2", "s-1-2"]


@pytest.mark.parametrize(
    ("train_on", "ids", "prompts"),
    [
        (TrainOn.pairs, ["p-1-2", *S], 2),
        (TrainOn.best_completion, ["p", "q", "s"], 1),
        (TrainOn.rated_completions, ["p-1", "p-2", "q-1", "s-0", "s-1", "s-2"], 1),
    ],
)
def test_cut_completions_are_in_no_training_set(
    train_on: TrainOn, ids: list[str], prompts: int, tmp_path: Path
) -> None:
    found, counts = built(tmp_path, train_on)
    assert found == ids
    assert (counts["cut_completions"], counts["cut"]) == (6, prompts)


def test_they_are_kept_when_asked_for(tmp_path: Path) -> None:
    found, counts = built(tmp_path, TrainOn.pairs, cut=CutCompletions.keep)
    assert len(found) == 4 * 3
    assert "cut" not in counts


def test_completions_of_earlier_versions_count_as_whole() -> None:
    counts = Counter[str]()
    items = [Rated(Prompt("p", "?"), ["a", "b"], RATINGS[:2])]
    assert list(without_cut(items, 2, counts)) == items
    assert not counts


def test_an_answer_with_an_image_marker_is_trained_on_and_not_written_for_others(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Others would look for an image there."""
    completions = [Completion("p", index, text) for index, text in enumerate(["the <image> tag", "no", "yes"])]
    given = {"completions": completions, "annotations": [Annotation("p", RATINGS, "oracle")]}
    config = PairsConfig(margin=1, rule=PairRule.all)
    write_training_set(tmp_path, TrainOn.pairs, config, ["helpfulness"], 0, [Prompt("p", "?")], **given)
    assert len(list(read_records(tmp_path / "examples.jsonl", PreferencePair))) == 3
    assert len(read_json(tmp_path / "llava_dpo.json")) == 1
    assert "2 rows are not in llava_dpo.json" in capsys.readouterr().out


def test_nothing_but_cut_completions_is_an_error(tmp_path: Path) -> None:
    completions = [Completion("p", index, "x", "length") for index in range(3)]
    given = {"completions": completions, "annotations": [Annotation("p", RATINGS, "oracle")]}
    for train_on in (TrainOn.pairs, TrainOn.rated_completions):
        with pytest.raises(UserError, match=r"3 cut_completions.*data\.sampling\.max_new_tokens.*pairs\.cut=keep"):
            write_training_set(tmp_path, train_on, PairsConfig(), ["helpfulness"], 0, [Prompt("p", "?")], **given)
