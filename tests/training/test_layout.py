"""How prompts and answers lie in rows, by hand."""

from __future__ import annotations

import torch

from mmdpo.training.layout import IGNORED, Prompt, lay_out, visible

PAD = 0
PROMPTS = [Prompt([5, 6, 7], {"kind": [1, 1, 0]}), Prompt([8], {"kind": [0]})]
ANSWERS = [[[11, 12], [13]], [[14], [15, 16]]]


def test_a_shared_row() -> None:
    layout = lay_out(PROMPTS, ANSWERS, PAD, shared=True)
    assert layout.input_ids.tolist() == [[5, 6, 7, 11, 7], [8, 8, 15, 0, 0]]
    assert layout.segments.tolist() == [[1, 1, 2, 2, 3], [2, 3, 3, 0, 0]]
    assert layout.position_ids.tolist() == [[0, 1, 2, 3, 2], [0, 0, 1, 0, 0]]
    assert layout.scored.tolist() == [[2, 3, 4, 0], [0, 0, 1, 2]]
    assert layout.labels.tolist() == [[11, 12, 13, IGNORED], [14, IGNORED, 15, 16]]
    assert layout.extras["kind"].tolist() == [[1, 1, 0, 0, 0], [0, 0, 0, 0, 0]]


def test_separate_rows() -> None:
    layout = lay_out(PROMPTS, ANSWERS, PAD, shared=False)
    assert layout.input_ids.tolist() == [[5, 6, 7, 11], [8, 0, 0, 0], [5, 6, 7, 0], [8, 15, 0, 0]]
    assert layout.position_ids.tolist() == [[0, 1, 2, 3], [0, 0, 0, 0], [0, 1, 2, 0], [0, 1, 0, 0]]
    assert layout.scored.tolist() == [[2, 3], [0, 0], [2, 0], [0, 1]]
    assert layout.labels.tolist() == [[11, 12], [14, IGNORED], [13, IGNORED], [15, 16]]


def test_without_a_prompt_the_first_token_is_not_scored() -> None:
    layout = lay_out([Prompt([])], [[[11, 12], [13]]], PAD, shared=True)
    assert layout.input_ids.tolist() == [[11]]
    assert layout.labels.tolist() == [[12, IGNORED, IGNORED, IGNORED]]


def test_a_row_that_nobody_scores_comes_last() -> None:
    layout = lay_out(PROMPTS[:1], ANSWERS[:1], PAD, shared=True, unscored=[Prompt([9, 9])])
    assert layout.input_ids.tolist() == [[5, 6, 7, 11, 7], [9, 9, 0, 0, 0]]
    assert layout.labels[1].tolist() == [IGNORED] * 4


def test_who_sees_whom() -> None:
    layout = lay_out(PROMPTS[:1], ANSWERS[:1], PAD, shared=True)
    assert layout.prefix == 2
    seen = visible(torch.cat([layout.segments[0], torch.zeros(1, dtype=torch.long)])[None], layout.prefix)
    assert seen.shape == (1, 1, 4, 6)  # the first two tokens are causal
    assert seen[0, 0].int().tolist() == [
        [1, 1, 1, 0, 0, 0],
        [1, 1, 1, 1, 0, 0],
        [1, 1, 0, 0, 1, 0],  # the second answer sees the prompt, not the first answer
        [1, 1, 0, 0, 0, 1],  # padding sees itself: a row that sees nothing would be NaN
    ]
