"""Inference that takes stored answers first, asks equal questions once, and stores each new answer at once."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from mmdpo.config.schema import BenchConfig
from mmdpo.console import print_line
from mmdpo.evaluation.answer_store import AnswerStore
from mmdpo.files import fingerprint
from mmdpo.models.requests import Engine, GenerationRequest
from mmdpo.records import Completion
from mmdpo.timings import timed


class LazyEngine:
    """An engine that is made when it is first needed; a context manager that closes it if it has a `close`."""

    def __init__(self, make: Callable[[], Engine]) -> None:
        """Take the function that makes the engine."""
        self._make = make
        self._engine: Engine | None = None
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        """Return this object."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the engine if it was made."""
        self._stack.close()

    def get(self) -> Engine:
        """Return the engine."""
        if self._engine is None:
            with timed("load", loads=1):
                self._engine = self._make()
            if close := getattr(self._engine, "close", None):
                self._stack.callback(close)
        return self._engine


@dataclass(frozen=True)
class StoredInference:
    """Inference of one sample set.

    Attributes:
        name: The name of the set, for messages.
        engine: The engine for what is not stored.
        store: The stored answers.
        made_of: What else answers depend on, such as the fingerprints of the model.
        image_root: The folder of the samples' images.
        image_digests: Fingerprints of the images, by their names.
        bench: The settings of decoding.
        advance: Is called with the number of requests that have got their answers.
    """

    name: str
    engine: LazyEngine
    store: AnswerStore
    made_of: Mapping[str, Any]
    image_root: Path
    image_digests: Mapping[str, str]
    bench: BenchConfig
    advance: Callable[[int], None] = lambda count: None

    def generate(self, requests: Sequence[GenerationRequest]) -> list[Completion]:
        """Return one answer per request, in their order."""
        keys = [self._key(request) for request in requests]
        places: dict[str, list[int]] = {}
        for place, key in enumerate(keys):
            places.setdefault(key, []).append(place)
        if len(places) < len(keys):
            print_line(f"{self.name}: {len(places):,} different questions of {len(keys):,}")
        missing = [key for key in places if self.store.get(key) is None]
        self.advance(len(keys) - sum(len(places[key]) for key in missing))
        if missing:
            self._ask({key: requests[places[key][0]] for key in missing}, places)
        answers = [self.store.get(key) for key in keys]
        return [
            replace(answer, prompt_id=request.prompt.id)
            for answer, request in zip(answers, requests, strict=True)
            if answer is not None
        ]

    def _ask(self, requests: Mapping[str, GenerationRequest], places: Mapping[str, Sequence[int]]) -> None:
        keys = list(requests)
        unanswered = set(keys)
        try:
            for index, answer in self.engine.get().answer(list(requests.values()), self.image_root):
                self.store.add(keys[index], answer)
                unanswered.discard(keys[index])
                self.advance(len(places[keys[index]]))
        finally:
            self.store.report()
        if unanswered:
            raise RuntimeError(f"{self.name}: the engine left {len(unanswered)} of {len(keys)} questions unanswered")

    def _key(self, request: GenerationRequest) -> str:
        """Return a fingerprint of all that an answer depends on. Sampled answers depend on the prompt's id, too."""
        prompt = request.prompt
        sampled = [prompt.id, self.bench.seed] if request.temperature > 0 else []
        return fingerprint(
            [
                self.made_of,
                [prompt.system, [vars(turn) for turn in prompt.history], prompt.question],
                [self.image_digests[name] for name in prompt.images],
                [vars(place) for place in prompt.image_positions],
                [request.temperature, request.max_new_tokens or self.bench.max_new_tokens, *sampled],
            ]
        )
