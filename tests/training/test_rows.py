"""Rows: dropped examples, their counts, and the length policy."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from mmdpo.config.choices import TooLong
from mmdpo.errors import UserError
from mmdpo.models.loading import load_processor
from mmdpo.records import PreferencePair, SftExample
from mmdpo.training.rows import TokenizedExamples, tokenize_examples, usable
from tests.support.tiny import Tiny, tiny_settings

PROMPT = 6  # text tokens of "USER : what is ASSISTANT :"


def made(tiny: Tiny, examples: list[Any], limit: int | None = None, policy: str = "cut_answer") -> TokenizedExamples:
    settings = tiny_settings(tiny.model, train__max_text_tokens=limit, train__too_long=TooLong(policy))
    return tokenize_examples(examples, tiny.images, load_processor(settings.model), settings.train)


def test_pairs_that_cannot_be_trained_on_are_counted() -> None:
    pairs = [
        PreferencePair("a", "q", "yes", "no"),
        PreferencePair("b", "q", "yes", "yes"),
        PreferencePair("c", "q", "", "no"),
        PreferencePair("d", "q", "yes", " \n"),
    ]
    kept, dropped = usable(pairs)
    assert kept == pairs[:1]
    assert dropped == {"same_answers": 1, "empty_answer": 2}
    assert usable([SftExample("a", "q", ""), SftExample("b", "q", "yes")])[1] == {"empty_answer": 1}
    with pytest.raises(UserError, match="'a'"):
        usable([pairs[0], pairs[0]])


def test_nothing_left_says_why(tiny: Tiny) -> None:
    same = PreferencePair("b", "what", "yes", "yes")
    with pytest.raises(UserError, match=r"No example is left.*1 same_answers.*data_scale="):
        made(tiny, [same])


LONG = PreferencePair("long", "what is", "red star is there", "no")  # 5 and 2 tokens with their EOS
SHORT = PreferencePair("short", "what is", "yes", "no")


def test_without_a_limit_nothing_is_cut(tiny: Tiny) -> None:
    result = made(tiny, [LONG, SHORT])
    assert (result.lengths.longest, result.lengths.over) == (PROMPT + 5, 0)
    assert [len(ids) for ids in result.rows[0]["answers"]] == [5, 2]


def test_a_row_of_just_the_limit_is_left_alone(tiny: Tiny) -> None:
    assert made(tiny, [LONG], PROMPT + 5, "error").lengths.over == 0


def test_answers_are_cut_at_their_end(tiny: Tiny) -> None:
    whole, cut = made(tiny, [LONG, SHORT]), made(tiny, [LONG, SHORT], PROMPT + 3)
    assert cut.rows[0]["answers"] == [whole.rows[0]["answers"][0][:3], whole.rows[0]["answers"][1]]
    assert cut.rows[1] == whole.rows[1]
    assert cut.dropped == {}
    assert cut.lengths.over == 1
    assert str(cut.lengths) == ("text tokens per row: longest 11, 99th percentile 11; train.max_text_tokens=9: 1 cut")


def test_long_rows_are_dropped_and_counted(tiny: Tiny) -> None:
    result = made(tiny, [LONG, SHORT], PROMPT + 3, "drop")
    assert [row["id"] for row in result.rows] == ["short"] == [one.id for one in result.examples]
    assert result.dropped == {"too_long": 1}


def test_long_rows_are_an_error(tiny: Tiny) -> None:
    with pytest.raises(UserError, match=r"1 of 2 rows.*max_text_tokens=9.*longest 11.*long.*too_long="):
        made(tiny, [LONG, SHORT], PROMPT + 3, "error")


def test_an_answer_without_a_token_takes_its_row_along(tiny: Tiny) -> None:
    """Its averaged log-prob would be 0/0, and TRL would keep its loss at ln 2 without a message."""
    wordy = PreferencePair("wordy", "what is there where is a star", "yes", "no")
    result = made(tiny, [wordy, SHORT], PROMPT + 2)
    assert [row["id"] for row in result.rows] == ["short"]
    assert result.dropped == {"no_room_for_answer": 1}


def test_answers_that_a_cut_makes_equal_are_dropped(tiny: Tiny) -> None:
    alike = PreferencePair("alike", "what is", "red star is", "red star no")
    result = made(tiny, [alike, SHORT], PROMPT + 2)
    assert result.dropped == {"same_after_cut": 1}


def test_image_tokens_are_not_counted_and_not_cut(tiny: Tiny) -> None:
    from mmdpo.training.collate import Collator

    image = next(pair.images[0] for pair in tiny.pairs if pair.images)
    pair = PreferencePair("seen", "what is", "yes", "no", (image,))
    result = made(tiny, [pair], PROMPT + 2, "error")  # 4 image tokens more
    assert result.lengths.longest == PROMPT + 2
    processor = load_processor(tiny_settings(tiny.model).model)
    ids = Collator(processor)(result.rows)["model"]["input_ids"]
    assert (ids[0] == processor.tokenizer.convert_tokens_to_ids("<image>")).sum() == 4


def test_sft_rows_have_one_answer(tiny: Tiny) -> None:
    (row,) = made(tiny, [SftExample("one", "what is", "yes")]).rows
    assert len(row["answers"]) == 1


def test_counts_reach_the_summary(tiny: Tiny, tmp_path: Path) -> None:
    from mmdpo.training.run import train_adapter

    settings = tiny_settings(
        tiny.model, train__max_text_tokens=12, train__too_long=TooLong.drop, train__warmup_ratio=0.0
    )
    summary = train_adapter(settings, tiny.pairs, tiny.images, tmp_path, lambda metrics, step: None, lambda step: None)
    assert summary.dropped["too_long"] == summary.lengths["over"] == len(tiny.pairs) - summary.examples > 0
