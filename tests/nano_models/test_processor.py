"""The miniature's processor: words, image tokens, chat."""

from __future__ import annotations

import re
from pathlib import Path
from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from transformers import AutoProcessor, LlavaProcessor

from mmdpo.nano.draw import blank_image, draw
from mmdpo.nano.text import instruct
from mmdpo.nano.visual import ask, briefly
from mmdpo.nano.words import attribute_sentence
from mmdpo.nano.world import random_scene, random_view
from mmdpo.nano_models.conversations import row, token_ids
from mmdpo.nano_models.processor import IMAGE_TOKENS, UNK, VOCABULARY, processor
from mmdpo.records import Turn


@pytest.fixture(scope="module")
def loaded(tmp_path_factory: pytest.TempPathFactory) -> LlavaProcessor:
    folder: Path = tmp_path_factory.mktemp("processor")
    processor().save_pretrained(folder)
    return AutoProcessor.from_pretrained(folder)


def chat(question: str, answer: str | None = None, image: bool = False) -> list[dict[str, Any]]:
    parts = [{"type": "image"}] if image else []
    turns: list[dict[str, Any]] = [{"role": "user", "content": [*parts, {"type": "text", "text": question}]}]
    return turns if answer is None else [*turns, {"role": "assistant", "content": answer}]


def test_no_word_is_unknown(loaded: LlavaProcessor) -> None:
    rng = Random(0)
    for _ in range(2000):
        for prompt in (ask(random_view(rng), rng), instruct(rng)):
            said = [prompt.question, briefly(prompt).question, prompt.facts["full"], prompt.facts["short"]]
            said += [text for turn in prompt.history for text in (turn.question, turn.answer)]
            for text in said:
                assert set(re.findall(r"\w+|[^\w\s]", text)) <= set(VOCABULARY), text


@given(st.integers(0, 2**32))
def test_encoding_and_decoding_return_the_text(loaded: LlavaProcessor, seed: int) -> None:
    rng = Random(seed)
    for prompt in (ask(random_view(rng), rng), instruct(rng)):
        for text in (prompt.question, prompt.facts["full"], prompt.facts["short"]):
            ids = loaded.tokenizer(text)["input_ids"]
            assert ids == token_ids(text)
            assert loaded.tokenizer.decode(ids) == text


def test_vocabulary_and_specials(loaded: LlavaProcessor) -> None:
    tokenizer = loaded.tokenizer
    assert 200 <= len(tokenizer) == len(VOCABULARY) <= 250
    assert len({tokenizer.pad_token_id, tokenizer.eos_token_id, tokenizer.unk_token_id, loaded.image_token_id}) == 4
    assert tokenizer.convert_ids_to_tokens(tokenizer("zebra")["input_ids"]) == [UNK]
    assert set(attribute_sentence((0, 1, 2, 3, 4)).replace(".", "").split()) <= set(VOCABULARY)


def test_an_image_is_sixteen_tokens(loaded: LlavaProcessor) -> None:
    image = draw(random_scene(Random(0)))
    text = loaded.apply_chat_template(chat("Describe the image.", image=True), add_generation_prompt=True)
    assert text == "USER: <image>\nDescribe the image. ASSISTANT:"
    inputs = loaded(text=text, images=image, return_tensors="pt")
    assert (inputs["input_ids"] == loaded.image_token_id).sum() == IMAGE_TOKENS == 16
    assert inputs["pixel_values"].shape == (1, 3, 48, 48)
    decoded = loaded.decode(inputs["input_ids"][0], skip_special_tokens=True)
    assert decoded == "USER: Describe the image. ASSISTANT:"


def test_the_answer_ends_with_one_eos(loaded: LlavaProcessor) -> None:
    text = loaded.apply_chat_template(chat("Which shapes are there?", "There is a star."))
    assert text == "USER: Which shapes are there? ASSISTANT: There is a star.</s>"
    ids = loaded.tokenizer(text)["input_ids"]
    assert ids[-1] == loaded.tokenizer.eos_token_id
    assert ids.count(loaded.tokenizer.eos_token_id) == 1


def test_a_string_and_a_list_of_parts_are_the_same(loaded: LlavaProcessor) -> None:
    parts = chat("Where?", "There.")
    strings = [{"role": "user", "content": "Where?"}, {"role": "assistant", "content": "There."}]
    assert loaded.apply_chat_template(parts) == loaded.apply_chat_template(strings)
    parts[1]["content"] = [{"type": "text", "text": "There."}]
    assert loaded.apply_chat_template(parts) == loaded.apply_chat_template(strings)


def test_a_prompt_begins_its_conversation(loaded: LlavaProcessor) -> None:
    prompt = loaded.apply_chat_template(chat("Where?", image=True), add_generation_prompt=True)
    whole = loaded.apply_chat_template(chat("Where?", "There.", image=True))
    assert whole.startswith(prompt)


def test_training_rows_are_what_the_template_writes(loaded: LlavaProcessor) -> None:
    image = blank_image(0)
    turns = chat("Where is the star?", "The star is in B2.", image=True) + chat("And the cross?", "none")
    inputs = loaded(text=loaded.apply_chat_template(turns), images=image)
    pairs = [Turn("Where is the star?", "The star is in B2."), Turn("And the cross?", "none")]
    trained = row(pairs, image)
    assert trained.ids == inputs["input_ids"][0]
    answered = [token for token in trained.labels if token >= 0]
    assert loaded.decode(answered) == "The star is in B2. </s> none </s>"
