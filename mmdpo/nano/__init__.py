"""The miniature: a small world, two small LLaVA-shaped models that live in it, and questions to ask them."""

from __future__ import annotations

from pathlib import Path

WEIGHTS = Path(__file__).parent / "weights"
"""The shipped models: `instruct` (before visual instruction tuning) and `llava` (after it)."""

INSTRUCT = WEIGHTS / "instruct"
LLAVA = WEIGHTS / "llava"

DATA_VERSION = 1
"""Version of the generated questions, pictures and right answers; raise it when any of them changes."""
