"""Make the miniature's models anew: train, measure, and write them with their card."""

from __future__ import annotations

import platform
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
import transformers
from transformers import LlavaForConditionalGeneration

from mmdpo.console import print_line, progress
from mmdpo.files import atomic_write, file_fingerprint, read_json, write_json
from mmdpo.models.library_output import suppress_library_output
from mmdpo.nano_models.card import text as card_text
from mmdpo.nano_models.measure import digest, measure, pair_share, paired_difference
from mmdpo.nano_models.processor import processor
from mmdpo.nano_models.training import Recipe, train_base, tune

THREADS = 2
ITEMS = 400
"""Held-out questions a benchmark in the card."""
ITEMS_SEED = 7


def build(out: Path, seed: int, tuning_seeds: Sequence[int], scale: float, items: int = ITEMS) -> dict[str, Any]:
    """Train a base, tune it with each of `tuning_seeds` (the first is kept), measure, write the card."""
    torch.set_num_threads(THREADS)
    recipe = Recipe().scaled(scale)
    started = time.monotonic()
    steps = recipe.tower_steps + recipe.caption_steps + recipe.base_steps
    with progress("base model", steps) as advance:
        base, schooling = train_base(recipe, seed, _tick(advance))
    save(base, out / "instruct")
    seconds = round(time.monotonic() - started)
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        before = measure(base, processor(), folder, items, ITEMS_SEED, "test")
        entry: dict[str, Any] = {
            "seed": seed,
            "schooling": schooling,
            "seconds": seconds,
            "instruct": digest(before),
            "tunings": [],
        }
        for number, tuning_seed in enumerate(tuning_seeds):
            started = time.monotonic()
            model = retune(out / "instruct", recipe, tuning_seed)
            if number == 0:
                save(model, out / "llava")
            seconds = round(time.monotonic() - started)
            after = measure(model, processor(), folder, items, ITEMS_SEED, "test")
            entry["tunings"].append(
                {
                    "seed": tuning_seed,
                    "seconds": seconds,
                    "llava": digest(after),
                    "text_change": paired_difference(before["text"], after["text"]),
                    "visual_change": paired_difference(before["visual"], after["visual"]),
                    "pair_share": pair_share(model, processor(), folder, min(items, 200), ITEMS_SEED),
                }
            )
    card = {
        "bases": [entry],
        "recipe": asdict(recipe),
        "threads": THREADS,
        "versions": {"torch": torch.__version__, "transformers": transformers.__version__},
        "machine": platform.machine(),
        "weights": {name: file_fingerprint(out / name / "model.safetensors") for name in ("instruct", "llava")},
    }
    write_card(out, card)
    return card


def retune(instruct: Path, recipe: Recipe, seed: int) -> LlavaForConditionalGeneration:
    """The saved base model after visual instruction tuning with this seed."""
    with suppress_library_output():
        model = LlavaForConditionalGeneration.from_pretrained(instruct, dtype=torch.float32)
    with progress("visual tuning", recipe.tuning_steps) as advance:
        return tune(model, recipe, seed, _tick(advance))


def save(model: LlavaForConditionalGeneration, folder: Path) -> None:
    """Model, generation settings and processor in one folder, which appears whole or not at all."""
    with suppress_library_output(), atomic_write(folder) as aside:
        model.save_pretrained(aside)
        processor().save_pretrained(aside)


def merge_cards(out: Path, cards: Sequence[Path]) -> None:
    """Write the card of the first build with the bases of all of them."""
    first, *others = [read_json(card) for card in cards]
    bases = [base for card in (first, *others) for base in card["bases"]]
    write_card(out, first | {"bases": bases})


def write_card(out: Path, card: dict[str, Any]) -> None:
    """The card as JSON and as text."""
    write_json(out / "card.json", card)
    with atomic_write(out / "card.md") as aside:
        aside.write_text(card_text(card), encoding="utf-8")
    print_line(f"The models and their card are in {out}")


def _tick(advance: Callable[[int], None]) -> Callable[[], None]:
    return lambda: advance(1)
