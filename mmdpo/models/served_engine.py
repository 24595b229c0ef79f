"""Answers of a model behind an OpenAI-compatible server to the questions of benchmarks."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import Future, as_completed
from pathlib import Path

from mmdpo.clients.answers import Answer
from mmdpo.config.schema import BenchConfig
from mmdpo.console import print_line
from mmdpo.models.requests import GenerationRequest
from mmdpo.models.served import SEEDS, ServedChat
from mmdpo.models.server_process import ServerProcess
from mmdpo.records import CUT, DECLINED, Completion
from mmdpo.seeds import answer_seed


class ServedEngine:
    """Engine that asks a server, several questions at once."""

    def __init__(self, bench: BenchConfig, model: str, process: ServerProcess | None = None) -> None:
        """Connect to the server.

        Args:
            bench: The server's settings, the limit of answers whose request names none, and the seed of sampled ones.
            model: The server's name of the model.
            process: The server, if this process has started it; `close` stops it.
        """
        self._chat = ServedChat("bench.server", bench.server, model, process)
        self._max_new_tokens, self._seed = bench.max_new_tokens, bench.seed

    def answer(self, requests: Sequence[GenerationRequest], image_root: Path) -> Iterator[tuple[int, Completion]]:
        """Yield each answer with the index of its request; see mmdpo.models.requests.Engine.

        An answer that the server declines is empty, and its finish reason says so.
        """
        jobs = {self._submit(request, image_root): index for index, request in enumerate(requests)}
        declined = cut = 0
        try:
            for job in as_completed(jobs):
                index, found = jobs.pop(job), job.result()
                prompt = requests[index].prompt
                if found is None:
                    declined += 1
                    yield index, Completion(prompt.id, 0, "", DECLINED)
                else:
                    cut += found.truncated
                    yield index, Completion(prompt.id, 0, found.text.strip(), CUT if found.truncated else "stop")
        finally:
            for job in jobs:
                job.cancel()
        for count, what in ((declined, "were declined by the server"), (cut, "reached the limit of tokens")):
            if count:
                print_line(f"{count} of {len(requests)} answers {what}")

    def close(self) -> None:
        """Stop asking, and stop the server if this process has started it."""
        self._chat.close()

    def _submit(self, request: GenerationRequest, image_root: Path) -> Future[Answer | None]:
        return self._chat.submit(
            request.prompt,
            image_root,
            temperature=request.temperature,
            max_tokens=request.max_new_tokens or self._max_new_tokens,
            seed=answer_seed(self._seed, request.prompt.id, 0) % SEEDS,
        )
