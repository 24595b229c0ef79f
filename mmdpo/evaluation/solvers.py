"""Solvers: how a model answers the samples of a task.

A solver gets an `Inference` and all samples of a task, and returns one response per sample, in their order. One with
several turns calls `Inference.generate` once per turn, with the earlier turns in each prompt's history.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mmdpo.evaluation.task import Inference, Response
from mmdpo.records import Prompt

if TYPE_CHECKING:
    from mmdpo.models.generate import Decoding


@dataclass(frozen=True)
class ModelInference:
    """A model in this process, with the image root of the samples and the decoding settings."""

    model: Any
    processor: Any
    image_root: Path
    decoding: Decoding
    advance: Callable[[int], None] = lambda count: None

    def generate(self, prompts: Sequence[Prompt]) -> list[str]:
        """Generate one answer per prompt, in their order."""
        from mmdpo.models.generate import generate

        return generate(self.model, self.processor, prompts, self.image_root, self.decoding, advance=self.advance)


def single_turn(inference: Inference, prompts: Sequence[Prompt]) -> list[Response]:
    """Answer each sample once."""
    answers = inference.generate(prompts)
    return [
        Response(prompt.id, prompt.question, answer, prompt.category)
        for prompt, answer in zip(prompts, answers, strict=True)
    ]
