"""Conversations: one placeholder per image, in the first user turn."""

from __future__ import annotations

import pytest

from mmdpo.errors import UserError
from mmdpo.models.chat import to_answer, to_messages
from mmdpo.records import Prompt, Turn

HISTORY = (Turn("what is it", "a star"),)


def kinds(turn: dict) -> list[str]:
    return [part["type"] for part in turn["content"]]


def test_the_image_opens_the_first_user_turn() -> None:
    turns = to_messages(Prompt("1", "which one", ("a.png",), HISTORY))
    assert [turn["role"] for turn in turns] == ["user", "assistant", "user"]
    assert [kinds(turn) for turn in turns] == [["image", "text"], ["text"], ["text"]]
    assert turns[-1]["content"][-1]["text"] == "which one"


def test_text_only_has_no_placeholder() -> None:
    assert kinds(to_messages(Prompt("1", "which one"))[0]) == ["text"]


@pytest.mark.parametrize(
    ("question", "history"),
    [
        ("see <image> there", ()),
        ("fine", (Turn("<image>", "a"),)),
        ("fine", (Turn("q", "a<image>"),)),
    ],
)
def test_a_literal_image_token_is_refused(question: str, history: tuple[Turn, ...]) -> None:
    with pytest.raises(UserError, match=r"'row-7'.*<image>"):
        to_messages(Prompt("row-7", question, history=history))


def test_each_model_has_its_own_token() -> None:
    assert to_messages(Prompt("1", "see <image> there"), image_token="<|image_pad|>")
    with pytest.raises(UserError, match="row-7"):
        to_answer("<|image_pad|>", record="row-7", image_token="<|image_pad|>")
