"""Prompts -> Completions: several answers a prompt, from the model itself (paper, 3.1) or from its server.

Answers are kept in a file beside the cache until all are there, so that a kill repeats and loses none.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing
from itertools import islice
from pathlib import Path
from typing import Any, Protocol

from mmdpo.config.schema import Config
from mmdpo.console import print_line, progress
from mmdpo.records import Completion, Prompt

AHEAD = 8  # batches whose prompts are in memory at once, those with images apart from those without


class Generator(Protocol):
    """Answers prompts: `completions` texts each, the same ones whatever they are asked together with."""

    def answers(self, prompts: Sequence[Prompt]) -> list[list[str]]:
        """The texts of each prompt."""
        ...


def identity(config: Config) -> dict[str, Any]:
    """What the answers depend on beside the prompts; not how many are made at a time."""
    sampling, generator = config.data.sampling, config.generator
    decoding = {
        "completions": sampling.completions,
        "temperature": sampling.temperature,
        "top_p": sampling.top_p,
        "max_new_tokens": sampling.max_new_tokens,
        "seed": config.data.seed,
    }
    if generator.name == "openai":
        return {"server": [generator.base_url, generator.model], "decoding": decoding}
    from mmdpo.models.fingerprints import adapter_fingerprint, processor_fingerprint, weights_fingerprint

    return {
        "model": weights_fingerprint(config.model.path),
        "processor": processor_fingerprint(config.model),
        "dtype": config.model.dtype,
        "adapter": adapter_fingerprint(Path(generator.adapter)) if generator.adapter else None,
        "decoding": decoding,
    }


def sample(
    config: Config, prompts: Callable[[], Iterable[Prompt]], image_root: Path, unfinished: Path
) -> Iterator[Completion]:
    """`data.sampling.completions` answers a prompt, in the order of the prompts.

    `prompts` is called several times. `unfinished` is where answers are kept meanwhile; it is deleted
    when the last one was taken.
    """
    unfinished.parent.mkdir(parents=True, exist_ok=True)
    with closing(sqlite3.connect(unfinished)) as kept:
        kept.execute("PRAGMA journal_mode=WAL")
        kept.execute(
            "CREATE TABLE IF NOT EXISTS answers (prompt_id TEXT, place INTEGER, text TEXT, "
            "PRIMARY KEY (prompt_id, place)) WITHOUT ROWID"
        )
        _answer_open(config, prompts, image_root, kept)
        for prompt in prompts():
            for place, text in _known(kept, prompt):
                yield Completion(prompt.id, place, text)
    for suffix in ("", "-wal", "-shm"):
        unfinished.with_name(unfinished.name + suffix).unlink(missing_ok=True)


def _answer_open(
    config: Config, prompts: Callable[[], Iterable[Prompt]], image_root: Path, kept: sqlite3.Connection
) -> None:
    """Answer what is not answered yet; the generator is made only where there is any."""
    total = sum(1 for _ in prompts())
    missing = (prompt for prompt in prompts() if not _known(kept, prompt))
    generator: Generator | None = None
    with progress("sampling", total) as advance:
        advance(_count(kept))
        for batch in _batches(missing, config.data.sampling.batch_size):
            generator = generator or _generator(config, image_root)
            with kept:
                for prompt, texts in zip(batch, generator.answers(batch), strict=True):
                    rows = [(prompt.id, place, text) for place, text in enumerate(texts)]
                    kept.executemany("INSERT INTO answers VALUES (?, ?, ?)", rows)
            advance(len(batch))


def _known(kept: sqlite3.Connection, prompt: Prompt) -> list[tuple[int, str]]:
    found = kept.execute("SELECT place, text FROM answers WHERE prompt_id = ? ORDER BY place", (prompt.id,))
    return list(found)


def _count(kept: sqlite3.Connection) -> int:
    return int(kept.execute("SELECT count(DISTINCT prompt_id) FROM answers").fetchone()[0])


def _batches(prompts: Iterable[Prompt], size: int) -> Iterator[list[Prompt]]:
    """Prompts that go together: all with, or all without an image."""
    rest = iter(prompts)
    while block := list(islice(rest, AHEAD * size)):
        for with_image in (True, False):
            alike = [prompt for prompt in block if (prompt.image is not None) == with_image]
            for start in range(0, len(alike), size):
                yield alike[start : start + size]


def _generator(config: Config, image_root: Path) -> Generator:
    if config.generator.name == "openai":
        from mmdpo.models.served import ServedModel

        return ServedModel(config.generator, config.data.sampling, config.data.seed, image_root)
    return OwnModel(config, image_root)


class OwnModel:
    """The config's model in this process, with an adapter where `generator.adapter` names one."""

    def __init__(self, config: Config, image_root: Path) -> None:
        from mmdpo.models.adapter import merged
        from mmdpo.models.device import on_device
        from mmdpo.models.generate import Decoding
        from mmdpo.models.loading import load_model, load_processor

        settings, adapter = config.data.sampling, config.generator.adapter
        model = merged(config.model, Path(adapter)) if adapter else load_model(config.model.path, config.model.dtype)
        self._model = on_device(model)
        self._processor, self._images = load_processor(config.model), image_root
        self._count, self._share = settings.completions, False
        self._decoding = Decoding(
            max_new_tokens=settings.max_new_tokens,
            batch_size=settings.batch_size,
            temperature=settings.temperature,
            top_p=settings.top_p,
            seed=config.data.seed,
        )
        self._tried = False

    def answers(self, prompts: Sequence[Prompt]) -> list[list[str]]:
        """As Generator says; image and prompt go through the model once for all completions."""
        from mmdpo.models.generate import generate_several

        if not self._tried:
            self._share, self._tried = self._can_share(prompts[:1]), True
        return generate_several(
            *(self._model, self._processor, prompts, self._images, self._decoding, self._count),
            share=self._share,
        )

    def _can_share(self, prompts: Sequence[Prompt]) -> bool:
        from mmdpo.models.generate import model_inputs
        from mmdpo.models.prefix import reason_against_sharing

        inputs = model_inputs(self._model, self._processor, prompts, self._images)
        reason = reason_against_sharing(self._model, inputs)
        if reason:
            print_line(f"every completion computes its prompt anew, which takes longer: {reason}")
        return reason is None
