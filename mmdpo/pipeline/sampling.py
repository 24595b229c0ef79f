"""Sampling of completions: several answers per prompt, from the model itself (paper, 3.1) or from a server.

Answers are kept in a file beside the cache until all are there, so that a kill loses none.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, closing
from itertools import chain, islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from mmdpo.activity import report_saved
from mmdpo.config.schema import Config, ModelConfig, SamplingConfig
from mmdpo.console import print_line, progress
from mmdpo.models.libraries import import_libraries
from mmdpo.records import Completion, Prompt
from mmdpo.seeds import round_seed

if TYPE_CHECKING:
    from mmdpo.models.server_process import ServerProcess

LOG = ("logs", "generator.log")
"""The log of the server of `generator.command`, in the study's folder."""
AHEAD = 8  # batches of prompts in memory at once, to separate those with images from those without


class Generator(Protocol):
    """Source of completions; those of a prompt do not depend on the other prompts of a call."""

    def answers(self, prompts: Sequence[Prompt]) -> list[list[Completion]]:
        """Return the completions of each prompt. A generator that must be closed has a method `close()`."""
        ...


def generator_identity(config: Config) -> dict[str, Any]:
    """Return the settings that the completions depend on besides the prompts."""
    sampling, generator = config.data.sampling, config.generator
    decoding = {
        "completions": sampling.completions,
        "temperature": sampling.temperature,
        "top_p": sampling.top_p,
        "max_new_tokens": sampling.max_new_tokens,
        "seed": _seed(config),
    }
    if config.round > 1 and not generator.adapter:
        raise ValueError("a later round samples from the adapter of the round before (mmdpo.points.rounds.resolved)")
    if generator.sampler == "openai":
        return {"server": [generator.base_url, generator.model], "decoding": decoding}
    from mmdpo.models.fingerprints import adapter_fingerprint, processor_fingerprint, weights_fingerprint

    return {
        **({"engine": "server"} if generator.sampler == "server" else {}),
        "model": weights_fingerprint(config.model.path),
        "processor": processor_fingerprint(config.model),
        "dtype": config.model.dtype,
        "adapter": adapter_fingerprint(Path(generator.adapter)) if generator.adapter else None,
        "decoding": decoding,
    }


def _seed(config: Config) -> int:
    """Return the seed of the completions; each round has another one, for the same prompts."""
    return config.data.seed if config.round == 1 else round_seed(config.data.seed, config.round)


def sample(
    config: Config, prompts: Callable[[], Iterable[Prompt]], image_root: Path, unfinished: Path
) -> Iterator[Completion]:
    """Sample the completions of all prompts; continue where a killed run stopped.

    Args:
        config: The model or server, and the settings of sampling.
        prompts: Returns the prompts; called several times.
        image_root: Folder of the images.
        unfinished: File that keeps completions until all are there; deleted after the last one is taken.

    Yields:
        `data.sampling.completions` completions per prompt, in the order of the prompts.
    """
    unfinished.parent.mkdir(parents=True, exist_ok=True)
    _discard_damaged(unfinished)
    with closing(sqlite3.connect(unfinished)) as database:
        database.execute("PRAGMA journal_mode=WAL")
        database.execute(
            "CREATE TABLE IF NOT EXISTS answers (prompt_id TEXT, place INTEGER, text TEXT, "
            "finish_reason TEXT NOT NULL DEFAULT '', PRIMARY KEY (prompt_id, place)) WITHOUT ROWID"
        )
        if "finish_reason" not in {column[1] for column in database.execute("PRAGMA table_info(answers)")}:
            database.execute("ALTER TABLE answers ADD COLUMN finish_reason TEXT NOT NULL DEFAULT ''")
        _answer_missing(config, prompts, image_root, database)
        for prompt in prompts():
            yield from _stored(database, prompt)
    _discard(unfinished)


def _discard(unfinished: Path) -> None:
    for suffix in ("", "-wal", "-shm"):
        unfinished.with_name(unfinished.name + suffix).unlink(missing_ok=True)


def _discard_damaged(unfinished: Path) -> None:
    """Delete a damaged file of completions, which are sampled again."""
    if not unfinished.exists():
        return
    try:
        with closing(sqlite3.connect(unfinished)) as database:
            (found,) = database.execute("PRAGMA quick_check(1)").fetchone()
    except sqlite3.OperationalError:  # locked, or the disk is full: the file may be whole
        raise
    except sqlite3.DatabaseError as error:
        found = str(error)
    if found != "ok":
        print_line(f"{unfinished} is damaged ({found}); its completions are sampled again")
        _discard(unfinished)


