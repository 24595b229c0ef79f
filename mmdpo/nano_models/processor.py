"""Processor of the miniature: one token per word, CLIP's steps at 48 pixels, a chat template like Vicuna's."""

from __future__ import annotations

from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers
from transformers import LlavaProcessor, PreTrainedTokenizerFast
from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil

from mmdpo.nano.draw import CELL, SIZE
from mmdpo.nano.words import PUNCTUATION, WORDS

PAD, BOS, EOS, UNK, IMAGE = "<pad>", "<s>", "</s>", "<unk>", "<image>"
SPECIALS = (PAD, BOS, EOS, UNK, IMAGE)
USER, ASSISTANT = "USER:", "ASSISTANT:"
VOCABULARY = {token: index for index, token in enumerate((*SPECIALS, USER, ASSISTANT, *WORDS))}
IMAGE_TOKENS = (SIZE // CELL) ** 2

CHAT_TEMPLATE = """\
{%- for message in messages -%}
{%- if message['role'] == 'user' -%}USER: {% elif message['role'] == 'assistant' -%}ASSISTANT: {% endif -%}
{%- if message['role'] == 'assistant' -%}
{% generation %}{% if message['content'] is string %}{{ message['content'] }}{% else %}\
{%- for part in message['content'] if part['type'] == 'text' %}{{ part['text'] }}{% endfor -%}\
{%- endif %}{{ '</s>' }}{% endgeneration %}
{%- elif message['content'] is string -%}{{ message['content'] + ' ' }}
{%- else -%}
{%- for part in message['content'] if part['type'] == 'image' %}{{ '<image>\\n' }}{% endfor -%}
{%- for part in message['content'] if part['type'] == 'text' %}{{ part['text'] + ' ' }}{% endfor -%}
{%- endif -%}
{%- endfor -%}
{%- if add_generation_prompt -%}ASSISTANT:{%- endif -%}
"""


def tokenizer() -> PreTrainedTokenizerFast:
    """Build a word-level tokenizer; punctuation marks are tokens, and decoding joins them to the word before."""
    core = Tokenizer(models.WordLevel(VOCABULARY, unk_token=UNK))
    pieces = Regex(rf"{USER}|{ASSISTANT}|\w+|[^\w\s]")
    core.pre_tokenizer = pre_tokenizers.Split(pieces, behavior="removed", invert=True)
    close = [decoders.Replace(f" {mark}", mark) for mark in PUNCTUATION if mark not in "-("]
    core.decoder = decoders.Sequence([decoders.WordPiece(prefix="##", cleanup=False), *close])
    return PreTrainedTokenizerFast(
        tokenizer_object=core,
        pad_token=PAD,
        bos_token=BOS,
        eos_token=EOS,
        unk_token=UNK,
        extra_special_tokens={"image_token": IMAGE},
        chat_template=CHAT_TEMPLATE,
        padding_side="left",
        model_max_length=512,
        clean_up_tokenization_spaces=False,
    )


def image_processor() -> CLIPImageProcessorPil:
    """Build CLIP's image processor for 48 x 48 pixels, the size of all images of the miniature."""
    return CLIPImageProcessorPil(
        size={"shortest_edge": SIZE}, crop_size={"height": SIZE, "width": SIZE}, do_convert_rgb=True
    )


def processor() -> LlavaProcessor:
    """Build the processor that `AutoProcessor.from_pretrained` loads from a shipped folder."""
    return LlavaProcessor(
        image_processor=image_processor(),
        tokenizer=tokenizer(),
        patch_size=CELL,
        vision_feature_select_strategy="default",
        num_additional_image_tokens=1,
        chat_template=CHAT_TEMPLATE,
        image_token=IMAGE,
    )
