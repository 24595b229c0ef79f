"""Answers of a model to prompts, greedy or sampled, in batches.

Sampling adds Gumbel noise to the scaled logits and takes the best token, which draws from the same
distribution as softmax sampling. The noise of an answer comes from a seed of its own, so that the
text does not depend on the batch that it is made in.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

import torch
from transformers import LogitsProcessor, LogitsProcessorList, TopPLogitsWarper

from mmdpo.models.chat import IMAGE_TOKEN, check_placeholders, messages, prompt_text
from mmdpo.records import Prompt
from mmdpo.sources.images import inside, open_image


@dataclass(frozen=True)
class Decoding:
    """How answers are made; temperature 0 is greedy."""

    max_new_tokens: int
    batch_size: int
    temperature: float = 0.0
    top_p: float = 1.0
    seed: int = 0


class GumbelNoise(LogitsProcessor):
    """Makes greedy search draw from softmax(scores / temperature); a random stream a row."""

    def __init__(self, seeds: Sequence[int], temperature: float) -> None:
        self.streams = [torch.Generator().manual_seed(seed) for seed in seeds]
        self.temperature = temperature

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        """Scores [B, V] with noise added."""
        vocabulary = scores.shape[-1]
        uniform = torch.stack([torch.rand(vocabulary, generator=stream) for stream in self.streams])
        gumbel = -torch.log(-torch.log(uniform.clamp(1e-20, 1 - 1e-7)))
        return scores.float() / self.temperature + gumbel.to(scores.device)


def answer_seed(seed: int, prompt_id: str, index: int) -> int:
    """The seed of one answer's noise."""
    digest = hashlib.sha256(f"{seed} {prompt_id} {index}".encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1  # torch takes 63 bits


def generate(
    model: Any,
    processor: Any,
    prompts: Sequence[Prompt],
    image_root: Path,
    decoding: Decoding,
    indices: Sequence[int] | None = None,
    advance: Callable[[int], None] = lambda count: None,
) -> list[str]:
    """One answer a prompt, in their order.

    `indices` tell several answers to one prompt apart (0 where absent); `advance(n)` is called for
    every n answers made. Raises UserError for an image that is missing or broken.
    """
    jobs = list(zip(range(len(prompts)), prompts, indices or [0] * len(prompts), strict=True))
    jobs.sort(key=lambda job: job[1].image is None)  # a batch is all with or all without image
    answers = [""] * len(prompts)
    for _, group in groupby(jobs, key=lambda job: job[1].image is None):
        alike = list(group)
        for start in range(0, len(alike), decoding.batch_size):
            batch = alike[start : start + decoding.batch_size]
            texts = _generate_batch(model, processor, [job[1:] for job in batch], image_root, decoding)
            for (position, _, _), text in zip(batch, texts, strict=True):
                answers[position] = text
            advance(len(batch))
    return answers


def _generate_batch(
    model: Any, processor: Any, batch: Sequence[tuple[Prompt, int]], image_root: Path, decoding: Decoding
) -> list[str]:
    prompts = [prompt for prompt, _ in batch]
    token = getattr(processor, "image_token", IMAGE_TOKEN)
    chats = [
        messages(prompt.question, prompt.history, bool(prompt.image), record=prompt.id, image_token=token)
        for prompt in prompts
    ]
    texts = [prompt_text(processor, chat) for chat in chats]
    for prompt, text in zip(prompts, texts, strict=True):
        check_placeholders(processor, text, prompt.image is not None, prompt.id)
    images = [open_image(inside(image_root, prompt.image)) for prompt in prompts if prompt.image]
    inputs = processor(
        text=texts,
        images=[[image] for image in images] or None,
        padding=True,
        padding_side="left",
        return_tensors="pt",
        add_special_tokens=False,  # the text has them
    ).to(model.device, dtype=model.dtype)
    noise = LogitsProcessorList()
    if decoding.temperature > 0:
        if decoding.top_p < 1:
            noise.append(TopPLogitsWarper(decoding.top_p))
        seeds = [answer_seed(decoding.seed, prompt.id, index) for prompt, index in batch]
        noise.append(GumbelNoise(seeds, decoding.temperature))
    with torch.inference_mode():
        output = model.generate(
            **inputs, max_new_tokens=decoding.max_new_tokens, do_sample=False, logits_processor=noise
        )
    made = output[:, inputs["input_ids"].shape[1] :]
    return [text.strip() for text in processor.batch_decode(made, skip_special_tokens=True)]
