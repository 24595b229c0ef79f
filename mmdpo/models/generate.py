"""Batched generation of answers, greedy or sampled.

Sampling adds Gumbel noise to the scaled logits and takes the best token, which draws from the same distribution as
softmax sampling. The noise of each answer has its own seed, so that its text does not depend on its batch.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

import torch
from transformers import LogitsProcessor, LogitsProcessorList, TopPLogitsWarper

from mmdpo.console import print_line
from mmdpo.errors import UserError
from mmdpo.images import inside, open_image
from mmdpo.models.chat import check_prompt, end_tokens, prompt_text, without_end_tokens
from mmdpo.models.load_errors import translate_processor_errors
from mmdpo.models.messages import IMAGE_TOKEN, to_messages
from mmdpo.models.prefix import compute_prefix, repeat_rows
from mmdpo.models.special_tokens import process
from mmdpo.records import CUT, Completion, Prompt, images_in_order
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
        if not self.streams:
            self.streams = [torch.Generator(scores.device).manual_seed(seed) for seed in self.seeds]
        return scores.float() / self.temperature + gumbel_noise(self.streams, scores.shape[-1])


def gumbel_noise(streams: Sequence[torch.Generator], vocabulary: int) -> torch.Tensor:
    """Draw the noise of the next token of B answers, [B, V], each from its own generator."""
    rows = [torch.rand(vocabulary, generator=stream, device=stream.device) for stream in streams]
    return -torch.log(-torch.log(torch.stack(rows).clamp(1e-20, 1 - 1e-7)))


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
            raise nan_error()


def nan_error() -> UserError:
    """Return the error for a model that computes NaN."""
    return UserError("model.path: the model computes NaN. Type model.dtype=float32, or check the weights")


def memory_error(prompt_id: str, count: int, max_new_tokens: int) -> UserError:
    """Return the error for a prompt whose answers alone do not fit the memory."""
    return UserError(
        f"{prompt_id}: not enough memory for {count} answers of {max_new_tokens} tokens. "
        "Type a smaller max_new_tokens (bench. or data.sampling.), or model.dtype=bfloat16"
    )


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
        advance: Called with the number of answers to each prompt, after its batch.

    Returns:
        N answers, in the order of the prompts.

    Raises:
        UserError: An image is missing or broken, or the GPU's memory does not suffice for one prompt.
    """
    answers = generate_several(model, processor, prompts, image_root, decoding, 1, advance=advance)
    return [answer.text for (answer,) in answers]


def generate_several(
    model: Any,
    processor: Any,
    prompts: Sequence[Prompt],
    image_root: Path,
    decoding: Decoding,
    count: int,
    share: bool = False,
    advance: Callable[[int], None] = lambda count: None,
) -> list[list[Completion]]:
    """Generate several answers per prompt.

    Args:
        model: A vision-language model in evaluation mode.
        processor: Its processor.
        prompts: N prompts, with and without images in any order.
        image_root: Folder of the images.
        decoding: Settings of generation; `batch_size` counts prompts.
        count: Answers per prompt.
        share: Compute image and prompt once for all answers to a prompt. The architecture must allow it
            (mmdpo/models/prefix.py).
        advance: Called with the number of answers to each prompt, after its batch.

    Returns:
        N lists of `count` answers, in the order of the prompts. One that the limit of tokens cut says so.

    Raises:
        UserError: An image is missing or broken, or the GPU's memory does not suffice for one prompt.
    """
    answers: list[list[Completion]] = [[] for _ in prompts]
    for index, given in generate_batches(model, processor, prompts, image_root, decoding, count, share):
        answers[index] = given
        advance(count)
    return answers


def generate_batches(
    model: Any,
    processor: Any,
    prompts: Sequence[Prompt],
    image_root: Path,
    decoding: Decoding,
    count: int = 1,
    share: bool = False,
) -> Iterator[tuple[int, list[Completion]]]:
    """Yield the answers to each prompt with its index, batch by batch; see `generate_several`.

    A batch that does not fit the GPU's memory is halved, and later batches keep the smaller size.
    """
    size = decoding.batch_size
    indices = sorted(range(len(prompts)), key=lambda index: not prompts[index].images)
    for _, group in groupby(indices, key=lambda index: not prompts[index].images):
        remaining = list(group)  # all prompts of a batch have an image, or none has
        while remaining:
            batch = remaining[:size]
            ids = [prompts[index].id for index in batch]
            try:
                inputs = repeated_inputs(
                    model, processor, [prompts[index] for index in batch], image_root, 1 if share else count
                )
                texts = _generate_batch(model, processor, inputs, ids, decoding, count, share)
            except torch.OutOfMemoryError as error:
                if len(batch) == 1:
                    raise memory_error(ids[0], count, decoding.max_new_tokens) from error
                size = len(batch) // 2
                print_line(f"out of memory: continuing with batches of {size} prompts")
                continue
            remaining = remaining[len(batch) :]
            yield from zip(batch, texts, strict=True)


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
    return processed(model, processor, prompts, rendered(processor, prompts), image_root)


