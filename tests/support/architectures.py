"""Random vision-language models of families other than LLaVA-1.5, a few thousand parameters each."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest

from tests.support.tiny import WORDS, word_tokenizer

KINDS = ("llava_next", "qwen2_5_vl", "idefics3")
MARKS = ("<unk>", "<pad>", "<s>", "</s>", "USER", "ASSISTANT", ":")
SHAPE = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4}
SIDE, PATCH = 28, 14  # pixels


def template(placeholder: str, end: str) -> str:
    """Return a chat template with the family's image placeholder and end-of-turn mark."""
    return (
        "{% for m in messages %}{{ m['role'] | upper }} : {% for part in m['content'] %}"
        "{% if part['type'] == 'image' %}" + placeholder + " {% else %}{{ part['text'] }} {% endif %}"
        "{% endfor %}{% if m['role'] == 'assistant' %}" + end + "{% endif %}{% endfor %}"
        "{% if add_generation_prompt %}ASSISTANT : {% endif %}"
    )


def save_architecture(kind: str, folder: Path) -> Any:
    """Write the model of a family and its processor to `folder`; returns the processor.

    Qwen's processor is only returned: loading it takes torchvision, for videos. Where that of Idefics takes it, too,
    the test is skipped.
    """
    import torch

    processor, model = globals()[f"_{kind}"]()
    if kind != "qwen2_5_vl":
        processor.save_pretrained(folder)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model().save_pretrained(folder)
    return processor


def _tokenizer(*special: str, end: str = "</s>") -> Any:
    return word_tokenizer((*MARKS, *special, *WORDS), special, end)


def _text(tokenizer: Any, kind: Any, **more: Any) -> Any:
    return kind(
        **SHAPE,
        vocab_size=len(tokenizer),
        max_position_embeddings=512,
        initializer_range=0.2,
        pad_token_id=1,
        bos_token_id=2,
        eos_token_id=3,
        **{"num_key_value_heads": 4, **more},
    )


def _llava_next() -> tuple[Any, Any]:
    """Mistral's language model with 2 key-value heads, several tiles per image, and a template that writes no EOS."""
    from transformers import (
        CLIPVisionConfig,
        LlavaNextConfig,
        LlavaNextForConditionalGeneration,
        LlavaNextProcessor,
        MistralConfig,
    )
    from transformers.models.llava_next.image_processing_pil_llava_next import LlavaNextImageProcessorPil

    tokenizer = _tokenizer("<image>")
    tiles = [[SIDE, 2 * SIDE], [2 * SIDE, SIDE], [2 * SIDE, 2 * SIDE]]
    images = LlavaNextImageProcessorPil(
        size={"shortest_edge": SIDE}, crop_size={"height": SIDE, "width": SIDE}, image_grid_pinpoints=tiles
    )
    processor = LlavaNextProcessor(
        images,
        tokenizer,
        patch_size=PATCH,
        vision_feature_select_strategy="default",
        num_additional_image_tokens=1,
        chat_template=template("<image>", ""),
    )
    config = LlavaNextConfig(
        vision_config=CLIPVisionConfig(**SHAPE, image_size=SIDE, patch_size=PATCH, projection_dim=32),
        text_config=_text(tokenizer, MistralConfig, sliding_window=None, head_dim=8, num_key_value_heads=2),
        image_token_id=tokenizer.convert_tokens_to_ids("<image>"),
        image_grid_pinpoints=tiles,
    )
    return processor, lambda: LlavaNextForConditionalGeneration(config)


