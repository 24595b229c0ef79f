"""A random LLaVA-1.5 of any size with the original's image tokens, for the benchmarks."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

WORDS = 2000
"""Words of the vocabulary: w0, w1, ..."""

SIDE = 336  # pixels


@dataclass(frozen=True)
class Widths:
    """Widths of language model and vision tower."""

    hidden: int
    intermediate: int
    heads: int
    layers: int
    tower: int
    tower_heads: int
    side: int = SIDE  # pixels of an image; 14 x 14 of them are a token
    key_value_heads: int | None = None  # null: as many as heads


def random_llava(folder: Path, widths: Widths) -> Any:
    """Write a processor to a folder and return a random model; with the default side it has 576 tokens per image."""
    import torch
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import (
        CLIPVisionConfig,
        LlamaConfig,
        LlavaConfig,
        LlavaForConditionalGeneration,
        LlavaProcessor,
        PreTrainedTokenizerFast,
    )
    from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil

    marks = ["<unk>", "<pad>", "<s>", "</s>", "<image>", "USER:", "ASSISTANT:"]
    tokens = marks + [f"w{number}" for number in range(WORDS)]
    core = Tokenizer(models.WordLevel({token: index for index, token in enumerate(tokens)}, unk_token="<unk>"))
    core.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=core,
        unk_token="<unk>",
        pad_token="<pad>",
        bos_token="<s>",
        eos_token="</s>",
        additional_special_tokens=["<image>"],
    )
    template = (
        "{% for m in messages %}{{ m['role'] | upper }}: {% for part in m['content'] %}"
        "{% if part['type'] == 'image' %}<image> {% else %}{{ part['text'] }}{% endif %}{% endfor %}"
        "{% if m['role'] == 'assistant' %} </s>{% else %} {% endif %}{% endfor %}"
        "{% if add_generation_prompt %}ASSISTANT: {% endif %}"
    )
    square = {"height": widths.side, "width": widths.side}
    LlavaProcessor(
        CLIPImageProcessorPil(size={"shortest_edge": widths.side}, crop_size=square),
        tokenizer,
        patch_size=14,
        vision_feature_select_strategy="default",
        num_additional_image_tokens=1,
        chat_template=template,
    ).save_pretrained(folder)
    config = LlavaConfig(
        vision_config=CLIPVisionConfig(
            hidden_size=widths.tower,
            intermediate_size=4 * widths.tower,
            num_hidden_layers=4,
            num_attention_heads=widths.tower_heads,
            image_size=widths.side,
            patch_size=14,
        ),
        text_config=LlamaConfig(
            num_hidden_layers=widths.layers,
            num_attention_heads=widths.heads,
            num_key_value_heads=widths.key_value_heads or widths.heads,
            hidden_size=widths.hidden,
            intermediate_size=widths.intermediate,
            vocab_size=len(tokens),
            pad_token_id=1,
            bos_token_id=2,
            eos_token_id=3,
        ),
        image_token_id=4,
    )
    torch.manual_seed(0)
    return LlavaForConditionalGeneration(config)


def save_noise(path: Path, rng: Any) -> None:
    """Write an image of noise."""
    import numpy as np
    from PIL import Image

    Image.fromarray(rng.integers(0, 255, (SIDE, SIDE, 3), dtype=np.uint8)).save(path)
