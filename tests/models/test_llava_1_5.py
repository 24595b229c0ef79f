"""LLaVA-1.5 with its authors' prompts (`vicuna_v1`) and image padding."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from mmdpo.config.schema import ModelConfig
from mmdpo.entry.compose import compose_config
from mmdpo.errors import UserError
from mmdpo.models.chat import encode, to_answer, to_messages
from mmdpo.models.fingerprints import processor_fingerprint
from mmdpo.models.loading import load_processor
from mmdpo.records import Prompt, Turn
from mmdpo.training.collate import Collator
from mmdpo.training.rows import tokenize_examples
from tests.support.llama import save_llava_1_5
from tests.support.tiny import save_tiny_llava, tiny_pairs, tiny_settings

SYSTEM = (
    "A chat between a curious user and an artificial intelligence assistant. The assistant gives helpful, "
    "detailed, and polite answers to the user's questions."
)
TOKENS = (
    "<s> ▁A ▁chat ▁between ▁a ▁curious ▁user ▁and ▁an ▁artificial ▁intelligence ▁assistant. ▁The ▁assistant "
    "▁gives ▁helpful, ▁detailed, ▁and ▁polite ▁answers ▁to ▁the ▁user's ▁questions. "
    "▁USER: ▁ <image> ▁ <0x0A> W h a t ▁is ▁it? ▁ASSISTANT:"
).split()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_llava_1_5(tmp_path_factory.mktemp("llava_1_5"))


@pytest.fixture(scope="module")
def processor(folder: Path) -> Any:
    return load_processor(compose_config(["model=llava_1_5_7b", f"model.path={folder}"]).model)


def test_the_prompt_and_its_tokens_are_those_of_vicuna_v1(processor: Any) -> None:
    (made,) = encode(processor, [to_messages(Prompt("1", "What is it?", ("a.png",)))], [to_answer("A blue star.")])
    assert made.text == f"<s>{SYSTEM} USER: <image>\nWhat is it? ASSISTANT:"
    of = processor.tokenizer.convert_ids_to_tokens
    assert of(made.prompt_ids) == TOKENS
    assert of(made.answer_ids) == ["▁A", "▁blue", "▁star.", "</s>"]


def test_an_answer_tokenised_alone_would_begin_otherwise(processor: Any) -> None:
    tokenizer = processor.tokenizer
    alone = tokenizer(" A blue star.</s>", add_special_tokens=False)["input_ids"]
    (made,) = encode(processor, [to_messages(Prompt("1", "What is it?"))], [to_answer("A blue star.")])
    assert alone[1:] == made.answer_ids
    assert tokenizer.convert_ids_to_tokens(alone[0]) == "▁"


def test_earlier_turns_end_as_the_answer_does(processor: Any) -> None:
    conversation = to_messages(Prompt("1", "Which?", ("a.png",), (Turn("What is it?", "A star."),)))
    (made,) = encode(processor, [conversation], [to_answer("blue")])
    assert made.text == (f"<s>{SYSTEM} USER: <image>\nWhat is it? ASSISTANT: A star.</s>USER: Which? ASSISTANT:")
    assert processor.tokenizer.convert_ids_to_tokens(made.answer_ids) == ["▁blue", "</s>"]


def test_a_batch_holds_these_tokens_and_the_image_where_its_placeholder_was(
    folder: Path, processor: Any, tmp_path: Path
) -> None:
    pairs = [pair for pair in tiny_pairs(tmp_path, 2) if pair.images]
    made = tokenize_examples(pairs, tmp_path, processor, tiny_settings(folder).train)
    batch = Collator(processor, shared=False)(made.rows)
    tokens = processor.tokenizer.convert_ids_to_tokens(batch["model"]["input_ids"][0])
    images = (28 // 14) ** 2
    seen = TOKENS.index("<image>")
    assert tokens[: seen + images] == TOKENS[:seen] + ["<image>"] * images
    assert tokens.count("<s>") == 1
    assert tokens[seen + images : seen + images + 2] == ["▁", "<0x0A>"]


@pytest.mark.parametrize("size", [(40, 20), (20, 40), (33, 33), (41, 40)])
def test_the_image_is_padded_to_a_square_of_the_mean_colour(
    folder: Path, processor: Any, size: tuple[int, int]
) -> None:
    plain = load_processor(ModelConfig(path=str(folder), chat_template="vicuna_v1")).image_processor
    pixels = np.random.default_rng(0).integers(0, 255, (size[1], size[0], 3), dtype=np.uint8)
    image = Image.fromarray(pixels)
    colour = tuple(int(mean * 255) for mean in plain.image_mean)
    assert colour == (122, 116, 104)
    square = Image.new("RGB", (max(size), max(size)), colour)
    square.paste(image, ((max(size) - size[0]) // 2, (max(size) - size[1]) // 2))
    padded = processor.image_processor(image, return_tensors="np")["pixel_values"]
    expected = plain(square, return_tensors="np")["pixel_values"]
    np.testing.assert_allclose(padded, expected, atol=1e-6)
    if size[0] != size[1]:
        cropped = plain(image, return_tensors="np")["pixel_values"]
        assert np.abs(padded - cropped).max() > 0.1


def test_another_kind_of_processor_is_not_padded(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from mmdpo.models import loading

    with pytest.raises(UserError, match=r"a SiglipImageProcessor, and only CLIP's.*pad_to_square=false"):
        loading._padding_to_square(type("SiglipImageProcessor", (), {})(), str(folder))


def test_template_and_padding_are_part_of_the_processors_content(folder: Path) -> None:
    models = [
        ModelConfig(path=str(folder), chat_template=template, pad_to_square=pad)
        for template in (None, "vicuna_v1")
        for pad in (False, True)
    ]
    assert len({processor_fingerprint(model) for model in models}) == 4


def test_a_checkpoint_without_a_template_names_those_there_are(tmp_path: Path) -> None:
    path = save_tiny_llava(tmp_path)
    (path / "chat_template.jinja").unlink()
    with pytest.raises(UserError, match=r"has no chat template; type model.chat_template=.*vicuna_v1"):
        load_processor(ModelConfig(path=str(path)))
    assert load_processor(ModelConfig(path=str(path), chat_template="vicuna_v1")).chat_template


def test_the_preset_trains(folder: Path, tmp_path: Path) -> None:
    """The 7B preset on a folder of its form, with projector and padding, by the command of a user."""
    from mmdpo.pipeline.point_stages import training_settings
    from mmdpo.training.run import train_adapter

    pairs, images = tiny_pairs(tmp_path / "images"), tmp_path / "images"
    config = compose_config(
        [
            "model=llava_1_5_7b",
            f"model.path={folder}",
            "model.lora.r=4",
            "train.per_device_train_batch_size=4",
        ]
    )
    steps: list[dict[str, float]] = []
    summary = train_adapter(
        training_settings(config), pairs, images, tmp_path / "out",
        lambda metrics, step: steps.append(metrics), lambda step: None,
    )  # fmt: skip
    assert summary.prefix_sharing
    assert summary.examples == len(pairs)
    assert steps[0]["rewards/margins"] == pytest.approx(0, abs=1e-6)
    assert steps[-1]["grad_norm"] > 0
