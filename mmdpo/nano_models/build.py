"""Build of the miniature's models: train, evaluate, and write them with their card."""

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
from mmdpo.nano_models.card import card_text
from mmdpo.nano_models.measure import measure_all, pair_share, paired_difference, score_summary
from mmdpo.nano_models.processor import processor
from mmdpo.nano_models.training import NanoRecipe, train_base, tune

THREADS = 2
ITEMS = 400
"""Held-out questions per benchmark in the card."""
ITEMS_SEED = 7


def build(out: Path, seed: int, tuning_seeds: Sequence[int], scale: float, items: int = ITEMS) -> dict[str, Any]:
    """Train a base model, tune it with several seeds, evaluate all, and write models and card.

    Args:
        out: Folder to write to.
        seed: Seed of the base model.
        tuning_seeds: Seeds of visual tuning; the model of the first is kept.
        scale: Factor of the numbers of training steps.
        items: Held-out questions per benchmark.

    Returns:
        The card.
    """
    torch.set_num_threads(THREADS)
    recipe = NanoRecipe().scaled(scale)
    started = time.monotonic()
    steps = recipe.tower_steps + recipe.caption_steps + recipe.base_steps
    with progress("base model", steps) as advance:
        base, training = train_base(recipe, seed, _tick(advance))
    save_model(base, out / "instruct")
    seconds = round(time.monotonic() - started)
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        before = measure_all(base, processor(), folder, items, ITEMS_SEED, "test")
        entry: dict[str, Any] = {
            "seed": seed,
            "schooling": training,  # the key in the shipped card.json
            "seconds": seconds,
            "instruct": score_summary(before),
            "tunings": [],
        }
        for number, tuning_seed in enumerate(tuning_seeds):
            started = time.monotonic()
            model = retune(out / "instruct", recipe, tuning_seed)
            if number == 0:
                save_model(model, out / "llava")
            seconds = round(time.monotonic() - started)
            after = measure_all(model, processor(), folder, items, ITEMS_SEED, "test")
            entry["tunings"].append(
                {
                    "seed": tuning_seed,
                    "seconds": seconds,
                    "llava": score_summary(after),
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


def retune(instruct: Path, recipe: NanoRecipe, seed: int) -> LlavaForConditionalGeneration:
    """Run visual instruction tuning on a saved base model.

    Args:
        instruct: Folder of the base model.
        recipe: Number of steps and data of the tuning.
        seed: Seed of the tuning.

    Returns:
        The tuned model.
    """
    with suppress_library_output():
        model = LlavaForConditionalGeneration.from_pretrained(instruct, dtype=torch.float32)
    with progress("visual tuning", recipe.tuning_steps) as advance:
        return tune(model, recipe, seed, _tick(advance))


def save_model(model: LlavaForConditionalGeneration, folder: Path) -> None:
    """Write model, generation settings and processor to one folder, completely or not at all."""
    with suppress_library_output(), atomic_write(folder) as partial:
        model.save_pretrained(partial)
        processor().save_pretrained(partial)


def merge_cards(out: Path, cards: Sequence[Path]) -> None:
    """Write the card of the first build with the base models of all builds."""
    first, *others = [read_json(card) for card in cards]
    bases = [base for card in (first, *others) for base in card["bases"]]
    write_card(out, first | {"bases": bases})


def write_card(out: Path, card: dict[str, Any]) -> None:
    """Write the card as JSON and as Markdown."""
    write_json(out / "card.json", card)
    with atomic_write(out / "card.md") as partial:
        partial.write_text(card_text(card), encoding="utf-8")
    print_line(f"The models and their card are in {out}")


def _tick(advance: Callable[[int], None]) -> Callable[[], None]:
    return lambda: advance(1)
