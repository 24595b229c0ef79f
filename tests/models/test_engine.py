"""Answers of the model engine are those that are generated alone, and cost less."""

from __future__ import annotations

import functools
import random
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from mmdpo.errors import UserError
from mmdpo.models.loading import load_model
from mmdpo.models.requests import GenerationRequest
from mmdpo.records import Completion, Prompt
from tests.support.architectures import save_architecture
from tests.support.asked import Asked, asked_tiny, mixed_requests
from tests.support.tiny import WORDS


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Asked:
    return asked_tiny(tmp_path_factory.mktemp("tiny"))


@pytest.fixture(scope="module")
def mixed() -> list[GenerationRequest]:
    return mixed_requests()


@pytest.fixture(scope="module")
def expected(tiny: Asked, mixed: list[GenerationRequest]) -> list[Completion]:
    return [tiny.alone(request) for request in mixed]


@contextmanager
def forwards(asked: Asked, part: str = "") -> Iterator[list[int]]:
    """Record the number of rows in each call of a part of the model."""
    rows: list[int] = []

    def record(module: Any, given: Any, named: Any) -> None:
        rows.append(len(next(value for value in (*given, *named.values()) if isinstance(value, torch.Tensor))))

    handle = asked.model.get_submodule(part).register_forward_pre_hook(record, with_kwargs=True)
    yield rows
    handle.remove()


def questions(count: int, image: str = "1.png", **decoding: Any) -> list[GenerationRequest]:
    return [
        GenerationRequest(Prompt(f"q{number}", " ".join(WORDS[number : number + 3]), (image,)), **decoding)
        for number in range(count)
    ]


@pytest.fixture
def brief(tiny: Asked) -> Iterator[Asked]:
    """A model that answers `yes` and nothing more."""
    head = tiny.model.get_output_embeddings().weight
    embeddings = tiny.model.get_input_embeddings().weight
    before = head.data.clone(), embeddings.data.clone()
    ids = tiny.processor.tokenizer.convert_tokens_to_ids
    direction = torch.eye(embeddings.shape[1])[0] * 8
    yes, colon, end = ids(["yes", ":", "</s>"])
    embeddings.data[colon] += direction
    embeddings.data[yes] = -direction
    head.data[yes] = direction
    head.data[end] = -direction
    yield tiny
    head.data, embeddings.data = before


@pytest.mark.parametrize("size", [1, 5, 64])
def test_every_answer_is_the_one_that_is_generated_alone(
    tiny: Asked, mixed: list[GenerationRequest], expected: list[Completion], size: int
) -> None:
    assert tiny.answers(mixed, size) == expected
    assert len({answer.text for answer in expected}) > 10
    assert {answer.finish_reason for answer in expected} == {"stop", "length"}


def test_the_order_of_requests_changes_no_answer(
    tiny: Asked, mixed: list[GenerationRequest], expected: list[Completion]
) -> None:
    order = random.Random(1).sample(range(len(mixed)), len(mixed))
    found = tiny.answers([mixed[index] for index in order], 7)
    assert found == [expected[index] for index in order]


@pytest.mark.parametrize("hint", [(), ("yes", "no")])
def test_an_image_is_computed_once_for_its_questions(tiny: Asked, hint: tuple[str, ...]) -> None:
    requests = [*questions(6, max_new_tokens=1), *questions(6, "2.png", max_new_tokens=1)]
    engine = tiny.engine(6)
    list(engine.answer(requests, tiny.images))  # tests whether the architecture can share
    with forwards(tiny, "model.vision_tower") as images, forwards(tiny) as rows:
        list(engine.answer(requests, tiny.images))
    assert images == [1, 1]
    assert rows == [1, 1]


def test_short_answers_take_two_forward_passes(brief: Asked) -> None:
    requests = questions(8, expected=("yes", "no"))
    engine = brief.engine(8)
    list(engine.answer(requests, brief.images))
    with forwards(brief) as rows:
        found = dict(engine.answer(requests, brief.images))
    assert rows == [1, 1]
    assert {(answer.text, answer.finish_reason) for answer in found.values()} == {("yes", "stop")}


def test_answers_longer_than_expected_are_generated(tiny: Asked) -> None:
    requests = questions(8, expected=("yes", "no"))
    alone = [tiny.alone(request) for request in requests]
    assert any(len(answer.text.split()) > 1 for answer in alone)
    assert tiny.answers(requests) == alone


