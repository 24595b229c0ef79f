"""The plan of a training before its data exist: from the model's config and the limit of its rows' lengths."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from mmdpo.models.library_output import suppress_library_output
from mmdpo.models.loading import load_processor
from mmdpo.training.collate import Collator
from mmdpo.training.fit.choose import Choice, choose
from mmdpo.training.fit.memory import Predictor
from mmdpo.training.fit.micro_batches import MicroBatches
from mmdpo.training.fit.plan import Plan, Steps, kept_settings

if TYPE_CHECKING:
    import torch

    from mmdpo.training.rows import Row
    from mmdpo.training.settings import TrainingSettings

SIDE = 336  # pixels of the image of the assumed rows


def preview(settings: TrainingSettings, limit: int, gpu: bool, processes: int, deepspeed: bool) -> Choice:
    """Choose the plan of a training whose rows all have an image and `train.max_text_tokens` tokens of text.

    Half of the tokens are the prompt's. Rows that are shorter need less memory, so the training itself may choose
    larger micro-batches.

    Args:
        settings: Settings of the training, with a limit of the rows' lengths.
        limit: Bytes that a process may use.
        gpu: Whether it trains on a GPU.
        processes: Number of processes that train together.
        deepspeed: Whether ZeRO can be used.

    Returns:
        The choice.
    """
    from mmdpo.training.fit.meta import Device

    configured = Plan.of(settings.train)
    micro_batch, accumulation = configured.per_device_train_batch_size, configured.gradient_accumulation_steps
    rows = micro_batch * accumulation * processes
    steps = Steps(rows, micro_batch, accumulation, processes, by_token=settings.trains_on_answers)
    with TemporaryDirectory() as folder, suppress_library_output():
        processor = load_processor(settings.model)
        collator = Collator(processor, shared=not settings.trains_on_answers and settings.train.prefix_sharing)
        longest = [_longest(processor, settings, Path(folder))] * rows
        predictor = Predictor(
            settings.model, MicroBatches(longest, collator, steps), Device(gpu, _dtype(settings, gpu))
        )
        return choose(configured, steps, kept_settings(settings.method, settings.train), predictor, limit, deepspeed)


def _longest(processor: Any, settings: TrainingSettings, folder: Path) -> Row:
    from PIL import Image

    from mmdpo.models.fingerprints import file_digest

    tokens = settings.train.max_text_tokens
    assert tokens is not None
    image = folder / "image.png"
    Image.new("RGB", (SIDE, SIDE)).save(image)
    token = next(iter(processor.tokenizer("a", add_special_tokens=False)["input_ids"]), 0)
    prompt = getattr(processor, "image_token", "<image>") + " a" * max(1, tokens // 2 - 2)
    ids: Sequence[int] = processor.tokenizer(prompt)["input_ids"]
    answers = [[token] * max(1, tokens - len(ids))] * (1 if settings.trains_on_answers else 2)
    return {
        "id": "longest",
        "images": [str(image)],
        "digests": [file_digest(image)],
        "prompt": prompt,
        "prompt_ids": list(ids),
        "answers": answers,
    }


def _dtype(settings: TrainingSettings, gpu: bool) -> torch.dtype:
    """Return the type of the weights on the device that is planned for, which may not be that of this machine."""
    import torch

    from mmdpo.models.loading import torch_dtype

    return torch.bfloat16 if gpu and settings.model.dtype == "auto" else torch_dtype(settings.model.dtype)
