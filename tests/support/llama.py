"""A small tokenizer that treats spaces, joins and line breaks as Llama's does."""

from __future__ import annotations

from pathlib import Path
from typing import Any

SPACE = "▁"  # of SentencePiece: starts each word and each text
MARKS = ("<unk>", "<s>", "</s>", "<0x0A>")
WORDS = (
    "A chat between a curious user and an artificial intelligence assistant. The assistant gives helpful, "
    "detailed, and polite answers to the user's questions. USER: ASSISTANT: What is it? star. Which? blue"
).split()


def llama_tokenizer() -> Any:
    """Return byte-pair merges that build exactly WORDS; `<image>` and `<pad>` are added."""
    from tokenizers import AddedToken, Tokenizer, models, normalizers, processors
    from transformers import PreTrainedTokenizerFast

    words = [SPACE + word for word in dict.fromkeys(WORDS)]
    letters = sorted({letter for word in words for letter in word})
    pieces = [word[:end] for word in words for end in range(2, len(word) + 1)]
    vocabulary = {piece: place for place, piece in enumerate(dict.fromkeys([*MARKS, *letters, *pieces]))}
    merges = list(dict.fromkeys((piece[:-1], piece[-1]) for piece in pieces))
    core = Tokenizer(models.BPE(vocabulary, merges, unk_token="<unk>", byte_fallback=True, fuse_unk=True))
    core.normalizer = normalizers.Sequence([normalizers.Prepend(SPACE), normalizers.Replace(" ", SPACE)])
    core.post_processor = processors.TemplateProcessing(
        single="<s> $A", pair="<s> $A <s> $B", special_tokens=[("<s>", vocabulary["<s>"])]
    )
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=core, unk_token="<unk>", bos_token="<s>", eos_token="</s>", pad_token="<pad>"
    )
    tokenizer.add_tokens([AddedToken("<image>", special=True, normalized=False)])
    return tokenizer


def save_llava_1_5(folder: Path) -> Path:
    """Write a random LLaVA-1.5 of a few thousand parameters, with the files that hub models have."""
    import torch
    from transformers import (
        CLIPVisionConfig,
        LlamaConfig,
        LlavaConfig,
        LlavaForConditionalGeneration,
        LlavaProcessor,
    )
    from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil

    tokenizer = llama_tokenizer()
    side, patch = 28, 14
    LlavaProcessor(
        CLIPImageProcessorPil(size={"shortest_edge": side}, crop_size={"height": side, "width": side}),
        tokenizer,
        patch_size=patch,
        vision_feature_select_strategy="default",
        num_additional_image_tokens=1,
        chat_template="{{ 'the checkpoint has another one' }}",
    ).save_pretrained(folder)
    shape = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4}
    config = LlavaConfig(
        vision_config=CLIPVisionConfig(**shape, image_size=side, patch_size=patch),
        text_config=LlamaConfig(**shape, vocab_size=len(tokenizer), pad_token_id=tokenizer.pad_token_id),
        image_token_id=tokenizer.convert_tokens_to_ids("<image>"),
    )
    with torch.random.fork_rng():
        torch.manual_seed(0)
        LlavaForConditionalGeneration(config).save_pretrained(folder)
    return folder
