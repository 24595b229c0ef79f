"""Answers of a model in this process to the questions of benchmarks."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

from mmdpo.models.generate import Decoding, generate_several
from mmdpo.models.requests import GenerationRequest
from mmdpo.records import Completion


class ModelEngine:
    """Engine that runs a model in this process."""

    def __init__(self, model: Any, processor: Any, batch_size: int, max_new_tokens: int, seed: int) -> None:
        """Take the model.

        Args:
            model: A vision-language model in evaluation mode, on its device.
            processor: Its processor.
            batch_size: The largest number of answers at once.
            max_new_tokens: The limit of answers whose request names none.
            seed: Seed of sampled answers.
        """
        self._model, self._processor = model, processor
        self._batch_size, self._max_new_tokens, self._seed = batch_size, max_new_tokens, seed

    def answer(self, requests: Sequence[GenerationRequest], image_root: Path) -> Iterator[tuple[int, Completion]]:
        """Yield each answer with the index of its request; see mmdpo.models.requests.Engine."""
        indices = sorted(range(len(requests)), key=lambda index: self._decoding(requests[index]))
        for (temperature, limit), group in groupby(indices, key=lambda index: self._decoding(requests[index])):
            members = list(group)
            prompts = [requests[index].prompt for index in members]
            decoding = Decoding(limit, self._batch_size, temperature, seed=self._seed)
            found = generate_several(self._model, self._processor, prompts, image_root, decoding, 1)
            yield from zip(members, (answer for (answer,) in found), strict=True)

    def _decoding(self, request: GenerationRequest) -> tuple[float, int]:
        return request.temperature, request.max_new_tokens or self._max_new_tokens