def rendered(processor: Any, prompts: Sequence[Prompt]) -> list[str]:
    """Render prompts by the chat template.

    Raises UserError if the template does not write one placeholder per image, or drops the system turn.
    """
    token, ends = getattr(processor, "image_token", IMAGE_TOKEN), end_tokens(processor)
    texts = [prompt_text(processor, to_messages(without_end_tokens(prompt, ends), token)) for prompt in prompts]
    for prompt, text in zip(prompts, texts, strict=True):
        check_prompt(processor, text, prompt)
    return texts


def processed(model: Any, processor: Any, prompts: Sequence[Prompt], texts: Sequence[str], image_root: Path) -> Any:
    """Process rendered prompts into the model's inputs, padded on the left.

    Args:
        model: The model that takes the inputs; they are moved to its device and type.
        processor: Its processor.
        prompts: B prompts, all with or all without images.
        texts: The prompts, as `rendered` returns them.
        image_root: Folder of the images.

    Returns:
        The processor's tensors: `input_ids` and `attention_mask` [B, T], and the images'.

    Raises:
        UserError: An image is missing or broken.
    """
    names = [images_in_order(prompt) for prompt in prompts if prompt.images]
    images = [[open_image(inside(image_root, name)) for name in group] for group in names]
    with translate_processor_errors(processor, [prompt.id for prompt in prompts]):
        inputs = process(processor, texts, images or None, padding_side="left")
    return inputs.to(model.device, dtype=model.dtype)


def repeated_inputs(model: Any, processor: Any, prompts: Sequence[Prompt], image_root: Path, count: int) -> Any:
    """Process prompts like `model_inputs`, each `count` times in succession.

    Args:
        model: The model that takes the inputs.
        processor: Its processor.
        prompts: B prompts, all with or all without images.
        image_root: Folder of the images.
        count: Rows per prompt.

    Returns:
        The processor's tensors with B * count rows.
    """
    inputs = model_inputs(model, processor, prompts, image_root)
    if all(len(value) == len(prompts) for value in inputs.values()):
        return repeat_rows(inputs, count)
    # Several images a prompt, or pieces of images, which are not repeated row by row
    return model_inputs(model, processor, [prompt for prompt in prompts for _ in range(count)], image_root)


def _generate_batch(
    model: Any,
    processor: Any,
    inputs: Any,
    ids: Sequence[str],
    decoding: Decoding,
    count: int,
    share: bool,
) -> list[list[Completion]]:
    watch = NaNWatch()
    noise = LogitsProcessorList([watch])
    if decoding.temperature > 0:
        if decoding.top_p < 1:
            noise.append(TopPLogitsWarper(decoding.top_p))
        seeds = [answer_seed(decoding.seed, prompt_id, index) for prompt_id in ids for index in range(count)]
        noise.append(GumbelNoise(seeds, decoding.temperature))
    with torch.inference_mode():
        rows = compute_prefix(model, inputs, count) if share else inputs
        output = model.generate(**rows, max_new_tokens=decoding.max_new_tokens, do_sample=False, logits_processor=noise)
    watch.raise_if_seen()
    new_tokens = output[:, inputs["input_ids"].shape[1] :]
    texts = [text.strip() for text in processor.batch_decode(new_tokens, skip_special_tokens=True)]
    ended = torch.isin(new_tokens, end_ids(model).to(new_tokens.device)).any(dim=1).tolist()
    return [
        [
            Completion(prompt_id, index, texts[row], "stop" if ended[row] else CUT)
            for index, row in enumerate(range(first * count, (first + 1) * count))
        ]
        for first, prompt_id in enumerate(ids)
    ]


def end_ids(model: Any) -> torch.Tensor:
    """Return the tokens at which the model's generation stops."""
    ids = model.generation_config.eos_token_id
    return torch.tensor([] if ids is None else [ids] if isinstance(ids, int) else ids, dtype=torch.long)
