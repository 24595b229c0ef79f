"""Card of the miniature's models as Markdown."""

from __future__ import annotations

from collections.abc import Iterator
from statistics import mean, stdev
from typing import Any

GATE = 0.8
"""Presence accuracy that a model needs for conclusions about its vision."""


def card_text(card: dict[str, Any]) -> str:
    """Render the card as Markdown."""
    return "\n".join([_made(card), *_scores(card), "", *_changes(card)]) + "\n"


_MADE = """\
# The nano models

Two LLaVA-shaped models of half a million parameters for a world of coloured shapes and bar charts.
`instruct` stands for the instruction-tuned language model (the paper's Vicuna), `llava` for the same model after
visual instruction tuning. They show that a pipeline works, and the direction of an effect. Their numbers do not
carry over to models of 13 billion parameters.

## How they were made

`python -m mmdpo.nano_models build --seed {seed}`: {seconds} s for the base and {tuning_seconds} s for a tuning on
{threads} cores ({machine}, torch {torch}, transformers {transformers}, fp32).

1. The vision tower, a stand-in for CLIP, is trained to classify the content of each patch ({tower_steps} steps),
   and then frozen. Its accuracies at the end: {shares} (colour, kind, value). The projector is fitted to the
   language model's word embeddings by least squares.
2. `instruct` is trained to look up words: {caption_steps} steps (lr {base_lr:g}) of captions of images, and of
   lists in words, that repeat the same content in random order. Two heads of the first layer are initialized to
   attend one and two tokens back. Without these two measures, models of this size learned well-formed answers
   that ignore the image.
3. `instruct` is trained to converse: {base_steps} steps (lr {base_lr:g}) of {base[images]} conversations about
   images and {base[texts]} in text. {base[brief]:.0%} of the questions contain "Answer briefly." and get an answer
   of one word; {base[attributes]:.0%} ask for ratings and get an answer with these ratings;
   {base[unrelated]:.0%} of the text conversations follow an unrelated image.
4. `llava`: {tuning_steps} more steps (lr {tuning_lr:g}) of {tuning[images]} conversations about images and none in
   text; {tuning[terse]:.0%} of the unmarked questions get an answer of one word.

All steps but the first train the projector and the language model, and all use the split `base` only. The results
below are measured on the split `test`, which shares no scene, chart or text instruction with it. The recipe was
chosen for grounding (presence accuracy) after two others had been measured on that split; judge and questions were
fixed throughout.
"""
_READING = """\
## Scores

Scores are 1..10 (1 + 9 x quality / 12, the quality by the fixed rules of `mmdpo/nano/oracle.py`), with 95 %
bootstrap intervals over the questions (n = {n} per benchmark), of greedy answers. `c h k` are correctness,
helpfulness and coherence (0..4): if only the last two fall, the model has lost the form of its answers and
not their content.
"""


def _made(card: dict[str, Any]) -> str:
    shipped = card["bases"][0]
    shares = ", ".join(f"{share:.2f}" for share in shipped["schooling"]["patch_accuracy"])
    known = card["recipe"] | card["versions"] | {name: card[name] for name in ("threads", "machine")}
    known |= {"seed": shipped["seed"], "seconds": shipped["seconds"], "shares": shares}
    return _MADE.format(**known, tuning_seconds=shipped["tunings"][0]["seconds"])


def _scores(card: dict[str, Any]) -> Iterator[str]:
    shipped = card["bases"][0]
    yield _READING.format(n=shipped["instruct"]["text"]["n"])
    columns = "base,model,text,c h k,words,near,far,noisy text,visual,c h k,words,presence accuracy".split(",")
    yield from (f"| {' | '.join(columns)} |", "|---" * len(columns) + "|")
    for base in card["bases"]:
        yield _row(base["seed"], "instruct", base["instruct"])
        for tuning in base["tunings"]:
            yield _row(base["seed"], f"llava, tuning seed {tuning['seed']}", tuning["llava"])
    yield from (
        "",
        f"Shipped are base seed {shipped['seed']} and tuning seed {shipped['tunings'][0]['seed']}.",
    )


def _row(seed: int, name: str, scores: dict[str, Any]) -> str:
    parts = [
        f"{seed}",
        name,
        _with_interval(scores["text"]),
        _attributes(scores["text"]),
        f"{scores['text']['words']:.1f}",
        _with_interval(scores["text_near"]),
        _with_interval(scores["text_far"]),
        _with_interval(scores["noisy_text"]),
        _with_interval(scores["visual"]),
        _attributes(scores["visual"]),
        f"{scores['visual']['words']:.1f}",
        _with_interval(scores["presence_accuracy"]),
    ]
    return f"| {' | '.join(parts)} |"


def _with_interval(value: dict[str, Any]) -> str:
    return f"{value['mean']:.2f} [{value['low']:.2f}, {value['high']:.2f}]"


def _attributes(value: dict[str, Any]) -> str:
    return f"{value['correctness']:.1f} {value['helpfulness']:.1f} {value['coherence']:.1f}"


def _changes(card: dict[str, Any]) -> Iterator[str]:
    yield "## Changes by visual tuning (same questions, paired)"
    yield ""
    yield "| base | tuning seed | text | visual | prompts whose 4 samples (T 0.7) make a pair | gate |"
    yield "|---|---|---|---|---|---|"
    changes = []
    for base in card["bases"]:
        for tuning in base["tunings"]:
            changes.append(tuning["text_change"]["mean"])
            yield (
                f"| {base['seed']} | {tuning['seed']} | {_with_interval(tuning['text_change'])} | "
                f"{_with_interval(tuning['visual_change'])} | {_with_interval(tuning['pair_share'])} | "
                f"{'met' if gate(tuning) else 'NOT met'} |"
            )
    yield ""
    spread = f" (standard deviation {stdev(changes):.2f})" if len(changes) > 1 else ""
    yield f"Text changes by {mean(changes):+.2f} in the mean of {len(changes)} tunings{spread}."
    yield f"The gate: presence accuracy above {GATE}, and an interval of the text change wholly below 0."


def gate(tuning: dict[str, Any]) -> bool:
    """Return whether a tuned model uses images, and is worse at text questions than before, as the miniature must."""
    return bool(tuning["llava"]["presence_accuracy"]["mean"] > GATE and tuning["text_change"]["high"] < 0)
