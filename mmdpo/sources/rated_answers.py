"""Choice of a preference pair among several rated answers to one prompt."""

from __future__ import annotations

import random
from collections.abc import Sequence

from mmdpo.files import fingerprint
from mmdpo.sources.bad_rows import SkippedRow


def best_and_worse(prompt: str, answers: Sequence[tuple[str, float]], seed: int, margin: float = 0) -> tuple[str, str]:
    """Choose the best answer and a random one among those that are rated lower.

    Args:
        prompt: The prompt; the random choice depends on it and on the seed alone.
        answers: Texts and scores.
        seed: Seed of the choice.
        margin: Smallest difference of scores.

    Returns:
        The texts of the chosen and the rejected answer.

    Raises:
        SkippedRow: No answer is rated low enough.
    """
    chosen, best = max(answers, key=lambda answer: answer[1], default=("", 0.0))
    worse = [text for text, score in answers if score < best and score <= best - margin]
    if not worse:
        scores = ", ".join(f"{score:g}" for _, score in answers) or "missing"
        allowed = f"one that is {margin:g} below the best" if margin else "one that is below the best"
        raise SkippedRow("too close", f"the answers' scores are {scores}; allowed: {allowed}")
    return chosen, random.Random(fingerprint([seed, prompt])).choice(worse)
