"""A judge of fixed rules for the miniature, whose right answers are known.

It rates by the attributes of the rubric helpsteer_1, from 0 to 4. The complete rules:
  correctness   the right words are there. `Prompt.facts` holds the words of the right answer and the words
                that could stand in their place; `facts["match"]` names the comparison.
  helpfulness   a full answer (a sentence around the bare words, with its reason if one was asked for) gets 4,
                bare words get 2. If brevity was asked for, few words get 4 and more words 2. A text that does
                not address the question gets 0, and no text gets more than correctness + 1.
  coherence     a sentence (capital letter, at least three words, full stop) gets 4, a fragment 2, unless
                brevity was asked for. A loop or a broken token costs 2 more.
  verbosity, complexity   styles: steps of the number of words, and of different words.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Sequence
from typing import Any

from mmdpo.records import Prompt, Rating, quality

QUALITY = ("helpfulness", "correctness", "coherence")
"""The attributes of which more is better."""
HIGHEST = 4
"""The highest rating of an attribute."""
NEGATIONS = frozenset(("no", "not", "none"))
LENGTHS = (2, 5, 10, 20)
"""The most words of an answer whose verbosity is 0, 1, 2 and 3."""
DISTINCT_WORDS_PER_STEP = 4
"""Number of different words that raises complexity by one."""


def rate(prompt: Prompt, text: str) -> Rating:
    """Rate one answer. Raises ValueError for a prompt without a known answer."""
    if "match" not in prompt.facts:
        raise ValueError(
            f"prompt {prompt.id!r} has no facts to judge by; the oracle judges the miniature's questions; "
            "for others use judge=gemini or judge=openai"
        )
    words = _words(text)
    correctness = _correctness(prompt.facts, words)
    return {
        "helpfulness": _helpfulness(prompt.facts, words, correctness),
        "correctness": correctness,
        "coherence": _coherence(text, words, brief=bool(prompt.facts.get("brief"))),
        "complexity": min(HIGHEST, len(set(words)) // DISTINCT_WORDS_PER_STEP),
        "verbosity": sum(len(words) > limit for limit in LENGTHS),
    }


def ten_point_score(rating: Rating) -> float:
    """Return a rating on MT-Bench's scale: 1 (quality 0) to 10 (quality 12)."""
    return 1 + 9 * quality(rating, QUALITY) / (HIGHEST * len(QUALITY))


def _words(text: str) -> list[str]:
    return re.findall(r"\w+", text.lower())


def _found(words: Sequence[str], choices: Collection[str]) -> list[str]:
    """Return the choices that occur, in order; a choice is one word or two."""
    known = {choice.lower() for choice in choices}
    found, index = [], 0
    while index < len(words):
        pair = " ".join(words[index : index + 2])
        if pair in known:
            found.append(pair)
            index += 2
            continue
        if words[index] in known:
            found.append(words[index])
        index += 1
    return found


def _overlap(found: Collection[str], answer: Collection[str]) -> float:
    """Return the shared words over all words of both: 1 if nothing is missing and nothing is wrong."""
    return len(set(found) & set(answer)) / max(1, len(set(found) | set(answer)))


def _set(words: list[str], answer: list[str], choices: list[str]) -> int:
    return int(4 * _overlap(_found(words, choices), answer))


def _covers(words: list[str], answer: list[str], choices: list[str]) -> int:
    return int(4 * len(set(_found(words, choices)) & set(answer)) / len(set(answer)))


def _ordered(words: list[str], answer: list[str], choices: list[str]) -> int:
    found = _found(words, choices)
    return 4 if found == answer else int(2 * _overlap(found, answer))


def _final(words: list[str], answer: list[str], choices: list[str]) -> int:
    return 4 if _found(words, choices)[-1:] == answer else 0


def _absent(words: list[str], answer: list[str], choices: list[str]) -> int:
    if NEGATIONS.isdisjoint(words):
        return 0
    return 1 if _found(words, choices) else 4


MATCHES: dict[str, Callable[[list[str], list[str], list[str]], int]] = {
    "set": _set,  # these words and no others, in any order
    "covers": _covers,  # these words; others may be there too
    "ordered": _ordered,  # these words and no others, in this order; half for the right words in another
    "final": _final,  # the last of the words that count is this one
    "absent": _absent,  # the question's presupposition is false
}


def polarity(words: Sequence[str]) -> bool | None:
    """Return whether a text affirms (True) or denies (False); None if it does neither."""
    if not NEGATIONS.isdisjoint(words):
        return False
    if "yes" in words or list(words[:2]) in (["there", "is"], ["there", "are"]):
        return True
    return None


def _correctness(facts: dict[str, Any], words: list[str]) -> int:
    answer = [word.lower() for word in facts["answer"]]
    if facts["match"] != "polarity":
        return MATCHES[facts["match"]](words, answer, facts["choices"])
    if polarity(words) is not (answer == ["yes"]):
        return 0
    reason = [word.lower() for word in facts.get("reason", [])]
    given = [word for word in _found(words, facts["choices"]) if word != "yes" and word not in NEGATIONS]
    return 4 if not given or given == reason else 2


def _helpfulness(facts: dict[str, Any], words: list[str], correctness: int) -> int:
    touched = set(_found(words, facts["choices"]))
    if facts["match"] == "absent":
        touched |= NEGATIONS & set(words)
    if facts["match"] == "polarity" and polarity(words) is not None:
        touched.add("yes")
    if not touched:
        return 0
    if facts.get("brief"):
        form = 4 if len(words) <= len(_words(facts["short"])) + 2 else 2
    else:
        bare = {part for choice in touched for part in choice.split()}
        form = 4 if len([word for word in words if word not in bare]) >= 2 else 2
        if form == 4 and "reason" in facts and "because" not in words:
            form = 3
        if len(words) > 3 * len(_words(facts["full"])):
            form -= 1
    return min(form, correctness + 1)


def _coherence(text: str, words: list[str], brief: bool) -> int:
    if not words:
        return 0
    sentence = text[0].isupper() and text.rstrip().endswith((".", "!", "?")) and len(words) >= 3
    form = 4 if sentence or brief else 2
    broken = re.search(r"<\w+>|</\w+>|\ufffd", text) is not None
    return max(0, form - 2 * _loops(text, words) - 2 * broken)


def _loops(text: str, words: Sequence[str]) -> bool:
    """Return whether a word is repeated at once, several words twice at once, or a sentence anywhere."""
    sentences = [part for sentence in re.split(r"[.!?]", text.lower()) if (part := " ".join(sentence.split()))]
    if len(set(sentences)) < len(sentences):
        return True
    for length in range(1, len(words) // 2 + 1):
        times = 2 if length == 1 else 3
        for start in range(len(words) - times * length + 1):
            run = words[start : start + length]
            if words[start : start + times * length] == [*run] * times:
                return True
    return False
