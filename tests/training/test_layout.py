"""Layout of prompts and answers in rows, checked by hand."""

from __future__ import annotations

import torch

from mmdpo.training.layout import PromptTokens, lay_out, visible

PAD = 0
PROMPTS = [PromptTokens([5, 6, 7], {"kind": [1, 1, 0]}), PromptTokens([8], {"kind": [0]})]
ANSWERS = [[[11, 12], [13]], [[14], [15, 16]]]


def test_a_shared_row() -> None:
    layout = lay_out(PROMPTS, ANSWERS, PAD, shared=True)
    assert layout.input_ids.tolist() == [[5, 6, 7, 11, 7], [8, 8, 15, 0, 0]]
    assert layout.segments.tolist() == [[1, 1, 2, 2, 3], [2, 3, 3, 0, 0]]
    assert layout.position_ids.tolist() == [[0, 1, 2, 3, 2], [0, 0, 1, 0, 0]]
    assert layout.scored.tolist() == [2, 3, 4, 5 + 0, 5 + 1, 5 + 2]
    assert layout.labels.tolist() == [11, 12, 13, 14, 15, 16]
    assert layout.indices.tolist() == [0, 1, 4, 2, 6, 7]  # in [[11 12] [14 -] [13 -] [15 16]]
    assert layout.extras["kind"].tolist() == [[1, 1, 0, 0, 0], [0, 0, 0, 0, 0]]


def test_separate_rows() -> None:
    layout = lay_out(PROMPTS, ANSWERS, PAD, shared=False)
    assert layout.input_ids.tolist() == [[5, 6, 7, 11], [8, 0, 0, 0], [5, 6, 7, 0], [8, 15, 0, 0]]
    assert layout.position_ids.tolist() == [[0, 1, 2, 3], [0, 0, 0, 0], [0, 1, 2, 0], [0, 1, 0, 0]]
    assert layout.scored.tolist() == [2, 3, 4 + 0, 8 + 2, 12 + 0, 12 + 1]
    assert layout.labels.tolist() == [11, 12, 14, 13, 15, 16]
    assert layout.indices.tolist() == [0, 1, 2, 4, 6, 7]


def test_short_prompts_share_a_row_no_longer_than_the_longest() -> None:
    prompts = [PromptTokens([8]), *PROMPTS, PromptTokens([9])]
    answers = [[[14], [15]], *ANSWERS, [[17], [18, 19]]]
    layout = lay_out(prompts, answers, PAD, shared=True, packed=True)
    assert layout.input_ids.tolist() == [[5, 6, 7, 11, 7], [8, 8, 15, 8, 8], [9, 9, 18, 0, 0]]
    assert layout.segments.tolist() == [[1, 1, 2, 2, 3], [2, 3, 3, 2, 3], [2, 3, 3, 0, 0]]
    assert layout.prompt_index.tolist() == [[0, 0, 0, 0, 0], [0, 0, 0, 1, 1], [0, 0, 0, 0, 0]]
    assert layout.position_ids.tolist() == [[0, 1, 2, 3, 2], [0, 0, 1, 0, 0], [0, 0, 1, 0, 0]]
    assert layout.order == [1, 2, 0, 3]
    assert layout.labels.tolist() == [14, 15, 11, 12, 13, 14, 15, 16, 17, 18, 19]
    assert layout.scored.tolist() == [5 + 3, 5 + 4, 2, 3, 4, 5 + 0, 5 + 1, 5 + 2, 10, 11, 12]
    assert layout.indices.tolist() == [0, 8, 2, 3, 10, 4, 12, 13, 6, 14, 15]
    seen = visible(layout.segments, layout.prompt_index, layout.prefix)[1, 0].int().tolist()
    assert layout.prefix == 0
    assert seen[3:] == [[0, 0, 0, 1, 0], [0, 0, 0, 0, 1]]  # each sees itself alone


def test_room_for_all_puts_all_in_one_row() -> None:
    layout = lay_out(PROMPTS, ANSWERS, PAD, shared=True, packed=True, max_row_tokens=99)
    assert layout.input_ids.tolist() == [[5, 6, 7, 11, 7, 8, 8, 15]]
    assert layout.prompt_index.tolist() == [[0, 0, 0, 0, 0, 1, 1, 1]]
    assert layout.prefix == 2


def test_without_a_prompt_the_first_token_is_not_scored() -> None:
    layout = lay_out([PromptTokens([])], [[[11, 12], [13]]], PAD, shared=True)
    assert layout.input_ids.tolist() == [[11]]
    assert layout.labels.tolist() == [12]


def test_a_row_that_nobody_scores_comes_last() -> None:
    layout = lay_out(PROMPTS[:1], ANSWERS[:1], PAD, shared=True, unscored=[PromptTokens([9, 9])])
    assert layout.input_ids.tolist() == [[5, 6, 7, 11, 7], [9, 9, 0, 0, 0]]
    assert layout.scored.max() < layout.input_ids.shape[1]


def test_who_sees_whom() -> None:
    layout = lay_out(PROMPTS[:1], ANSWERS[:1], PAD, shared=True)
    assert layout.prefix == 2
    padding = torch.zeros(1, 1, dtype=torch.long)
    segments, prompt_index = (torch.cat([one, padding], dim=1) for one in (layout.segments, layout.prompt_index))
    seen = visible(segments, prompt_index, layout.prefix)
    assert seen.shape == (1, 1, 4, 6)  # the first two tokens are causal
    assert seen[0, 0].int().tolist() == [
        [1, 1, 1, 0, 0, 0],
        [1, 1, 1, 1, 0, 0],
        [1, 1, 0, 0, 1, 0],  # the second answer sees the prompt, not the first answer
        [1, 1, 0, 0, 0, 1],  # padding sees itself: a row that sees nothing would be NaN
    ]
