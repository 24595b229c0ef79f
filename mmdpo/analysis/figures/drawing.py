"""Settings of all figures that are drawn together, such as figures without titles for a paper."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass


@dataclass(frozen=True)
class Drawing:
    """Settings of figures.

    Attributes:
        plain: Whether to leave out the title and the notes below, which stand in a text file beside each figure anyway.
        smooth: The number of logged steps in the running mean of learning curves; 1 draws each step as it was logged.
        heading: What the shown points have in common, for a study that is drawn in several parts.
    """

    plain: bool = False
    smooth: int = 1
    heading: str = ""


_CURRENT: ContextVar[Drawing | None] = ContextVar("drawing", default=None)


def current() -> Drawing:
    """Return the settings of the figures that are drawn now."""
    return _CURRENT.get() or Drawing()


@contextmanager
def drawn_with(drawing: Drawing) -> Iterator[None]:
    """Apply settings to all figures that are drawn within the block."""
    token = _CURRENT.set(drawing)
    try:
        yield
    finally:
        _CURRENT.reset(token)
