"""Suppression of the libraries' notes, warnings and progress bars, except for warnings that something was not done."""

from __future__ import annotations

import logging
import os
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from mmdpo.console import print_line
from mmdpo.logs import write_log_once

LIBRARIES = ("transformers", "trl", "peft", "accelerate", "datasets", "huggingface_hub", "torch")
NOT_DONE = re.compile(
    r"newly initialized|reinit|not (?:been )?(?:initialized|loaded|applied|found|used|supported|trained)"
    r"|missing|unexpected|mismatch|ignor|no effect|unused|truncat|corrupt|will be skipped|skipping|fall(?:ing)? back"
    r"|not (?:in|part of) the|does not (?:support|match|have)|failed|could not|unable to",
    re.IGNORECASE,
)
"""Words of warnings that something was left out, replaced or not done as asked."""

HARMLESS = re.compile(
    r"generation flags are not valid|incompatible with gradient checkpointing|use_reentrant|deprecat", re.IGNORECASE
)
"""Words of warnings that match NOT_DONE and change no result."""

LENGTH = 400  # characters of a warning that is shown
_shown: set[str] = set()


@contextmanager
def suppress_library_output() -> Iterator[None]:
    """Hide notes, warnings and bars of Hugging Face's libraries within the block.

    Errors are shown, and so are warnings that something was not done; each once per process. The log of the point
    gets the other warnings too.
    """
    import torch
    from huggingface_hub.utils import are_progress_bars_disabled, disable_progress_bars, enable_progress_bars
    from transformers.utils import logging as transformers_logging

    if not torch.cuda.is_available():
        os.environ.setdefault("DS_ACCELERATOR", "cpu")  # otherwise DeepSpeed prints that it found no GPU
    before = {name: _state(logging.getLogger(name)) for name in LIBRARIES}
    hub_bars, bars = not are_progress_bars_disabled(), transformers_logging.is_progress_bar_enabled()
    for name, (_, handlers, _) in before.items():
        logger = logging.getLogger(name)
        logger.setLevel(logging.WARNING)
        logger.handlers, logger.propagate = [_ShowNotDone(handlers)], False
    transformers_logging.disable_progress_bar()
    disable_progress_bars()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("always")
            warnings.showwarning = _show_warning
            yield
    finally:
        for name, (level, handlers, propagate) in before.items():
            logger = logging.getLogger(name)
            logger.setLevel(level)
            logger.handlers, logger.propagate = handlers, propagate
        if bars:
            transformers_logging.enable_progress_bar()
        if hub_bars:
            enable_progress_bars()


def _state(logger: logging.Logger) -> tuple[int, list[logging.Handler], bool]:
    return logger.level, logger.handlers, logger.propagate


class _ShowNotDone(logging.Handler):
    """Handler that passes errors on and shows warnings that something was not done."""

    def __init__(self, others: list[logging.Handler]) -> None:
        super().__init__(logging.WARNING)
        last_resort = [logging.lastResort] if logging.lastResort else []
        self.others = others or logging.getLogger().handlers or last_resort

    def emit(self, record: logging.LogRecord) -> None:
        if record.levelno >= logging.ERROR:
            for handler in self.others:
                handler.handle(record)
        else:
            _show(record.name.partition(".")[0], record.getMessage())


def _show_warning(
    message: Warning | str, category: type[Warning], filename: str, lineno: int, file: Any = None, line: Any = None
) -> None:
    if issubclass(category, (DeprecationWarning, FutureWarning, PendingDeprecationWarning, ResourceWarning)):
        write_log_once(f"{filename}:{lineno}: {category.__name__}: {message}")
    else:
        parts = filename.replace(os.sep, "/").rpartition("/site-packages/")[2].split("/")
        _show(parts[0] if len(parts) > 1 else "python", str(message))


def _show(library: str, message: str) -> None:
    """Print a library's warning if it says that something was not done, unless it was printed before."""
    text = " ".join(message.split())
    if NOT_DONE.search(text) and not HARMLESS.search(text) and text not in _shown:
        _shown.add(text)
        print_line(f"warning of {library}: {text[:LENGTH]}")
    else:
        write_log_once(f"warning of {library}: {text}")
