"""Batched generation of answers, greedy or sampled.

Sampling adds Gumbel noise to the scaled logits and takes the best token, which draws from the same distribution as
softmax sampling. The noise of each answer has its own seed, so that its text does not depend on its batch.
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
from mmdpo.models.chat import IMAGE_TOKEN, check_placeholders, prompt_text, to_messages
from mmdpo.models.load_errors import translate_processor_errors
from mmdpo.models.prefix import compute_prefix, repeat_rows
from mmdpo.records import Prompt
from mmdpo.seeds import answer_seed


@dataclass(frozen=True)
class Decoding:
    """Settings of generation; temperature 0 is greedy search."""

    max_new_tokens: int
    batch_size: int  # prompts
    temperature: float = 0.0
    top_p: float = 1.0
    seed: int = 0


class GumbelNoise(LogitsProcessor):
    """Logits processor that makes greedy search draw from softmax(scores / temperature)."""

    def __init__(self, seeds: Sequence[int], temperature: float) -> None:
        """Set the seed of each of the B rows, and the temperature, above 0."""
        self.seeds, self.temperature = seeds, temperature
        self.streams: list[torch.Generator] = []

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        """Add noise to the scores.

        Args:
            input_ids: Tokens so far [B, T]; not used.
            scores: Logits of the next token [B, V].

        Returns:
            Scaled scores with noise [B, V], float32.
        """
        device, vocabulary = scores.device, scores.shape[-1]
        if not self.streams:
            self.streams = [torch.Generator(device).manual_seed(seed) for seed in self.seeds]
        rows = [torch.rand(vocabulary, generator=stream, device=device) for stream in self.streams]
        gumbel = -torch.log(-torch.log(torch.stack(rows).clamp(1e-20, 1 - 1e-7)))
        return scores.float() / self.temperature + gumbel


class NaNWatch(LogitsProcessor):
    """Logits processor that changes nothing, and remembers on the device whether a logit was NaN."""

    def __init__(self) -> None:
        """Start without any NaN."""
        self._seen: torch.Tensor | None = None

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        """Look at the logits.

        Args:
            input_ids: Tokens so far [B, T]; not used.
            scores: Logits of the next token [B, V].

        Returns:
            The same logits.
        """
        found = scores.isnan().any()
        self._seen = found if self._seen is None else self._seen | found
        return scores

    def raise_if_seen(self) -> None:
        """Raise UserError if a logit was NaN: greedy search would take any token."""
        if self._seen is not None and bool(self._seen):
            raise UserError("model.path: the model computes NaN. Type model.dtype=float32, or check the weights")


def generate(
    model: Any,
    processor: Any,
    prompts: Sequence[Prompt],
    image_root: Path,
    decoding: Decoding,
    advance: Callable[[int], None] = lambda count: None,
) -> list[str]:
    """Generate one answer per prompt.

    Args:
        model: A vision-language model in evaluation mode.
        processor: Its processor.
        prompts: N prompts, with and without images in any order.
        image_root: Folder of the images.
        decoding: Settings of generation.
        advance: Called with the number of answers after each batch.

    Returns:
        N answers, in the order of the prompts.

    Raises:
        UserError: An image is missing or broken, or the GPU's memory does not suffice for one prompt.
    """
    answers = generate_several(model, processor, prompts, image_root, decoding, 1, advance=advance)
    return [answer for (answer,) in answers]


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
    """Generate several answers per prompt.

    A batch that does not fit the GPU's memory is halved, and later batches keep the smaller size.

    Args:
        model: A vision-language model in evaluation mode.
        processor: Its processor.
        prompts: N prompts, with and without images in any order.
        image_root: Folder of the images.
        decoding: Settings of generation; `batch_size` counts prompts.
        count: Answers per prompt.
        share: Compute image and prompt once for all answers to a prompt. The architecture must allow it
            (mmdpo/models/prefix.py).
        advance: Called with the number of answers after each batch.

    Returns:
        N lists of `count` answers, in the order of the prompts.

    Raises:
        UserError: An image is missing or broken, or the GPU's memory does not suffice for one prompt.
    """
    answers: list[list[str]] = [[] for _ in prompts]
    size = decoding.batch_size
    indices = sorted(range(len(prompts)), key=lambda index: not prompts[index].images)
    for _, group in groupby(indices, key=lambda index: not prompts[index].images):
        remaining = list(group)  # all prompts of a batch have an image, or none has
        while remaining:
            batch = remaining[:size]
            ids = [prompts[index].id for index in batch]
            try:
                inputs = model_inputs(model, processor, [prompts[index] for index in batch], image_root)
                texts = _generate_batch(model, processor, inputs, ids, decoding, count, share)
            except torch.OutOfMemoryError as error:
                if len(batch) == 1:
                    raise UserError(
                        f"{ids[0]}: not enough memory for {count} answers of {decoding.max_new_tokens} tokens. "
                        "Type a smaller max_new_tokens (bench. or data.sampling.), or model.dtype=bfloat16"
                    ) from error
                size = len(batch) // 2
                print_line(f"out of memory: continuing with batches of {size} prompts")
                continue
            remaining = remaining[len(batch) :]
            for index, given in zip(batch, texts, strict=True):
                answers[index] = given
            advance(len(batch) * count)
    return answers


def model_inputs(model: Any, processor: Any, prompts: Sequence[Prompt], image_root: Path) -> Any:
    """Process prompts into the model's inputs, padded on the left.

    Args:
        model: The model that takes the inputs; they are moved to its device and type.
        processor: Its processor.
        prompts: B prompts, all with or all without images.
        image_root: Folder of the images.

    Returns:
        The processor's tensors: `input_ids` and `attention_mask` [B, T], and the images'.

    Raises:
        UserError: An image is missing or broken, or the chat template does not write one placeholder per image.
    """
    token = getattr(processor, "image_token", IMAGE_TOKEN)
    conversations = [to_messages(prompt, token) for prompt in prompts]
    texts = [prompt_text(processor, conversation) for conversation in conversations]
    for prompt, text in zip(prompts, texts, strict=True):
        check_placeholders(processor, text, len(prompt.images), prompt.id)
    images = [[open_image(inside(image_root, name)) for name in prompt.images] for prompt in prompts if prompt.images]
    with translate_processor_errors(processor, [prompt.id for prompt in prompts]):
        inputs = processor(
            text=texts,
            images=images or None,
            padding=True,
            padding_side="left",
            return_tensors="pt",
            add_special_tokens=False,  # the text contains them
        )
    return inputs.to(model.device, dtype=model.dtype)


def _generate_batch(
    model: Any,
    processor: Any,
    inputs: Any,
    ids: Sequence[str],
    decoding: Decoding,
    count: int,
    share: bool,
) -> list[list[str]]:
    watch = NaNWatch()
    noise = LogitsProcessorList([watch])
    if decoding.temperature > 0:
        if decoding.top_p < 1:
            noise.append(TopPLogitsWarper(decoding.top_p))
        seeds = [answer_seed(decoding.seed, prompt_id, index) for prompt_id in ids for index in range(count)]
        noise.append(GumbelNoise(seeds, decoding.temperature))
    with torch.inference_mode():
        rows = compute_prefix(model, inputs, count) if share else repeat_rows(inputs, count)
        output = model.generate(**rows, max_new_tokens=decoding.max_new_tokens, do_sample=False, logits_processor=noise)
    watch.raise_if_seen()
    new_tokens = output[:, inputs["input_ids"].shape[1] :]
    texts = [text.strip() for text in processor.batch_decode(new_tokens, skip_special_tokens=True)]
    return [texts[start : start + count] for start in range(0, len(texts), count)]
