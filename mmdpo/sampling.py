"""Prompts -> Completions: several answers a prompt, from the model itself (paper, 3.1)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from mmdpo.config import Config
from mmdpo.progress import progress
from mmdpo.records import Completion, Prompt


def sample(config: Config, prompts: Sequence[Prompt], image_root: Path) -> list[Completion]:
    """`data.sampling.completions` answers a prompt, in the order of the prompts."""
    from mmdpo.models.generate import Decoding, generate
    from mmdpo.models.loading import load_model, load_processor

    settings = config.data.sampling
    model = load_model(config.model.path, config.model.dtype).eval()
    asked = [(prompt, index) for prompt in prompts for index in range(settings.completions)]
    decoding = Decoding(
        max_new_tokens=settings.max_new_tokens,
        batch_size=settings.batch_size * settings.completions,
        temperature=settings.temperature,
        top_p=settings.top_p,
        seed=config.data.seed,
    )
    with progress("sampling", len(asked)) as advance:
        texts = generate(
            model,
            load_processor(config.model),
            [prompt for prompt, _ in asked],
            image_root,
            decoding,
            indices=[index for _, index in asked],
            advance=advance,
        )
    return [Completion(prompt.id, index, text) for (prompt, index), text in zip(asked, texts, strict=True)]
