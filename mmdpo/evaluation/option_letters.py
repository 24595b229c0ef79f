"""The option that an answer to a multiple-choice question names, read by VLMEvalKit's fixed rules."""

from __future__ import annotations

import re
from collections.abc import Mapping

PUNCTUATION = str.maketrans(dict.fromkeys(".()[],:;!*#{}", " "))
LAST_WORDS = 4  # the letter must be among these words of an answer, or it may be the article "A"
FAILURE = "Failed to obtain answer via API"
REFUSALS = (
    "Sorry, I can't help with images of people yet.",
    "I can't process this file.",
    "I'm sorry, but without the image provided",
    "Cannot determine the answer",
)
"""Texts of VLMEvalKit that answers of services contain in place of an option."""

STATED = re.compile(r"(?i:answer\s+is)\s+\**([A-Z])\b")
STATED_UPSTREAM = re.compile(r"answer\s+is\s+\**([ABCD])", re.IGNORECASE)
"""As in VLMEvalKit, where "the answer is a dog" states the option A."""


def read_option(text: str, options: Mapping[str, str]) -> str | None:
    """Read the option that an answer names.

    Args:
        text: The answer.
        options: The texts of the options by their letters.

    Returns:
        The letter; None for an answer that names none or several.
    """
    return _read(text, options, STATED)


def read_option_as_upstream(text: str, options: Mapping[str, str]) -> str | None:
    """Read an answer as VLMEvalKit without a judge, with its errors; the arguments are those of `read_option`."""
    return _read(text, options, STATED_UPSTREAM)


def _read(text: str, options: Mapping[str, str], stated: re.Pattern[str]) -> str | None:
    if FAILURE not in text:
        if any(refusal in text for refusal in REFUSALS):
            return None
        words = text.translate(PUNCTUATION).split()
        letters = [letter for letter in options if letter in words]
        if len(letters) == 1 and words.index(letters[0]) >= len(words) - LAST_WORDS:
            return letters[0]
        if not letters and "Z" in words:
            return None
        if (found := stated.search(text)) and (letter := found[1].upper()) in options:
            return letter
    return _by_text(text.lower(), options)


def _by_text(text: str, options: Mapping[str, str]) -> str | None:
    """Return the only option whose text a short answer contains."""
    if len(text) > 2 * sum(map(len, options.values())):
        return None
    contained = [letter for letter, option in options.items() if option.lower() in text]
    return contained[0] if len(contained) == 1 else None
