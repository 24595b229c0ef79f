"""Chat templates rendered without loading a processor, to show a prompt as a model gets it."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, NoReturn

from mmdpo.config.schema import ModelConfig
from mmdpo.errors import UserError
from mmdpo.models.fingerprints import cached_snapshot
from mmdpo.models.messages import to_messages
from mmdpo.models.paths import resolve_path, template
from mmdpo.records import Conversation

TEMPLATE_FILES = ("chat_template.jinja", "chat_template.json", "processor_config.json", "tokenizer_config.json")
GENERATION = re.compile(r"\{%-?\s*(end)?generation\s*-?%\}")
"""Tags of transformers around what the assistant says; they render nothing."""


def chat_template(model: ModelConfig) -> str | None:
    """Return the text of a model's chat template; None if the model is not on this disk, or has none."""
    if model.chat_template:
        return template(model.chat_template)
    folder = _folder(model)
    for name in TEMPLATE_FILES if folder else ():
        file = Path(folder or "") / name
        if file.is_file():
            text = file.read_text(encoding="utf-8")
            found = text if file.suffix == ".jinja" else json.loads(text).get("chat_template")
            if isinstance(found, str):
                return found
    return None


def rendered_prompt(model: ModelConfig, record: Conversation) -> str:
    """Render the prompt of a record by a model's chat template, up to where the model answers.

    Raises UserError if the template refuses the turns, as one without a system turn does.
    """
    text = chat_template(model)
    if text is None:
        raise UserError(f"model.path={model.path}: has no chat template on this disk")
    return render(text, to_messages(record), _special_tokens(model), f"model.path={model.path}")


def render(text: str, messages: Sequence[dict[str, Any]], tokens: dict[str, str], name: str) -> str:
    """Render messages by a template with the environment that transformers gives it.

    Args:
        text: The template.
        messages: Messages with `role` and `content`.
        tokens: The tokenizer's special tokens by name, such as `bos_token`.
        name: The setting that errors name.

    Returns:
        The prompt.

    Raises:
        UserError: The template is wrong or refuses the messages.
    """
    from jinja2 import TemplateError
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    environment = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=["jinja2.ext.loopcontrols"]
    )
    environment.filters["tojson"] = lambda value, **options: json.dumps(value, ensure_ascii=False, **options)
    environment.globals |= {"raise_exception": _refuse, "strftime_now": lambda form: datetime.now().strftime(form)}
    try:
        compiled = environment.from_string(GENERATION.sub("", text))
        return compiled.render(messages=list(messages), add_generation_prompt=True, **tokens)
    except (TemplateError, TypeError, ValueError) as error:
        raise UserError(f"{name}: its chat template refuses these turns ({error})") from error


def _refuse(message: str) -> NoReturn:
    from jinja2 import TemplateError

    raise TemplateError(message)


def _folder(model: ModelConfig) -> str | None:
    path = resolve_path(model.path)
    return path if Path(path).is_dir() else str(cached_snapshot(path) or "") or None


def _special_tokens(model: ModelConfig) -> dict[str, str]:
    file = Path(_folder(model) or "") / "tokenizer_config.json"
    config: dict[str, Any] = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}
    tokens = {name: config.get(name) for name in ("bos_token", "eos_token", "pad_token", "unk_token")}
    contents = {name: token.get("content") if isinstance(token, dict) else token for name, token in tokens.items()}
    return {name: token for name, token in contents.items() if isinstance(token, str)}
