"""Loading of a text-only language model, such as the one that a vision-language model was made of."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mmdpo.config.schema import ModelConfig
from mmdpo.errors import UserError
from mmdpo.models.library_output import suppress_library_output
from mmdpo.models.load_errors import translate_load_errors
from mmdpo.models.loading import load_checkpoint, torch_dtype
from mmdpo.models.model_files import require_causal
from mmdpo.models.paths import resolve_path, template, templates
from mmdpo.models.template_check import require_template

if TYPE_CHECKING:
    from transformers import PreTrainedModel

KEY = "model.before_visual_tuning"


class TextProcessor:
    """A tokenizer with the interface of a vision-language model's processor.

    Attributes:
        tokenizer: The tokenizer.
        chat_template: The template that renders prompts.
    """

    def __init__(self, tokenizer: Any, chat_template: str, takes_parts: bool) -> None:
        """Take the tokenizer.

        Args:
            tokenizer: The tokenizer.
            chat_template: The template that renders prompts.
            takes_parts: Whether the template takes the content of a message as parts. The templates of text-only
                models take a text.
        """
        self.tokenizer, self.chat_template, self._takes_parts = tokenizer, chat_template, takes_parts

    def apply_chat_template(self, messages: Sequence[dict[str, Any]], **settings: Any) -> Any:
        """Render messages, as a processor does."""
        if not self._takes_parts:
            messages = [{**one, "content": "".join(part["text"] for part in one["content"])} for one in messages]
        return self.tokenizer.apply_chat_template(messages, chat_template=self.chat_template, **settings)

    def batch_decode(self, *arguments: Any, **settings: Any) -> list[str]:
        """Decode tokens, as a processor does."""
        texts: list[str] = self.tokenizer.batch_decode(*arguments, **settings)
        return texts

    def save_pretrained(self, folder: Path) -> None:
        """Write the tokenizer with the chat template, as a processor does."""
        self.tokenizer.chat_template = self.chat_template
        self.tokenizer.save_pretrained(folder)

    def __call__(self, text: Sequence[str], images: None = None, **settings: Any) -> Any:
        """Tokenize texts; returns the tensors in the form of a processor's."""
        from transformers import BatchFeature

        if images is not None:
            raise UserError(f"{KEY}: the model takes no images; type {KEY}=null to leave it out")
        return BatchFeature(dict(self.tokenizer(text=list(text), **settings)))


def load_causal_model(path: str, dtype: str) -> PreTrainedModel:
    """Load a text-only language model in evaluation mode, on the CPU; only safetensors are read, and no code is run.

    Args:
        path: `model.before_visual_tuning`: a folder, a hub id, or pkg://package/folder.
        dtype: `model.dtype`.

    Raises:
        UserError: There is no model at the path, or its checkpoint does not fill it.
    """
    require_causal(path, KEY)
    with translate_load_errors(f"{KEY}={path}", "model"):
        return load_checkpoint(path, torch_dtype(dtype), "AutoModelForCausalLM", KEY)


def has_own_template(path: str) -> bool:
    """Return whether the tokenizer of a text-only model has a chat template."""
    return _tokenizer(path).chat_template is not None


def load_text_processor(model: ModelConfig) -> TextProcessor:
    """Load the tokenizer of a text-only model, with its own chat template, else with `model.chat_template`.

    Args:
        model: The settings of the model; `path` is that of the text-only model.

    Raises:
        UserError: There is no tokenizer or no chat template, or one of them cannot be used.
    """
    setting, tokenizer = f"{KEY}={model.path}", _tokenizer(model.path)
    if tokenizer.eos_token_id is None:
        raise UserError(f"{setting}: its tokenizer has no eos_token, with which answers end")
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token
    own = tokenizer.chat_template
    if own is None and model.chat_template is None:
        raise UserError(
            f"{setting} has no chat template; type model.chat_template= with one of {', '.join(templates())}."
        )
    chosen = own if own is not None else template(model.chat_template or "")
    processor = TextProcessor(tokenizer, chosen, takes_parts=own is None)
    require_template(processor, setting)
    return processor


def _tokenizer(path: str) -> Any:
    with suppress_library_output():
        from transformers import AutoTokenizer

        with translate_load_errors(f"{KEY}={path}", "tokenizer"):
            return AutoTokenizer.from_pretrained(resolve_path(path), trust_remote_code=False)
