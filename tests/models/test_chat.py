"""Conversations: one placeholder per image where the record says, and system turns."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from mmdpo.errors import UserError
from mmdpo.models.chat import check_prompt, check_records, moves_images, prompt_text, to_messages
from mmdpo.records import ImagePosition, Prompt, Turn, images_in_order
from tests.support.chatml import chatml_processor

HISTORY = (Turn("what is it", "a star"),)


@pytest.fixture(scope="module")
def processor() -> Any:
    return chatml_processor()


def kinds(turn: dict) -> list[str]:
    return [part["type"] for part in turn["content"]]


def test_the_image_opens_the_first_user_turn() -> None:
    turns = to_messages(Prompt("1", "which one", ("a.png",), HISTORY))
    assert [turn["role"] for turn in turns] == ["user", "assistant", "user"]
    assert [kinds(turn) for turn in turns] == [["image", "text"], ["text"], ["text"]]
    assert turns[-1]["content"][-1]["text"] == "which one"


def test_text_only_has_no_placeholder() -> None:
    assert kinds(to_messages(Prompt("1", "which one"))[0]) == ["text"]


@pytest.mark.parametrize(("question", "history"), [("see <image> there", ()), ("fine", (Turn("<image>", "a"),))])
def test_a_marker_that_was_not_read_is_refused(question: str, history: tuple[Turn, ...]) -> None:
    with pytest.raises(UserError, match=r"'row-7'.*<image>"):
        to_messages(Prompt("row-7", question, history=history))


def test_other_image_tokens_are_text() -> None:
    assert to_messages(Prompt("1", "see <image> there"), image_token="<|image_pad|>")
    assert to_messages(Prompt("1", "see <|image_pad|> there"), image_token="<|image_pad|>")


def test_images_and_the_system_turn_stand_where_the_record_says(processor: Any) -> None:
    places = (ImagePosition(2, 5), ImagePosition(0, 0), ImagePosition(2, 0))
    prompt = Prompt("1", "left right", ("c.png", "a.png", "b.png"), HISTORY, system="Be brief.", image_positions=places)
    messages = to_messages(prompt)
    assert [turn["role"] for turn in messages] == ["system", "user", "assistant", "user"]
    assert [kinds(turn) for turn in messages[1:]] == [["image", "text"], ["text"], ["image", "text", "image", "text"]]
    assert images_in_order(prompt) == ("a.png", "b.png", "c.png")
    text = prompt_text(processor, messages)
    check_prompt(processor, text, prompt)
    assert "system\nBe brief.<|im_end|>" in text
    assert "user\n<image>left<image>right<|im_end|>" in text
    assert not moves_images(processor, messages, text)


def test_a_template_that_moves_an_image_is_noticed(processor: Any) -> None:
    messages = to_messages(Prompt("1", "see this", ("a.png",), image_positions=(ImagePosition(0, 3),)))
    moving = with_template(processor, FIRST)
    assert not moves_images(processor, messages, prompt_text(processor, messages))
    assert moves_images(moving, messages, prompt_text(moving, messages))


FIRST = (
    "{% for m in messages if m['role'] != 'system' %}{{ m['role'] }}:{% for part in m['content'] if "
    "part['type'] == 'image' %}<image>{% endfor %}{% for part in m['content'] if part['type'] == 'text' %}"
    "{{ part['text'] }}{% endfor %}{% endfor %}"
)
REFUSING = "{% if messages[0]['role'] == 'system' %}{{ raise_exception('System role not supported') }}{% endif %}"
ONE_IMAGE = (
    "{% for m in messages %}{% if loop.first and m['content'][0]['type'] == 'image' %}<image>{% endif %}q{% endfor %}"
)


def with_template(processor: Any, template: str) -> Any:
    other = copy.copy(processor)
    other.chat_template = template
    return other


@pytest.mark.parametrize("template", [FIRST, REFUSING])
def test_a_template_without_system_turns_is_refused(template: str, processor: Any) -> None:
    prompt = Prompt("row-7", "why", system="Be brief.")
    check_records(processor, [prompt])
    with pytest.raises(UserError, match=r"system turn.*model\.chat_template="):
        check_records(with_template(processor, template), [Prompt("1", "q"), prompt])


def test_a_model_that_takes_one_image_refuses_several(processor: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    prompt = Prompt("row-7", "q", ("a.png", "b.png"))
    check_records(processor, [prompt])
    with pytest.raises(UserError, match=r"'row-7'.*1 image placeholders for 2 images.*model\.path="):
        check_records(with_template(processor, ONE_IMAGE), [prompt])

    def one_only(*given: Any, **settings: Any) -> None:
        raise ValueError("at most 1 image")

    monkeypatch.setattr(type(processor), "__call__", one_only)
    with pytest.raises(UserError, match=r"refuses 2 images in a prompt \(at most 1 image\).*model\.path="):
        check_records(processor, [prompt])
