"""Token trees, checked by hand."""

from __future__ import annotations

from mmdpo.training.token_tree import common_beginning, token_tree


def test_a_common_beginning_stands_once() -> None:
    tree = token_tree([[5, 6, 7, 8], [5, 6, 9, 9, 1], [5, 6, 9, 2]])
    assert tree.tokens == [5, 6, 7, 9, 9]
    assert tree.ends == [5, 5, 3, 5, 5]
    assert tree.positions == [0, 1, 2, 2, 3]
    assert tree.owners == [0, 0, 0, 1, 1]
    assert tree.paths == [[0, 1, 2], [0, 1, 3, 4], [0, 1, 3]]


def test_equal_sequences_and_those_that_continue_others_share_all() -> None:
    tree = token_tree([[5, 6, 7], [5, 6, 7], [5, 6, 7, 8, 9]])
    assert tree.tokens == [5, 6, 7, 8]
    assert tree.ends == [4] * 4
    assert tree.paths == [[0, 1], [0, 1], [0, 1, 2, 3]]


def test_sequences_without_a_common_beginning_are_branches() -> None:
    tree = token_tree([[5, 6], [7, 8, 9], [4]])
    assert (tree.tokens, tree.ends, tree.positions) == ([5, 7, 8], [1, 3, 3], [0, 0, 1])
    assert tree.paths == [[0], [1, 2], []]


def test_the_common_beginning_of_sequences() -> None:
    assert common_beginning([[1, 2, 3], [1, 2], [1, 2, 9]]) == [1, 2]
    assert common_beginning([[1, 2], [3]]) == []
