"""A random LLaVA of a few thousand parameters, with data and settings to train it."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from mmdpo.config.choices import TrainOn
from mmdpo.config.schema import LoraConfig, MethodConfig, ModelConfig, TrainConfig
from mmdpo.records import PreferencePair
from mmdpo.training.settings import TrainingSettings

WORDS = tuple("a the red blue green circle square star is there one two yes no what where left right".split())
TOKENS = ("<unk>", "<pad>", "<s>", "</s>", "<image>", "USER", "ASSISTANT", ":", *WORDS)
TEMPLATE = (
    "{% for m in messages %}{{ m['role'] | upper }} : {% for part in m['content'] %}"
    "{% if part['type'] == 'image' %}<image> {% else %}{{ part['text'] }}{% endif %}{% endfor %}"
    "{% if m['role'] == 'assistant' %} </s> {% else %} {% endif %}{% endfor %}"
    "{% if add_generation_prompt %}ASSISTANT : {% endif %}"
)
SIDE, PATCH = 24, 12  # pixels
OF_THE_MACHINE = (
    "rows_per_second",
    "tokens_per_second",
    "peak_memory_gib",
)  # logged, and different in each run


class Tiny(NamedTuple):
    """Folder of a model, preference pairs, and the folder of their images."""

    model: Path
    pairs: list[PreferencePair]
    images: Path


def save_tiny_llava(folder: Path, seed: int = 0) -> Path:
    """Write model and processor to `folder` for `from_pretrained`; the same seed gives the same weights."""
    import torch
    from transformers import (
        CLIPVisionConfig,
        LlamaConfig,
        LlavaConfig,
        LlavaForConditionalGeneration,
        LlavaProcessor,
    )
    from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil

    tokenizer = word_tokenizer()
    size = {"height": SIDE, "width": SIDE}
    LlavaProcessor(
        CLIPImageProcessorPil(size={"shortest_edge": SIDE}, crop_size=size),
        tokenizer,
        patch_size=PATCH,
        vision_feature_select_strategy="default",
        num_additional_image_tokens=1,
        chat_template=TEMPLATE,
    ).save_pretrained(folder)

    shape = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4}
    config = LlavaConfig(
        vision_config=CLIPVisionConfig(**shape, image_size=SIDE, patch_size=PATCH, projection_dim=32),
        text_config=LlamaConfig(
            **shape,
            vocab_size=len(TOKENS),
            num_key_value_heads=4,
            max_position_embeddings=256,
            initializer_range=0.2,  # answers that differ in likelihood
            pad_token_id=1,
            bos_token_id=2,
            eos_token_id=3,
        ),
        image_token_id=4,
        vision_feature_layer=-2,
        vision_feature_select_strategy="default",
        image_seq_length=(SIDE // PATCH) ** 2,
    )
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        LlavaForConditionalGeneration(config).save_pretrained(folder)
    return folder


def save_tiny_causal(folder: Path, chat_template: str | None = None) -> Path:
    """Write a text-only language model and its tokenizer to `folder`, with or without a chat template of its own."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    tokenizer = word_tokenizer()
    tokenizer.chat_template = chat_template
    tokenizer.save_pretrained(folder)
    shape = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4}
    config = LlamaConfig(
        **shape, vocab_size=len(TOKENS), initializer_range=0.2, pad_token_id=1, bos_token_id=2, eos_token_id=3
    )
    with torch.random.fork_rng():
        torch.manual_seed(0)
        LlamaForCausalLM(config).save_pretrained(folder)
    return folder


def word_tokenizer(tokens: Sequence[str] = TOKENS, special: Sequence[str] = ("<image>",), end: str = "</s>") -> Any:
    """Make a tokenizer of whole words.

    Args:
        tokens: The vocabulary.
        special: Those of its tokens that no text contains.
        end: Its token for the end of an answer.
    """
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    words = Tokenizer(models.WordLevel({token: index for index, token in enumerate(tokens)}, unk_token="<unk>"))
    words.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    return PreTrainedTokenizerFast(
        tokenizer_object=words,
        unk_token="<unk>",
        pad_token="<pad>",
        bos_token="<s>",
        eos_token=end,
        additional_special_tokens=list(special),
    )


def tiny_pairs(image_root: Path, count: int = 12, text_only: int = 3) -> list[PreferencePair]:
    """Make pairs with answers of 1 to 6 words and noise as images; every `text_only`-th has no image."""
    import numpy as np
    from PIL import Image

    rng = np.random.default_rng(0)
    image_root.mkdir(parents=True, exist_ok=True)
    pairs = []
    for index in range(count):
        images: tuple[str, ...] = ()
        if not text_only or index % text_only:
            images = (f"{index}.png",)
            pixels = rng.integers(0, 255, (SIDE, SIDE, 3), dtype=np.uint8)
            if not (image_root / images[0]).exists():  # processes that train together must not write it at once
                Image.fromarray(pixels).save(image_root / images[0])
        question, chosen, rejected = (
            " ".join(rng.choice(WORDS, rng.integers(low, high))) for low, high in ((2, 8), (3, 7), (1, 4))
        )
        pairs.append(PreferencePair(f"pair-{index:02}", question, chosen, f"{rejected} no", images))
    return pairs


def tiny_settings(folder: Path, **overrides: Any) -> TrainingSettings:
    """Settings for the model in `folder`; a dotted key is written as `train__per_device_train_batch_size=2`."""
    settings = TrainingSettings(
        method=MethodConfig(
            "dpo",
            TrainOn.pairs,
            "sigmoid",
            ["beta", "lr"],
            beta=0.1,
            lr=1e-2,
            logprob_avg=False,
            per_device_train_batch_size=4,
            gradient_accumulation_steps=1,
            max_text_tokens=100,
        ),
        model=ModelConfig("tiny", str(folder), dtype="float32", lora=LoraConfig(4, 8, 0.0)),
        train=TrainConfig(
            "tiny",
            num_train_epochs=1.0,
            per_device_train_batch_size=4,
            gradient_accumulation_steps=1,
            activation_checkpointing=False,
            precompute_ref_batch_size=5,
            save_steps=2,
        ),
        beta=0.1,
        lr=1e-2,
        logprob_avg=False,
    )
    own = {key: value for key, value in overrides.items() if "__" not in key}
    settings = dataclasses.replace(settings, **own)
    for key, value in overrides.items():
        if "__" in key:
            _set(settings, key.split("__"), value)
    return settings


def _set(config: Any, names: Sequence[str], value: Any) -> None:
    if names[0] not in {field.name for field in dataclasses.fields(config)}:
        raise TypeError(f"{type(config).__name__} has no field {names[0]!r}")
    if len(names) == 1:
        setattr(config, names[0], value)
    else:
        _set(getattr(config, names[0]), names[1:], value)
