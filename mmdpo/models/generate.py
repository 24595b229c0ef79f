"""Answers of a model to prompts, greedy or sampled, in batches.

Sampling adds Gumbel noise to the scaled logits and takes the best token, which draws from the same
distribution as softmax sampling. The noise of an answer comes from a seed of its own, so that the
text does not depend on the batch that it is made in.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

import torch
from transformers import LogitsProcessor, LogitsProcessorList, TopPLogitsWarper

from mmdpo.console import print_line
from mmdpo.errors import UserError
from mmdpo.images import inside, open_image
from mmdpo.models.chat import IMAGE_TOKEN, check_placeholders, messages, prompt_text
from mmdpo.models.prefix import repeated, shared
from mmdpo.records import Prompt
from mmdpo.seeds import answer_seed


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
        self.seeds, self.temperature = seeds, temperature
        self.streams: list[torch.Generator] = []

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        """Scores [B, V] with noise added."""
        place, vocabulary = scores.device, scores.shape[-1]
        if not self.streams:
            self.streams = [torch.Generator(place).manual_seed(seed) for seed in self.seeds]
        rows = [torch.rand(vocabulary, generator=stream, device=place) for stream in self.streams]
        gumbel = -torch.log(-torch.log(torch.stack(rows).clamp(1e-20, 1 - 1e-7)))
        return scores.float() / self.temperature + gumbel


def generate(
    model: Any,
    processor: Any,
    prompts: Sequence[Prompt],
    image_root: Path,
    decoding: Decoding,
    advance: Callable[[int], None] = lambda count: None,
) -> list[str]:
    """One answer a prompt, in their order.

    `advance(n)` is called for every n answers made. Raises UserError for an image that is missing or broken.
    """
    several = generate_several(model, processor, prompts, image_root, decoding, 1, advance=advance)
    return [answer for (answer,) in several]


def generate_several(
    model: Any,
    processor: Any,
    prompts: Sequence[Prompt],
    image_root: Path,
    decoding: Decoding,
    count: int,
    share: bool = False,
    advance: Callable[[int], None] = lambda count: None,
) -> list[list[str]]:
    """`count` answers a prompt, in their order; `decoding.batch_size` counts prompts.

    With `share` image and prompt go through the model once for all answers to a prompt, which an
    architecture must take (mmdpo/models/prefix.py). A batch that the GPU's memory does not take is made
    smaller, and those after it. Raises UserError where it does not take one prompt.
    """
    answers: list[list[str]] = [[] for _ in prompts]
    size = decoding.batch_size
    places = sorted(range(len(prompts)), key=lambda place: prompts[place].image is None)
    for _, group in groupby(places, key=lambda place: prompts[place].image is None):
        left = list(group)  # a batch is all with or all without image
        while left:
            batch = left[:size]
            names = [prompts[place].id for place in batch]
            try:
                inputs = model_inputs(model, processor, [prompts[place] for place in batch], image_root)
                texts = _generate_batch(model, processor, inputs, names, decoding, count, share)
            except torch.OutOfMemoryError as error:
                if len(batch) == 1:
                    raise UserError(
                        f"{names[0]}: no memory for {count} answers of {decoding.max_new_tokens} tokens. "
                        "Type a smaller max_new_tokens (bench. or data.sampling.), or model.dtype=bfloat16"
                    ) from error
                size = len(batch) // 2
                print_line(f"out of memory: {size} prompts at a time from here on")
                continue
            left = left[len(batch) :]
            for place, given in zip(batch, texts, strict=True):
                answers[place] = given
            advance(len(batch) * count)
    return answers


def model_inputs(model: Any, processor: Any, prompts: Sequence[Prompt], image_root: Path) -> Any:
    """The prompts as the model takes them, padded on the left: all with, or all without an image."""
    token = getattr(processor, "image_token", IMAGE_TOKEN)
    chats = [
        messages(prompt.question, prompt.history, bool(prompt.image), record=prompt.id, image_token=token)
        for prompt in prompts
    ]
    texts = [prompt_text(processor, chat) for chat in chats]
    for prompt, text in zip(prompts, texts, strict=True):
        check_placeholders(processor, text, prompt.image is not None, prompt.id)
    images = [open_image(inside(image_root, prompt.image)) for prompt in prompts if prompt.image]
    return processor(
        text=texts,
        images=[[image] for image in images] or None,
        padding=True,
        padding_side="left",
        return_tensors="pt",
        add_special_tokens=False,  # the text has them
    ).to(model.device, dtype=model.dtype)


def _generate_batch(
    model: Any,
    processor: Any,
    inputs: Any,
    names: Sequence[str],
    decoding: Decoding,
    count: int,
    share: bool,
) -> list[list[str]]:
    noise = LogitsProcessorList()
    if decoding.temperature > 0:
        if decoding.top_p < 1:
            noise.append(TopPLogitsWarper(decoding.top_p))
        seeds = [answer_seed(decoding.seed, name, index) for name in names for index in range(count)]
        noise.append(GumbelNoise(seeds, decoding.temperature))
    with torch.inference_mode():
        rows = shared(model, inputs, count) if share else repeated(inputs, count)
        output = model.generate(**rows, max_new_tokens=decoding.max_new_tokens, do_sample=False, logits_processor=noise)
    made = output[:, inputs["input_ids"].shape[1] :]
    texts = [text.strip() for text in processor.batch_decode(made, skip_special_tokens=True)]
    return [texts[start : start + count] for start in range(0, len(texts), count)]
