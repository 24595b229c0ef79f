"""Suppression of the libraries' notes, warnings and progress bars."""

from __future__ import annotations

import logging
import os
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from mmdpo.logs import write_log

LIBRARIES = ("transformers", "trl", "peft", "accelerate", "datasets", "huggingface_hub", "torch")


@contextmanager
def suppress_library_output() -> Iterator[None]:
    """Hide notes, warnings and bars of Hugging Face's libraries within the block; errors are shown.

    Warnings are written to the log of the point that runs.
    """
    import torch
    from huggingface_hub.utils import are_progress_bars_disabled, disable_progress_bars, enable_progress_bars
    from transformers.utils import logging as transformers_logging

    if not torch.cuda.is_available():
        os.environ.setdefault("DS_ACCELERATOR", "cpu")  # otherwise DeepSpeed prints that it found no GPU
    before = {name: _state(logging.getLogger(name)) for name in LIBRARIES}
    hub_bars, bars = not are_progress_bars_disabled(), transformers_logging.is_progress_bar_enabled()
    for name, (_, handlers, propagates) in before.items():
        shown = [*handlers, *(logging.getLogger().handlers if propagates else ())]
        _set_state(logging.getLogger(name), (logging.WARNING, [_ErrorsOnly(shown)], False))
    transformers_logging.disable_progress_bar()
    disable_progress_bars()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("default")
            warnings.showwarning = _log_warning
            yield
    finally:
        for name, (level, handlers, propagates) in before.items():
            logger = logging.getLogger(name)
            added = [one for one in logger.handlers if not isinstance(one, _ErrorsOnly)]  # by an import in the block
            _set_state(logger, (level, [*handlers, *added], propagates))
        if bars:
            transformers_logging.enable_progress_bar()
        if hub_bars:
            enable_progress_bars()


class _ErrorsOnly(logging.Handler):
    """Pass errors to the handlers of a logger, and write warnings to the log only."""

    def __init__(self, shown: Sequence[logging.Handler]) -> None:
        super().__init__()
        last = [logging.lastResort] if logging.lastResort is not None else []
        self.shown = shown or last
        self.setFormatter(logging.Formatter("%(levelname)s %(name)s: %(message)s"))

    def emit(self, record: logging.LogRecord) -> None:
        """Handle one record."""
        if record.levelno < logging.ERROR:
            write_log(self.format(record) + "\n")
            return
        for handler in self.shown:
            if record.levelno >= handler.level:
                handler.handle(record)


State = tuple[int, list[logging.Handler], bool]
"""Level, handlers and propagation of a logger."""


def _state(logger: logging.Logger) -> State:
    return logger.level, logger.handlers[:], logger.propagate


def _set_state(logger: logging.Logger, state: State) -> None:
    level, logger.handlers, logger.propagate = state
    logger.setLevel(level)


def _log_warning(
    message: Warning | str, category: type[Warning], filename: str, lineno: int, file: Any = None, line: Any = None
) -> None:
    write_log(f"{filename}:{lineno}: {category.__name__}: {message}\n")
