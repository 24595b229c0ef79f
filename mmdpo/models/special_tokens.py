"""Special tokens of a tokenizer in the texts of records: encoded as ordinary text, never as control tokens.

A user may write `</s>` or `<|im_end|>`. Before a chat template is rendered, such texts are marked, so that the
tokenizer can tell them from the control tokens that the template writes. Texts without special tokens are encoded as
always.
"""

from __future__ import annotations

import re
import weakref
from collections.abc import Sequence
from typing import Any

from mmdpo.errors import UserError

Messages = Sequence[dict[str, Any]]

START, END = "\U000f0000", "\U000f0001"
"""Characters that the library puts before and after a marked token."""

_patterns: weakref.WeakKeyDictionary[Any, tuple[str, re.Pattern[str]]] = weakref.WeakKeyDictionary()


def special_tokens(processor: Any) -> re.Pattern[str]:
    """Return a pattern of the tokens that no text may contain: special ones, and others that the template writes.

    The unknown token is none of them: an unknown word gets it as well.
    """
    tokenizer, template = processor.tokenizer, str(processor.chat_template)
    known = _patterns.get(tokenizer)
    if known is None or known[0] != template:
        contents = {str(token.content): token.special for token in tokenizer.added_tokens_decoder.values()}
        found = {text for text, special in contents.items() if special or (text.strip() and text in template)}
        found |= {str(token) for token in (tokenizer.eos_token, getattr(processor, "image_token", None)) if token}
        longest_first = sorted(found - {tokenizer.unk_token}, key=len, reverse=True)
        known = template, re.compile("|".join(map(re.escape, longest_first)) or "(?!)")
        _patterns[tokenizer] = known
    return known[1]


def marked(processor: Any, messages: Messages) -> list[dict[str, Any]]:
    """Mark the special tokens in the texts of chat messages."""
    pattern = special_tokens(processor)

    def part_of(part: dict[str, Any]) -> dict[str, Any]:
        return {**part, "text": mark(pattern, part["text"])} if "text" in part else part

    return [{**message, "content": [part_of(part) for part in message["content"]]} for message in messages]


def mark(pattern: re.Pattern[str], text: str) -> str:
    """Mark the special tokens in a text; marks of the text's own are removed.

    Raises:
        UserError: The text has special tokens, and the installed transformers cannot encode them as text.
    """
    if not pattern.search(text) and not is_marked(text):
        return text
    try:
        from transformers.utils.chat_template_utils import mark_control_tokens
    except ImportError:  # before 5.23
        import transformers

        raise UserError(
            f"a text of the data contains a special token ({(pattern.search(text) or [text])[0]}), which transformers "
            f"{transformers.__version__} would encode as a control token: remove it, or install transformers 5.23"
        ) from None

    found: str = mark_control_tokens(text, pattern)
    return found


def is_marked(text: str) -> bool:
    """Return whether a text contains a mark."""
    return START in text or END in text


def without_marked(text: str) -> str:
    """Return a rendered text without its marked tokens, to count what the template wrote."""
    return re.sub(f"{START}.*?{END}", "", text)


def token_ids(tokenizer: Any, texts: Sequence[str]) -> list[list[int]]:
    """Tokenize rendered texts; marked tokens become ordinary text.

    Args:
        tokenizer: The tokenizer.
        texts: Rendered texts, which contain the special tokens of the template.

    Returns:
        Token ids of each text.

    Raises:
        UserError: The tokenizer has no other way to write a token.
    """
    found: dict[str, list[int]] = {}
    for with_marks in (False, True):
        # One call for all texts: a fast tokenizer processes them in parallel.
        group = [text for text in dict.fromkeys(texts) if is_marked(text) is with_marks]
        if group:
            settings = {"sanitize_control_tokens": True} if with_marks else {}
            with _UnwritableToken():
                ids = tokenizer(group, add_special_tokens=False, **settings)["input_ids"]
            found |= dict(zip(group, ids, strict=True))
    return [found[text] for text in texts]


def process(processor: Any, texts: Sequence[str], images: Sequence[Sequence[Any]] | None, **settings: Any) -> Any:
    """Call a processor on rendered texts and the images of each; marked tokens become ordinary text.

    Args:
        processor: The model's processor.
        texts: Rendered prompts, which contain the special tokens of the template.
        images: The images of each prompt; None if no prompt has any.
        **settings: Further arguments of the processor.

    Raises:
        UserError: The tokenizer has no other way to write a token, or the processor refuses several images per prompt.
    """
    if any(map(is_marked, texts)):
        settings["sanitize_control_tokens"] = True
    several = max(map(len, images), default=0) if images else 0
    try:
        with _UnwritableToken():
            return processor(
                text=list(texts),
                images=[list(group) for group in images] if images else None,
                padding=True,
                return_tensors="pt",
                add_special_tokens=False,  # the text contains them
                **settings,
            )
    except (ValueError, TypeError, IndexError, RuntimeError) as error:
        if several < 2 or isinstance(error, UserError):
            raise
        raise UserError(
            f"{type(processor).__name__} refuses {several} images in a prompt ({error}). Keep one image per row, or "
            "type model.path= with a model that takes several."
        ) from error


class _UnwritableToken:
    """Turn the tokenizer's refusal to write a special token as text into a UserError."""

    def __enter__(self) -> None:
        """Do nothing."""

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        """Raise UserError in place of the tokenizer's errors."""
        if isinstance(error, ValueError) and "sanitize" in str(error):
            raise UserError(
                f"{error}. A text of the data contains this special token: remove it, or type model.path= with a model "
                "whose tokenizer can write it as text."
            ) from error
        if isinstance(error, NotImplementedError):
            raise UserError(f"A text of the data contains a special token of the tokenizer, and {error}") from error
