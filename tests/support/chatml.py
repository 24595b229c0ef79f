"""A processor with byte-level BPE and ChatML, as Qwen's."""

from __future__ import annotations

from typing import Any

import pytest
from transformers.utils import chat_template_utils

needs_tokens_as_text = pytest.mark.skipif(
    not hasattr(chat_template_utils, "mark_control_tokens"), reason="this transformers cannot encode them as text"
)
"""Mark of tests with special tokens in texts, which older releases refuse; GPU images have some of them."""
CHATML = (
    "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{% for part in m['content'] %}"
    "{% if part['type'] == 'image' %}<image>{% else %}{{ part['text'] | trim }}{% endif %}{% endfor %}<|im_end|>\n"
    "{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
SPECIALS = ("<|endoftext|>", "<|im_start|>", "<|im_end|>", "<image>", "<pad>")


def chatml_processor() -> Any:
    """Return the processor; its tokenizer was trained on five words."""
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import LlavaProcessor, PreTrainedTokenizerFast
    from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil

    core = Tokenizer(models.BPE())
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    core.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    core.train_from_iterator(["user assistant im end start"], trainers.BpeTrainer(initial_alphabet=alphabet))
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=core, eos_token="<|im_end|>", pad_token="<pad>")
    tokenizer.add_tokens([AddedToken(text, special=True, normalized=False) for text in SPECIALS])
    side = {"shortest_edge": 24}, {"height": 24, "width": 24}
    images = CLIPImageProcessorPil(size=side[0], crop_size=side[1])
    return LlavaProcessor(images, tokenizer, patch_size=12, chat_template=CHATML, num_additional_image_tokens=1,
                          vision_feature_select_strategy="default")  # fmt: skip