def _qwen2_5_vl() -> tuple[Any, Any]:
    """Qwen2.5-VL: positions in three dimensions, and images of any size as a flat list of patches."""
    from transformers import Qwen2_5_VLConfig, Qwen2_5_VLForConditionalGeneration, Qwen2_5_VLProcessor
    from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil
    from transformers.processing_utils import ProcessorMixin

    special = ("<|vision_start|>", "<|vision_end|>", "<|image_pad|>", "<|video_pad|>")
    tokenizer = _tokenizer(*special)
    start, end, image, video = (tokenizer.convert_tokens_to_ids(token) for token in special)
    images = Qwen2VLImageProcessorPil(min_pixels=SIDE**2, max_pixels=(4 * SIDE) ** 2)
    placeholder = "<|vision_start|> <|image_pad|> <|vision_end|>"
    tokenizer.image_token, tokenizer.video_token = "<|image_pad|>", "<|video_pad|>"
    tokenizer.image_token_id, tokenizer.video_token_id = image, video
    with patch.object(ProcessorMixin, "__init__", _without_checks):
        processor = Qwen2_5_VLProcessor(images, tokenizer, chat_template=template(placeholder, "</s>"))
    rope = {"rope_type": "default", "mrope_section": [1, 1, 2], "rope_theta": 1e4}
    text = {**SHAPE, "vocab_size": len(tokenizer), "num_key_value_heads": 2, "rope_parameters": rope}
    text |= {"pad_token_id": 1, "bos_token_id": 2, "eos_token_id": 3, "initializer_range": 0.2}
    vision = {
        **{"depth": 2, "hidden_size": 32, "intermediate_size": 64, "num_heads": 4, "out_hidden_size": 32},
        **{"patch_size": PATCH, "fullatt_block_indexes": [1], "window_size": 112},
    }
    config = Qwen2_5_VLConfig(
        text_config={
            **text,
            "pad_token_id": 1,
            "bos_token_id": 2,
            "eos_token_id": 3,
            "initializer_range": 0.2,
        },
        vision_config=vision,
        image_token_id=image,
        video_token_id=video,
        vision_start_token_id=start,
        vision_end_token_id=end,
    )
    return processor, lambda: Qwen2_5_VLForConditionalGeneration(config)


def _without_checks(self: Any, images: Any, tokenizer: Any, videos: None, chat_template: str) -> None:
    """ProcessorMixin.__init__ without its check of the video processor, which needs torchvision."""
    self.image_processor, self.tokenizer, self.video_processor = images, tokenizer, videos
    self.chat_template = chat_template


def _idefics3() -> tuple[Any, Any]:
    """SmolVLM's architecture: an image is cut into tiles that are separated by special tokens."""
    from transformers import (
        Idefics3Config,
        Idefics3ForConditionalGeneration,
        Idefics3ImageProcessorPil,
        Idefics3Processor,
        LlamaConfig,
    )

    if hasattr(Idefics3ImageProcessorPil, "_backends"):  # a stand-in for a class whose library is missing
        pytest.skip("this transformers needs torchvision to load the processor")
    grid = tuple(f"<row_{row}_col_{column}>" for row in range(1, 7) for column in range(1, 7))
    special = ("<image>", "<fake_token_around_image>", "<end_of_utterance>", "<global-img>", *grid)
    tokenizer = _tokenizer(*special, end="<end_of_utterance>")
    side = 2 * SIDE  # 4 x 4 patches, of which a token takes 2 x 2
    images = Idefics3ImageProcessorPil(
        size={"longest_edge": side}, max_image_size={"longest_edge": side}, do_image_splitting=True
    )
    processor = Idefics3Processor(
        images, tokenizer, image_seq_len=4, chat_template=template("<image>", "<end_of_utterance>")
    )
    config = Idefics3Config(
        vision_config={**SHAPE, "image_size": side, "patch_size": PATCH},
        text_config=_text(tokenizer, LlamaConfig).to_dict(),
        image_token_id=tokenizer.convert_tokens_to_ids("<image>"),
        scale_factor=2,
        pad_token_id=1,
    )
    return processor, lambda: Idefics3ForConditionalGeneration(config)


def _paligemma() -> tuple[Any, Any]:
    """PaliGemma: attention in both directions within the prompt, to which an answer belongs if it is not marked."""
    from transformers import (
        GemmaConfig,
        PaliGemmaConfig,
        PaliGemmaForConditionalGeneration,
        PaliGemmaProcessor,
        SiglipVisionConfig,
    )
    from transformers.models.siglip.image_processing_pil_siglip import SiglipImageProcessorPil

    tokenizer = _tokenizer("<image>")
    images = SiglipImageProcessorPil(size={"height": SIDE, "width": SIDE})
    images.image_seq_length = (SIDE // PATCH) ** 2
    processor = PaliGemmaProcessor(images, tokenizer, chat_template=template("<image>", "</s>"))
    config = PaliGemmaConfig(
        vision_config=SiglipVisionConfig(**SHAPE, image_size=SIDE, patch_size=PATCH).to_dict(),
        text_config={**_text(tokenizer, GemmaConfig, head_dim=8).to_dict(), "num_image_tokens": 4},
        image_token_id=tokenizer.convert_tokens_to_ids("<image>"),
        projection_dim=32,
        pad_token_id=1,
    )
    return processor, lambda: PaliGemmaForConditionalGeneration(config)
