"""The marker `<image>`, which stands in a text where an image stands."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from mmdpo.records import ImagePosition
from mmdpo.sources.bad_rows import BadRow

MARKER = "<image>"


def split_markers(text: str) -> tuple[str, tuple[int, ...]]:
    """Remove all markers from a text.

    A marker with its own line at the start or the end takes that line with it. If markers stand elsewhere, spaces at
    both ends of the text are removed.

    Returns:
        The text, and the number of its characters before each marker.
    """
    first, last = 0, 0
    while text.startswith(MARKER + "\n"):
        text, first = text.removeprefix(MARKER + "\n"), first + 1
    while text.endswith("\n" + MARKER):
        text, last = text.removesuffix("\n" + MARKER), last + 1
    inner: list[int] = []
    if MARKER in text:
        pieces = text.split(MARKER)
        joined = "".join(pieces)
        text = joined.strip()
        before = len(joined) - len(joined.lstrip())
        lengths = [len("".join(pieces[: index + 1])) for index in range(len(pieces) - 1)]
        inner = [min(max(length - before, 0), len(text)) for length in lengths]
    return text, (*[0] * first, *inner, *[len(text)] * last)


def join_markers(texts: Sequence[str], images: int, positions: Sequence[ImagePosition]) -> list[str]:
    """Put a marker into the texts of a conversation for each image.

    Args:
        texts: Texts of the turns.
        images: Number of images.
        positions: Place of each image; empty if all stand before the first text.

    Returns:
        The texts with markers, from which `split_markers` restores texts and places.
    """
    marked = list(texts)
    if images and not positions:
        marked[0] = f"{MARKER}\n" * images + marked[0]
    for position in sorted(positions, key=lambda one: (one.turn, one.offset), reverse=True):
        text, whole = marked[position.turn], texts[position.turn]
        before, after = text[: position.offset], text[position.offset :]
        if not position.offset:
            marked[position.turn] = f"{MARKER}\n{text}"
        elif position.offset == len(whole):
            marked[position.turn] = f"{before}\n{MARKER}{after}"
        else:
            marked[position.turn] = f"{before}{MARKER}{after}"
    return marked


def forbid_markers(texts: Iterable[str], name: str) -> None:
    """Raise BadRow if a text contains the marker where no image can stand; `name` is the field in its message."""
    if any(MARKER in text for text in texts):
        raise BadRow(f"field {name!r}: image marker in text", f"allowed: text without {MARKER}")
