"""A control: prefers the longer answer whatever it says. Does the judge matter, or only the length?"""

from __future__ import annotations

from mmdpo.records import Prompt, Rating


def rate(prompt: Prompt, text: str) -> Rating:
    """One point of merit a word, up to 12; the attributes mean nothing by themselves."""
    words = len(text.split())
    first, second, third = (min(4, max(0, words - 4 * step)) for step in range(3))
    return Rating(first, second, third, complexity=0, verbosity=min(4, words // 3))
