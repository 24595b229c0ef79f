"""The miniature's judge, which compares with the right answers (see mmdpo/nano/oracle.py)."""

from __future__ import annotations

from mmdpo.nano import oracle
from mmdpo.records import Prompt

RATES_BY = "helpsteer_1"
NEEDS_FACTS = True

rate = oracle.rate


def reference_answer(prompt: Prompt) -> str:
    """Return the right answer as a whole sentence."""
    return str(prompt.facts["full"])
