"""Output to terminals and files whose encoding lacks some characters."""

from __future__ import annotations

import codecs
import sys

ASCII = {"±": "~", "–": "-", "−": "-", "·": "-", "×": "x", "…": ".", "│": "|", "─": "-", "━": "-"}
"""Stand-ins for characters of tables and messages; one for one, so that columns stay."""

HANDLER = "mmdpo.stand_in"


def tolerate_any_encoding() -> None:
    """Let standard output and error take every character, with stand-ins for those that their encoding lacks."""
    codecs.register_error(HANDLER, _stand_in)
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):  # a stream that a notebook or test has put there may have none
            stream.reconfigure(errors=HANDLER)


def _stand_in(error: UnicodeError) -> tuple[str, int]:
    """Replace the characters that cannot be encoded."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    return "".join(ASCII.get(character, "?") for character in error.object[error.start : error.end]), error.end
