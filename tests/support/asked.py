"""A model that is asked by the engine and alone, and requests of all kinds for it."""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from mmdpo.config.schema import ModelConfig
from mmdpo.models.device import on_device
from mmdpo.models.engine import ModelEngine
from mmdpo.models.generate import Decoding, generate_several
from mmdpo.models.loading import load_model, load_processor
from mmdpo.models.requests import GenerationRequest
from mmdpo.records import Completion, ImagePosition, Prompt, Turn
from tests.support.tiny import WORDS, save_tiny_llava, tiny_pairs

LIMIT, SEED = 6, 3
TURN = Turn("what is there", "a red star")


class Asked(NamedTuple):
    """A model with its processor and the folder of the images."""

    model: Any
    processor: Any
    images: Path

    def engine(self, size: int) -> ModelEngine:
        """Return an engine with batches of `size`."""
        return ModelEngine(self.model, self.processor, size, LIMIT, SEED)

    def answers(self, requests: Sequence[GenerationRequest], size: int = 8) -> list[Completion]:
        """Return the engine's answers in the order of the requests."""
        found = dict(self.engine(size).answer(requests, self.images))
        return [found[index] for index in range(len(requests))]

    def alone(self, request: GenerationRequest) -> Completion:
        """Return the answer that is generated alone."""
        return self.batch([request])[0]

    def batch(self, requests: Sequence[GenerationRequest]) -> list[Completion]:
        """Return the answers of requests of one kind, generated in one plain batch."""
        limit, temperature = requests[0].max_new_tokens or LIMIT, requests[0].temperature
        decoding = Decoding(limit, len(requests), temperature, seed=SEED)
        prompts = [request.prompt for request in requests]
        return [found[0] for found in generate_several(self.model, self.processor, prompts, self.images, decoding, 1)]


def asked_tiny(folder: Path, dtype: str = "float32") -> Asked:
    """Write the tiny model and images to a folder, and load it to this process's device."""
    tiny_pairs(folder / "images", count=6)
    path = save_tiny_llava(folder / "model")
    model = on_device(load_model(str(path), dtype)).eval()
    return Asked(model, load_processor(ModelConfig(path=str(path))), folder / "images")


def mixed_requests() -> list[GenerationRequest]:
    """Return requests with and without images and earlier turns, greedy and sampled, with and without expected ones."""
    rng = random.Random(0)
    requests = []
    for number in range(24):
        question = " ".join(rng.choices(WORDS, k=rng.randint(1, 12)))
        images = () if rng.random() < 0.3 else (f"{rng.choice((1, 2, 4))}.png",)
        prompt = Prompt(f"p{number}", question, images, (TURN,) if rng.random() < 0.3 else ())
        limit = rng.choice((None, 1, 2, 12))
        expected = ("yes", "no") if rng.random() < 0.5 else ()
        requests.append(GenerationRequest(prompt, rng.choice((0, 0, 0.7, 1.5)), limit, expected))
    requests.append(GenerationRequest(Prompt("long", "what is there"), 1.5, 90))  # more than the first room of a cache
    several = ImagePosition(2, 0), ImagePosition(0, 4)
    requests += [
        GenerationRequest(Prompt(f"s{number}", text, ("1.png", "2.png"), (TURN,), image_positions=several))
        for number, text in enumerate(("where", "is it there"))
    ]
    return requests