def test_a_waiting_prompt_takes_the_place_of_a_complete_answer(tiny: Asked) -> None:
    limits = [30, *[3] * 9]
    requests = [
        GenerationRequest(Prompt(f"p{number}", "what is there"), 1.0, limit) for number, limit in enumerate(limits)
    ]
    engine = tiny.engine(4)
    list(engine.answer(requests[:1], tiny.images))
    ends = tiny.model.generation_config.eos_token_id
    tiny.model.generation_config.eos_token_id = None
    try:
        with forwards(tiny) as rows:
            order = [index for index, _ in engine.answer(requests, tiny.images)]
    finally:
        tiny.model.generation_config.eos_token_id = ends
    assert order[-1] == 0  # the longest began first, and all others were complete before it
    assert max(rows) == 4
    steps = 30 + 2  # of the longest answer, and the prompts that began later
    assert len(rows) == steps


def test_an_answer_comes_before_others_begin(tiny: Asked) -> None:
    engine, requests = tiny.engine(2), [GenerationRequest(Prompt(f"p{n}", "what is"), 0, 1) for n in range(6)]
    list(engine.answer(requests[:1], tiny.images))
    with forwards(tiny) as rows:
        next(engine.answer(requests, tiny.images))
    assert rows == [2]


@pytest.fixture
def memory(tiny: Asked, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Return a function that sets the largest number of rows that fit the memory."""
    real, most = tiny.model.forward, [100]

    @functools.wraps(real)
    def forward(**given: Any) -> Any:
        if len(given["input_ids"]) > most[0]:
            real(**given)  # some layers are computed before the memory ends
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return real(**given)

    monkeypatch.setattr(tiny.model, "forward", forward)
    return lambda rows: most.__setitem__(0, rows)


def test_a_batch_that_memory_does_not_take_is_made_smaller(
    tiny: Asked, mixed: list[GenerationRequest], expected: list[Completion], memory: Any, capsys: Any
) -> None:
    memory(3)
    assert tiny.answers(mixed, 16) == expected
    sizes = re.findall(r"out of memory: continuing with batches of (\d+) prompts", capsys.readouterr().out)
    assert sizes
    assert min(map(int, sizes)) <= 3


def test_a_prompt_that_memory_does_not_take_is_named(tiny: Asked, memory: Any) -> None:
    engine, requests = tiny.engine(4), [GenerationRequest(Prompt("p7", "what is"))]
    for _ in range(2):  # when the architecture is tested, and when it is asked
        memory(0)
        with pytest.raises(UserError, match=r"p7.*not enough memory.*max_new_tokens"):
            list(engine.answer(requests, tiny.images))
        memory(100)
        list(engine.answer(requests, tiny.images))


@pytest.mark.parametrize("hint", [(), ("yes",)])
def test_a_model_that_computes_nan_does_not_answer(tiny: Asked, hint: tuple[str, ...]) -> None:
    engine, requests = tiny.engine(4), questions(3, expected=hint)
    list(engine.answer(requests, tiny.images))
    weight = tiny.model.get_output_embeddings().weight
    before = weight.data.clone()
    weight.data[3] = float("nan")
    try:
        with pytest.raises(UserError, match=r"NaN.*model\.dtype=float32"):
            list(engine.answer(requests, tiny.images))
    finally:
        weight.data = before


def test_a_missing_image_is_named(tiny: Asked) -> None:
    with pytest.raises(UserError, match=r"gone\.png"):
        tiny.answers(questions(2, "gone.png"))


def test_a_generation_config_that_changes_logits_is_respected(
    tiny: Asked, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    monkeypatch.setattr(tiny.model.generation_config, "repetition_penalty", 5.0)
    requests = [*questions(3), GenerationRequest(Prompt("text", "what is"))]
    assert tiny.answers(requests) == [tiny.alone(request) for request in requests]
    assert capsys.readouterr().out.count("repetition_penalty") == 2  # once for images, once for text


def test_an_architecture_that_cannot_share_is_asked_in_plain_batches(tmp_path: Path, capsys: Any) -> None:
    processor = save_architecture("qwen2_5_vl", tmp_path / "model")
    pixels = np.random.default_rng(0).integers(0, 255, (30, 60, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "1.png")
    asked = Asked(load_model(str(tmp_path / "model"), "float32").eval(), processor, tmp_path)
    requests = [*questions(4), *questions(2, expected=("yes",)), GenerationRequest(Prompt("text", "what is"))]
    assert asked.answers(requests, 3) == [asked.alone(request) for request in requests]
    assert capsys.readouterr().out.count("prompts with images are answered in plain batches") == 1