def _answer_missing(
    config: Config, prompts: Callable[[], Iterable[Prompt]], image_root: Path, database: sqlite3.Connection
) -> None:
    """Answer the prompts without stored completions; load the generator only if there are any."""
    total = sum(1 for _ in prompts())
    missing = (prompt for prompt in prompts() if not _stored(database, prompt))
    generator: Generator | None = None
    with progress("sampling", total) as advance, ExitStack() as stack:
        advance(_count(database))
        for batch in _batches(missing, config.data.sampling.batch_size):
            if generator is None:
                generator = _generator(config, image_root)
                stack.callback(getattr(generator, "close", lambda: None))
            with database:
                rows = [
                    (one.prompt_id, one.index, one.text, one.finish_reason) for one in chain(*generator.answers(batch))
                ]
                database.executemany("INSERT INTO answers VALUES (?, ?, ?, ?)", rows)
            report_saved("sampling", _count(database))
            advance(len(batch))


def _stored(database: sqlite3.Connection, prompt: Prompt) -> list[Completion]:
    found = database.execute(
        "SELECT prompt_id, place, text, finish_reason FROM answers WHERE prompt_id = ? ORDER BY place", (prompt.id,)
    )
    return [Completion(*row) for row in found]


def _count(database: sqlite3.Connection) -> int:
    return int(database.execute("SELECT count(DISTINCT prompt_id) FROM answers").fetchone()[0])


def _batches(prompts: Iterable[Prompt], size: int) -> Iterator[list[Prompt]]:
    """Split prompts into batches: all with, or all without images."""
    remaining = iter(prompts)
    while block := list(islice(remaining, AHEAD * size)):
        for with_image in (True, False):
            group = [prompt for prompt in block if bool(prompt.images) == with_image]
            for start in range(0, len(group), size):
                yield group[start : start + size]


def _generator(config: Config, image_root: Path) -> Generator:
    if config.generator.sampler in ("openai", "server"):
        from mmdpo.models.served import ServedModel

        start = (lambda: _started_server(config)) if config.generator.sampler == "server" else None
        return ServedModel(config.generator, config.data.sampling, _seed(config), image_root, start)
    return OwnModel(config.model, config.generator.adapter, config.data.sampling, _seed(config), image_root)


def _started_server(config: Config) -> tuple[ServerProcess, str]:
    """Start the server of `generator.command`; returns it with its name of the model."""
    from mmdpo.models.served_folder import served_folder
    from mmdpo.models.server_process import start_server

    generator = config.generator
    values = {
        "model": served_folder(config.model),
        "point": generator.name,
        "adapter": str(Path(generator.adapter).resolve()) if generator.adapter else None,
    }
    return start_server("generator", generator, values, Path(config.out, config.study, *LOG))


class OwnModel:
    """Generator that runs the model in this process, with an adapter if `generator.adapter` names one."""

    def __init__(
        self, model: ModelConfig, adapter: str | None, sampling: SamplingConfig, seed: int, image_root: Path
    ) -> None:
        """Load the model.

        Args:
            model: The model.
            adapter: Folder of an adapter in PEFT format.
            sampling: Settings of the completions.
            seed: Seed of the completions.
            image_root: Folder of the images.
        """
        import_libraries("mmdpo.models.generate")
        from mmdpo.models.adapter import merged
        from mmdpo.models.device import on_device
        from mmdpo.models.generate import Decoding
        from mmdpo.models.loading import load_model, load_processor

        loaded = merged(model, Path(adapter)) if adapter else load_model(model.path, model.dtype)
        self._model = on_device(loaded)
        self._processor, self._images = load_processor(model), image_root
        self._count, self._share = sampling.completions, False
        self._decoding = Decoding(
            max_new_tokens=sampling.max_new_tokens,
            batch_size=sampling.batch_size,
            temperature=sampling.temperature,
            top_p=sampling.top_p,
            seed=seed,
        )
        self._tried = False

    def answers(self, prompts: Sequence[Prompt]) -> list[list[Completion]]:
        """Return the completions of each prompt; image and prompt are computed once for all of them."""
        from mmdpo.models.generate import generate_several

        if not self._tried:
            self._share, self._tried = self._can_share(prompts[:1]), True
        return generate_several(
            *(self._model, self._processor, prompts, self._images, self._decoding, self._count),
            share=self._share,
        )

    def _can_share(self, prompts: Sequence[Prompt]) -> bool:
        from mmdpo.models.generate import repeated_inputs
        from mmdpo.models.prefix import reason_against_sharing

        inputs, twice = (
            repeated_inputs(self._model, self._processor, prompts, self._images, count) for count in (1, 2)
        )
        reason = reason_against_sharing(self._model, inputs, twice)
        if reason:
            print_line(f"prefix sharing is off, every completion computes its prompt again: {reason}")
        return reason is None
