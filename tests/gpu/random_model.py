"""A random LLaVA of the benchmarks, and preference pairs for it."""

from __future__ import annotations

import random
import sys
from pathlib import Path
from typing import Any

import pytest

from mmdpo.records import PreferencePair

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"
IMAGES = 2


def benchmark(name: str) -> Any:
    """Import a script of benchmarks/."""
    import importlib

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "path", [str(BENCHMARKS), *sys.path])
        return importlib.import_module(name)


def save_random_model(folder: Path, widths: tuple[int, ...], sharper: float = 1.0) -> None:
    """Write a model with its processor, and images.

    Args:
        folder: Gets the files.
        widths: Those of `random_llava.Widths`.
        sharper: Factor of the language model's weights; a larger one makes answers differ in likelihood.
    """
    import numpy as np

    script = benchmark("random_llava")
    model = script.random_llava(folder, script.Widths(*widths))
    for weight in (*model.model.language_model.layers.parameters(), *model.get_output_embeddings().parameters()):
        if weight.dim() > 1:
            weight.data *= sharper
    model.save_pretrained(folder)
    noise = np.random.default_rng(0)
    for number in range(IMAGES):
        script.save_noise(folder / f"{number}.png", noise)


def random_pairs(count: int, prompt: tuple[int, int], answer: tuple[int, int], text_only: int) -> list[PreferencePair]:
    """Make pairs of random words; every `text_only`-th has no image.

    Args:
        count: Number of pairs.
        prompt: Fewest and most words of a question.
        answer: Fewest and most words of an answer.
        text_only: Distance of pairs without an image; 0 for none.
    """
    rng = random.Random(0)

    def words(low: int, high: int) -> str:
        return " ".join(f"w{rng.randrange(2000)}" for _ in range(rng.randint(low, high)))

    def images(number: int) -> tuple[str, ...]:
        return () if text_only and number % text_only == 0 else (f"{number % IMAGES}.png",)

    return [
        PreferencePair(f"pair-{number}", words(*prompt), words(*answer), words(*answer), images(number))
        for number in range(count)
    ]
