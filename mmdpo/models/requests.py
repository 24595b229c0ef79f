"""A question to a model and how its answer is decoded, and the interface of whatever answers it. Imports no torch."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from mmdpo.records import Completion, Prompt


@dataclass(frozen=True)
class GenerationRequest:
    """A prompt and the decoding of its answer.

    Attributes:
        prompt: The prompt, with its earlier turns.
        temperature: 0 for greedy search. Otherwise the answer's seed depends on the prompt's id and on the engine's
            seed, not on the batch.
        max_new_tokens: The limit of the answer; None for the engine's.
        expected: The answers that are expected, such as Yes and No or option letters. They are a hint for speed: an
            engine may read such an answer without generating word by word, if the answer stays the same.
    """

    prompt: Prompt
    temperature: float = 0.0
    max_new_tokens: int | None = None
    expected: tuple[str, ...] = ()


class Engine(Protocol):
    """A source of answers: a model in this process, or a server."""

    def answer(self, requests: Sequence[GenerationRequest], image_root: Path) -> Iterator[tuple[int, Completion]]:
        """Yield each answer as soon as it is complete, with the index of its request; in any order.

        Args:
            requests: The questions. Their prompts' ids are unique where the temperature is above 0.
            image_root: The folder of their images.

        Raises:
            UserError: For what the user must fix, such as a missing image.
            Stopped: A server does not answer any longer.

        An engine that must be closed has a method `close()`.
        """
        ...
