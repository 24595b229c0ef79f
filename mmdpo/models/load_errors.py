"""Translation of what libraries raise when they load a user's files."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.util import find_spec

from mmdpo.errors import UserError

REASON_CHARACTERS = 500
RECORDS = 5  # that an error lists
EXTRA = "vision"  # of pyproject.toml
PACKAGES = {
    "torchvision": ("torchvision", "video processor", "videoprocessor"),
    "num2words": ("num2words",),
    "timm": ("timm",),
    "sentencepiece": ("sentencepiece",),
    "tiktoken": ("tiktoken",),
}
"""Packages of the extra, with the words by which libraries' errors mention them, in lower case."""


@contextmanager
def translate_load_errors(setting: str, what: str) -> Iterator[None]:
    """Raise a UserError in place of what a library raises on files that it cannot load.

    Libraries raise many types on damaged or foreign files: OSError, KeyError, TypeError, SafetensorError, ImportError
    of a missing package, RecursionError. Lack of memory stays as it is.

    Args:
        setting: The override that names the files, as in `model.path=FOLDER`.
        what: What is loaded, as in `model`.

    Raises:
        UserError: The files cannot be loaded; the message begins with the setting.
    """
    try:
        yield
    except (UserError, MemoryError):
        raise
    except Exception as error:
        if _is_out_of_memory(error):
            raise
        raise UserError(f"{setting}: no {what} can be loaded from it. {load_reason(error)}") from error


@contextmanager
def translate_processor_errors(processor: object, records: Sequence[str]) -> Iterator[None]:
    """Raise a UserError in place of what a processor raises on texts and images that it cannot process.

    Args:
        processor: The model's processor.
        records: Ids of the records, for the message.

    Raises:
        UserError: The processor does not take the records.
    """
    try:
        yield
    except (UserError, MemoryError):
        raise
    except Exception as error:
        names = ", ".join(records[:RECORDS]) + (f" and {len(records) - RECORDS} more" if len(records) > RECORDS else "")
        raise UserError(
            f"model.path: its {type(processor).__name__} does not take a text or an image of {names} "
            f"({load_reason(error)}). Remove the record, or type model.path= with another model"
        ) from error


def load_reason(error: Exception) -> str:
    """Describe why files cannot be loaded, with the command that installs a missing package."""
    text = str(error)
    if missing := _missing_packages(text):
        return (
            f"It needs {' and '.join(missing)}: type pip install 'mmdpo[{EXTRA}]', or in a checkout "
            f"pip install -e '.[{EXTRA}]' -c constraints.txt"
        )
    if "custom code" in text or "trust_remote_code" in text:
        return "It needs code that comes with its files, and mmdpo runs none; use a model that transformers knows"
    if "ignore_mismatched_sizes" in text:
        return "Its weights have other shapes than its config.json says"
    if text_model := re.match(r"Unrecognized configuration class <class '[\w.]*\.(\w+)'>", text):
        return f"Its architecture ({text_model[1]}) takes no images, or is none that AutoModelForImageTextToText knows"
    name = "" if isinstance(error, (OSError, ValueError, ImportError)) else f"{type(error).__name__}: "
    return name + _shortened(error)


def _shortened(error: Exception) -> str:
    return " ".join(str(error).split())[:REASON_CHARACTERS]


def _missing_packages(text: str) -> list[str]:
    mentioned = text.lower()
    return [
        package
        for package, words in PACKAGES.items()
        if any(word in mentioned for word in words) and find_spec(package) is None
    ]


def _is_out_of_memory(error: Exception) -> bool:
    import torch

    return isinstance(error, torch.OutOfMemoryError)
