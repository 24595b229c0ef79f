"""Rows of one prompt in one tree: the numbers and gradients of separate rows, from fewer positions."""

from __future__ import annotations

import dataclasses
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest
import torch

from mmdpo.config.schema import ModelConfig, TrainConfig
from mmdpo.models.loading import load_model, load_processor
from mmdpo.records import PreferencePair, SftExample, SteeredExample, Turn
from mmdpo.training.collate import Collator
from mmdpo.training.prefix import sharing
from mmdpo.training.prompt_groups import GROUP, Savings, prompt_groups, savings, trees_of
from mmdpo.training.rows import Row, tokenize_examples
from mmdpo.training.scoring import scoring, shared_attention
from tests.support.architectures import save_architecture
from tests.support.tiny import Tiny

ANSWERS = ("a red star", "a red bar", "left", "no no")


def steered(image: str, question: str) -> list[SteeredExample]:
    """Answers with their ratings in the question; two are equal, with equal ratings."""
    asked = [f"{question} is {'red' if index % 2 else 'star'}" for index in range(4)]
    return [
        SteeredExample(f"{image}-{index}", text, answer, (image,), original_question=question)
        for index, (text, answer) in enumerate(zip([*asked, asked[0]], [*ANSWERS, ANSWERS[0]], strict=True))
    ]


def conversation(image: str) -> list[SftExample]:
    """Two turns of a conversation about an image: the second prompt contains the first answer."""
    first = Turn("what is there", "a red star")
    return [
        SftExample("turn-1", first.question, first.answer, (image,)),
        SftExample("turn-2", "where is it", "left", (image,), (first,)),
    ]


def pairs(image: str) -> list[PreferencePair]:
    """All pairs of the answers to a prompt."""
    numbers = range(len(ANSWERS))
    return [
        PreferencePair(f"pair-{a}-{b}", "what is there", ANSWERS[a], ANSWERS[b], (image,))
        for a in numbers
        for b in numbers
        if a < b
    ]


def rows_of(examples: list[Any], images: Path, processor: Any) -> list[Row]:
    rows = tokenize_examples(examples, images, processor, TrainConfig()).rows
    groups = prompt_groups(examples, rows)
    assert groups is not None
    for row, group in zip(rows, groups, strict=True):
        row[GROUP] = group
    return rows


def loss_and_gradients(model: Any, processor: Any, rows: list[Row], shared: bool) -> tuple[Any, list[Any], int]:
    """Return the answers' log-probs, gradients of a mean over them with other weights for each, and positions."""
    batch = Collator(processor, shared)(rows)
    with shared_attention(model) if shared else nullcontext(), scoring(model) as scorer:
        log_probs = scorer(model, batch).log_probs
        present = batch["completion_mask"][:, 1:].bool()
        weights = torch.linspace(1, 2, present.numel()).view_as(log_probs) * present
        loss = (log_probs * weights).sum() / present.sum()
        named = [weight for name, weight in model.named_parameters() if "vision" not in name]
        found = torch.autograd.grad(loss, named, allow_unused=True)
    return log_probs.detach(), [one for one in found if one is not None], batch["model"]["input_ids"].numel()


@pytest.fixture(scope="module", params=["llava", "llava_next", "idefics3"])
def family(request: pytest.FixtureRequest, tiny: Tiny, tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, Any]:
    """Models with four and two key-value heads, one and several tiles an image."""
    if request.param == "llava":
        folder = tiny.model
    else:
        folder = tmp_path_factory.mktemp(request.param)
        save_architecture(request.param, folder)
    return load_model(str(folder), "float32"), load_processor(ModelConfig(path=str(folder)))


