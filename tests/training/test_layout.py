"""Layout of prompts and answers in rows, checked by hand."""

from __future__ import annotations

import torch

from mmdpo.training.layout import PromptTokens, lay_out, visible

PAD = 0
PROMPTS = [PromptTokens([5, 6, 7], {"kind": [1, 1, 0]}), PromptTokens([8], {"kind": [0]})]
ANSWERS = [[[11, 12], [13]], [[14], [15, 16]]]


def test_a_shared_row() -> None:
    layout = lay_out(PROMPTS, ANSWERS, PAD, shared=True)
    assert layout.input_ids.tolist() == [[5, 6, 7, 11], [8, 15, 0, 0]]
    assert layout.seen_until.tolist() == [[4, 4, 4, 4], [2, 2, 0, 0]]
    assert layout.position_ids.tolist() == [[0, 1, 2, 3], [0, 1, 0, 0]]
    assert layout.scored.tolist() == [2, 3, 4 + 0, 4 + 1]
    assert layout.predictor.tolist() == [0, 1, 0, 2, 2, 3]  # both answers' first tokens follow the prompt's last
    assert layout.targets.tolist() == [11, 12, 13, 14, 15, 16]
    assert layout.source.tolist() == [0, 1, 2, 3, 4, 5]
    assert layout.labels.tolist() == [11, 12, 13, 14, 15, 16]
    assert layout.indices.tolist() == [0, 1, 4, 2, 6, 7]  # in [[11 12] [14 -] [13 -] [15 16]]
    assert layout.extras["kind"].tolist() == [[1, 1, 0, 0], [0, 0, 0, 0]]


def test_separate_rows() -> None:
    layout = lay_out(PROMPTS, ANSWERS, PAD, shared=False)
    assert layout.input_ids.tolist() == [[5, 6, 7, 11], [8, 0, 0, 0], [5, 6, 7, 0], [8, 15, 0, 0]]
    assert layout.seen_until.sign().tolist() == [[1, 1, 1, 1], [1, 0, 0, 0], [1, 1, 1, 0], [1, 1, 0, 0]]
    assert layout.position_ids.tolist() == [[0, 1, 2, 3], [0, 0, 0, 0], [0, 1, 2, 0], [0, 1, 0, 0]]
    assert layout.scored.tolist() == [2, 3, 4 + 0, 8 + 2, 12 + 0, 12 + 1]
    assert layout.labels.tolist() == layout.targets.tolist() == [11, 12, 14, 13, 15, 16]
    assert layout.indices.tolist() == [0, 1, 2, 4, 6, 7]


def test_short_prompts_share_a_row_no_longer_than_the_longest() -> None:
    prompts = [PromptTokens([8]), *PROMPTS, PromptTokens([9])]
    answers = [[[14], [15]], *ANSWERS, [[17], [18, 19]]]
    layout = lay_out(prompts, answers, PAD, shared=True, packed=True)
    assert layout.input_ids.tolist() == [[5, 6, 7, 11], [8, 15, 9, 18], [8, 0, 0, 0]]
    assert layout.seen_until.tolist() == [[4, 4, 4, 4], [2, 2, 4, 4], [1, 0, 0, 0]]
    assert layout.position_ids.tolist() == [[0, 1, 2, 3], [0, 1, 0, 1], [0, 0, 0, 0]]
    assert layout.order == [1, 2, 3, 0]
    assert layout.labels.tolist() == [14, 15, 11, 12, 13, 14, 15, 16, 17, 18, 19]
    assert layout.scored[layout.predictor[layout.source]].tolist() == [8, 8, 2, 3, 2, 4, 4, 5, 6, 6, 7]
    assert layout.indices.tolist() == [0, 8, 2, 3, 10, 4, 12, 13, 6, 14, 15]
    seen = visible(layout.seen_until, layout.prefix)[1, 0].int().tolist()
    assert layout.prefix == 1
    assert seen == [[1, 1, 0, 0], [0, 0, 1, 0], [0, 0, 1, 1]]


def test_room_for_all_puts_all_in_one_row() -> None:
    layout = lay_out(PROMPTS, ANSWERS, PAD, shared=True, packed=True, max_row_tokens=99)
    assert layout.input_ids.tolist() == [[5, 6, 7, 11, 8, 15]]
    assert layout.seen_until.tolist() == [[4, 4, 4, 4, 6, 6]]
    assert layout.prefix == 4


def test_rows_of_a_tree_compute_prompts_and_equal_answers_once() -> None:
    """Two pairs of a prompt with the answer 11 12 in both, and a row whose prompt continues differently."""
    prompts = [PromptTokens([5, 6, 7])] * 2 + [PromptTokens([5, 6, 9])]
    answers = [[[11, 12], [13, 12]], [[11, 12], [14]], [[11], [13, 12]]]
    layout = lay_out(prompts, answers, PAD, shared=True, trees=[[0, 1, 2]])
    assert layout.input_ids.tolist() == [[5, 6, 7, 11, 13, 9, 13]]
    assert layout.seen_until.tolist() == [[7, 7, 5, 4, 5, 7, 7]]
    assert layout.position_ids.tolist() == [[0, 1, 2, 3, 3, 2, 3]]
    assert layout.labels.tolist() == [11, 12, 13, 12, 11, 12, 14, 11, 13, 12]
    assert layout.source.tolist() == [0, 1, 2, 3, 0, 1, 4, 5, 6, 7]
    assert layout.targets.tolist() == [11, 12, 13, 12, 14, 11, 13, 12]
    assert layout.scored[layout.predictor].tolist() == [2, 3, 2, 4, 2, 5, 5, 6]
    assert layout.indices.tolist() == [0, 1, 6, 7, 2, 3, 8, 4, 10, 11]
    assert layout.order == [0]
    assert layout.prefix == 4


def test_without_a_prompt_the_first_token_is_not_scored() -> None:
    layout = lay_out([PromptTokens([])], [[[11, 12], [13]]], PAD, shared=True)
    assert layout.input_ids.tolist() == [[11]]
    assert layout.labels.tolist() == [12]


def test_a_row_that_nobody_scores_comes_last() -> None:
    layout = lay_out(PROMPTS[:1], ANSWERS[:1], PAD, shared=True, unscored=[PromptTokens([9, 9])])
    assert layout.input_ids.tolist() == [[5, 6, 7, 11], [9, 9, 0, 0]]
    assert layout.scored.max() < layout.input_ids.shape[1]


def test_who_sees_whom() -> None:
    layout = lay_out(PROMPTS[:1], [[[11, 12], [13, 14]]], PAD, shared=True)
    assert layout.input_ids.tolist() == [[5, 6, 7, 11, 13]]
    padded = torch.cat([layout.seen_until, torch.zeros(1, 1, dtype=torch.long)], dim=1)
    seen = visible(padded, 2)
    assert seen.shape == (1, 1, 4, 6)  # the first two tokens are causal
    assert seen[0, 0].int().tolist() == [
        [1, 1, 1, 0, 0, 0],
        [1, 1, 1, 1, 0, 0],
        [1, 1, 1, 0, 1, 0],  # the second answer sees the prompt, not the first answer
        [0, 0, 0, 0, 0, 1],  # padding sees itself: a row that sees nothing would be NaN
    ]
    assert layout.prefix == 4
