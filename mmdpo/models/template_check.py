"""A test of a model's chat template before anything is rendered by it."""

from __future__ import annotations

from typing import Any

from mmdpo.console import print_line
from mmdpo.errors import UserError
from mmdpo.models.bounded import TooSlow, run_bounded
from mmdpo.models.paths import templates

QUESTION, ANSWER = "Which way is north", "North is up"
TODAY = "strftime_now"  # the function of templates that tells the time
LONG = 20_000  # characters: shows a template whose time grows faster than its text

_passed: set[str] = set()
"""Templates that this process has tested."""


def require_template(processor: Any, setting: str) -> None:
    """Test that a chat template renders a question with its answer, keeps both texts, and ends soon.

    A template is a program that comes with the model. Its sandbox limits neither time nor memory, so the test has
    limits of its own. A template that writes the date is reported.

    Args:
        processor: The model's processor with its chat template.
        setting: The override that chose the template, as in `model.path=FOLDER`.

    Raises:
        UserError: The template fails, drops a text, or takes too long.
    """
    key = repr(processor.chat_template)
    if key in _passed:
        return
    try:
        reason = run_bounded(lambda: _problem(processor))
    except TooSlow as error:
        reason = str(error)
    if reason is None:
        _passed.add(key)
        if TODAY in key:
            print_line(f"{setting}: its chat template writes today's date into prompts: results differ from day to day")
    else:
        raise UserError(f"{setting}: its chat template cannot be used: {reason}. {advice()}")


def render_failure(error: Exception) -> str:
    """Describe an error of a template that renders a conversation of the data."""
    return f"The model's chat template cannot render a conversation ({type(error).__name__}: {error}). {advice()}"


def advice() -> str:
    """Name the overrides that choose another template."""
    return f"Type model.chat_template= with one of {', '.join(templates())}, or model.path= with another model"


def _problem(processor: Any) -> str | None:
    question, answer = _message("user", QUESTION), _message("assistant", ANSWER)
    prompt, whole = (
        processor.apply_chat_template(messages, add_generation_prompt=begins, tokenize=False)
        for messages, begins in (([question], True), ([question, answer], False))
    )
    if QUESTION not in prompt or QUESTION not in whole or ANSWER not in whole:
        return "it leaves out the text of a message"
    try:
        turns = [question, answer, _message("user", "North " * (LONG // 6))]
        processor.apply_chat_template(turns, add_generation_prompt=True, tokenize=False)
    except Exception:  # what data without earlier turns does not need
        return None
    return None


def _message(role: str, text: str) -> dict[str, Any]:
    return {"role": role, "content": [{"type": "text", "text": text}]}