@pytest.mark.parametrize("kind", ["sft", "pairs"])
def test_gradients_are_those_of_separate_rows(family: tuple[Any, Any], tiny: Tiny, kind: str) -> None:
    model, processor = family
    if kind == "pairs":
        examples: list[Any] = [*pairs("1.png"), *pairs("2.png")[:2], tiny.pairs[0]]
    else:
        examples = [
            *(*steered("1.png", "what is there"), *conversation("2.png")),
            *steered("4.png", "where")[:1],
            *(SftExample(f"text-{index}", "where is it", answer) for index, answer in enumerate(ANSWERS)),
        ]
    examples = [dataclasses.replace(one, id=f"{index}") for index, one in enumerate(examples)]
    rows = rows_of(examples, tiny.images, processor)
    expected, gradients, separate = loss_and_gradients(model, processor, rows, shared=False)
    found, others, shared = loss_and_gradients(model, processor, rows, shared=True)
    torch.testing.assert_close(found, expected, atol=2e-6, rtol=1e-6)
    assert len(gradients) == len(others) > 10
    for one, other in zip(others, gradients, strict=True):
        assert float((one - other).abs().max()) <= 1e-6 * max(1.0, float(other.abs().max()))
    assert shared < separate / 2
    assert sharing(model, processor, rows).holds


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_a_wrong_mask_of_a_group_is_found(tiny: Tiny, monkeypatch: pytest.MonkeyPatch, dtype: str) -> None:
    """Rows of different prompts need the branches in prompts, which pairs of one prompt do not have."""
    from mmdpo.training import scoring as module

    processor = load_processor(ModelConfig(path=str(tiny.model)))
    model = load_model(str(tiny.model), dtype)
    rows = rows_of(steered("1.png", "what is there"), tiny.images, processor)
    assert sharing(model, processor, rows).holds
    visible = module.visible
    monkeypatch.setattr(module, "visible", lambda ends, prefix: visible(ends.clamp(min=99), prefix))
    assert "log-probs would differ" in sharing(model, processor, rows).reason


def test_groups_are_the_rows_of_a_first_question_and_its_images(tiny: Tiny) -> None:
    processor = load_processor(ModelConfig(path=str(tiny.model)))
    examples: list[Any] = [
        *(*steered("1.png", "where")[:2], *steered("2.png", "where")[:2], *conversation("2.png")),
        *(SftExample("a", "where", "left"), SftExample("b", "where", "no", system="what")),
    ]
    rows = tokenize_examples([one for one in examples if not one.system], tiny.images, processor, TrainConfig()).rows
    assert prompt_groups(examples, [*rows, {"digests": []}]) == [0, 0, 1, 1, 2, 2, 3, 4]
    assert prompt_groups([examples[0], examples[2]], [rows[0], rows[2]]) is None


def test_a_tree_shares_all_images_and_has_a_limit(tiny: Tiny, monkeypatch: pytest.MonkeyPatch) -> None:
    processor = load_processor(ModelConfig(path=str(tiny.model)))
    rows = rows_of(steered("1.png", "what is there"), tiny.images, processor)
    assert trees_of(rows, processor) == [[0, 1, 2, 3, 4]]
    moved = {**rows[1], "prompt_ids": [*rows[1]["prompt_ids"][2:], *rows[1]["prompt_ids"][:2]]}
    assert trees_of([rows[0], moved], processor) == [[0], [1]]
    size = len(rows[0]["prompt_ids"]) + len(rows[0]["answers"][0])
    monkeypatch.setattr("mmdpo.training.prompt_groups.MAX_TREE_TOKENS", 2 * size)
    assert all(len(tree) <= 2 for tree in trees_of(rows, processor))
    assert trees_of([{name: row[name] for name in row if name != GROUP} for row in rows], processor) == [
        [index] for index in range(5)
    ]


def test_savings_by_hand() -> None:
    rows = [
        {"images": ["a"], "prompt_ids": [4, 9, 10], "answers": [[11, 12]]},
        {"images": ["a"], "prompt_ids": [4, 9, 10], "answers": [[11, 13]]},
        {"images": [], "prompt_ids": [9], "answers": [[11, 12], [14, 15]]},
    ]
    found = savings(rows, [0, 0, 1])
    assert found == Savings(rows=3, prompts=2, images=(2, 1), tokens=(3 + 3 + 3, 3 + 3))
    assert "3 rows of 2 prompts; 1 images and 6 text tokens" in str(found)
    assert "instead of 2 and 9" in str(found)
    assert "train.prompt_once=false" in str(found)
    assert "except for 1 prompts" in str(savings(rows, [0, 0, 1], batch_size=1))
    assert savings(rows, [0, 0, 1], batch_size=2) == found
