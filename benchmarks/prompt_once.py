"""Count the positions that SteerLM and all pairs of a prompt take: `python benchmarks/prompt_once.py`.

The sets are the miniature's own, made by its sampler and its judge: SteerLM's four rated answers to each of 1000
prompts, and all pairs of a prompt (`pairs.rule=all`). Positions are those of the rows that the language model gets in
one epoch, padding included, in the batches of `train=nano`:

- separate: each answer in a row with its prompt, as in TRL;
- pairs: the two answers of a pair share its prompt (`train.prompt_once=false`);
- once: rows of a prompt share a batch, its prompt and its equal answers.

The last column has the CPU-seconds of a training on the rows of `PROMPTS` prompts, one epoch with LoRA on one core,
without reference log-probs. Positions for images of 576 tokens, as LLaVA-1.5's, are computed without padding.
"""

from __future__ import annotations

import json
import os
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

PROMPTS = 150  # of the timed trainings
SETS = {
    "SteerLM": ["method=steerlm"],
    "all pairs": ["method=dpo", "pairs.rule=all"],
}
IMAGE_TOKENS = 576  # of LLaVA-1.5


def main() -> None:
    """Print a table and, last, one JSON object."""
    import torch

    torch.set_num_threads(1)
    figures: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as name:
        os.environ["MMDPO_CACHE"] = str(Path(name) / "cache")
        for title, overrides in SETS.items():
            figures[title] = measure(overrides, Path(name))
    print(f"\n{'':<24}{'positions':>11}{'ratio':>8}{'576 an image':>15}{'ratio':>8}{'CPU s':>9}{'ratio':>8}")
    for title, ways in figures.items():
        once = ways["once"]
        for way, found in ways.items():
            print(f"{title + ', ' + way:<24}", end="")
            for key, width in (("positions", 11), ("wide", 15), ("seconds", 9)):
                text = f"{found[key]:.1f}" if key == "seconds" else f"{found[key]}"
                print(f"{text:>{width}}{found[key] / once[key]:>7.2f}x", end="")
            print()
    print(json.dumps(figures))


def measure(overrides: Sequence[str], folder: Path) -> dict[str, Any]:
    """Count the positions of a set and time its training in each way.

    Args:
        overrides: Overrides that choose the set.
        folder: Folder for the trainings.

    Returns:
        Positions per epoch, positions with wider images, and seconds, by the way.
    """
    from mmdpo.entry.compose import compose_config
    from mmdpo.models.loading import load_processor
    from mmdpo.pipeline.training_sets import training_set
    from mmdpo.training.collate import Collator
    from mmdpo.training.group_sampler import GroupSampler
    from mmdpo.training.prompt_groups import GROUP, prompt_groups, savings
    from mmdpo.training.rows import tokenize_examples

    config = compose_config([*overrides, "tracking=none"])
    data = training_set(config)
    processor, size = load_processor(config.model), config.train.per_device_train_batch_size
    tokenized = tokenize_examples(data.examples, data.image_root, processor, config.train)
    groups = prompt_groups(tokenized.examples, tokenized.rows)
    assert groups is not None
    saved = savings(tokenized.rows, groups)
    answers = len(tokenized.rows[0]["answers"])
    # Layout, order, and the images and text tokens to compute:
    ways: dict[str, tuple[bool, Sequence[int], int, int]] = {
        "separate": (False, shuffled(len(groups)), answers * saved.images[0], separate_tokens(tokenized.rows)),
        "pairs": (True, shuffled(len(groups)), saved.images[0], saved.tokens[0]),
        "once": (True, [*GroupSampler(groups, size, size, 0, lambda: 0.0)], saved.images[1], saved.tokens[1]),
    }
    if answers == 1:
        del ways["pairs"]  # an answer alone has nothing to share
    found: dict[str, Any] = {}
    for way, (shared, order, images, tokens) in ways.items():
        rows = [dict(row) for row in tokenized.rows]
        for row, group in zip(rows, groups, strict=True):
            if way == "once":
                row[GROUP] = group
        collate = Collator(processor, shared)
        batches = [order[start : start + size] for start in range(0, len(order), size)]
        positions = sum(collate([rows[index] for index in batch])["model"]["input_ids"].numel() for batch in batches)
        kept = [example for example, group in zip(tokenized.examples, groups, strict=True) if group < PROMPTS]
        found[way] = {
            "positions": positions,
            "wide": tokens + images * IMAGE_TOKENS,
            "seconds": seconds(config, kept, data.image_root, folder / way, way),
        }
    return found


def shuffled(count: int) -> list[int]:
    """Return a random order."""
    import random

    return random.Random(0).sample(range(count), count)


def separate_tokens(rows: Sequence[dict[str, Any]]) -> int:
    """Count the text tokens of a row per answer, without the last of each, which predicts nothing."""
    return sum(len(row["prompt_ids"]) - len(row["images"]) + len(ids) - 1 for row in rows for ids in row["answers"])


def seconds(config: Any, examples: Sequence[Any], image_root: Path, folder: Path, way: str) -> float:
    """Train twice, at first without counting, to fill the caches.

    Args:
        config: The config of the point.
        examples: Its examples.
        image_root: Folder of the images.
        folder: Folder of the trainings.
        way: The way of sharing.

    Returns:
        CPU-seconds of the second training.
    """
    import dataclasses

    from mmdpo.pipeline.point_stages import training_settings
    from mmdpo.training.run import train_adapter

    settings = training_settings(config)
    train = dataclasses.replace(settings.train, prefix_sharing=way != "separate", prompt_once=way == "once")
    settings = dataclasses.replace(settings, train=train)
    nothing: Callable[..., None] = lambda *given: None  # noqa: E731 (a logger)
    start = 0.0
    for run in range(2):
        start = time.process_time()
        train_adapter(settings, examples, image_root, folder / str(run), nothing, nothing)
    return time.process_time() - start


if __name__ == "__main__":
    main()
