"""The miniature's processor: one token a word, CLIP's image steps at 48 pixels, a chat in Vicuna's manner."""

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
    """A word-level tokenizer: marks are tokens of their own, and decoding sets them close again."""
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
    """CLIP's steps for 48 x 48 images: no image of the miniature is resampled."""
    return CLIPImageProcessorPil(
        size={"shortest_edge": SIZE}, crop_size={"height": SIZE, "width": SIZE}, do_convert_rgb=True
    )


def processor() -> LlavaProcessor:
    """The whole processor, as `AutoProcessor.from_pretrained` finds it in a shipped folder."""
    return LlavaProcessor(
        image_processor=image_processor(),
        tokenizer=tokenizer(),
        patch_size=CELL,
        vision_feature_select_strategy="default",
        num_additional_image_tokens=1,
        chat_template=CHAT_TEMPLATE,
        image_token=IMAGE,
    )
