"""Completions of a model behind an OpenAI-compatible server, such as vLLM."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import Any

from mmdpo.clients.answers import Answer, DayIsOver, Declined, Temporary
from mmdpo.clients.chat_completions import Chat, Turn
from mmdpo.clients.keys import api_key
from mmdpo.clients.retries import Waits, retry_while_unreachable
from mmdpo.config.schema import GeneratorConfig, SamplingConfig, ServerConfig
from mmdpo.console import print_line
from mmdpo.errors import Stopped
from mmdpo.images import inside
from mmdpo.models.daemon_pool import DaemonPool
from mmdpo.models.messages import to_messages
from mmdpo.models.server_process import ServerProcess
from mmdpo.records import CUT, Completion, Prompt, images_in_order
from mmdpo.seeds import answer_seed

MAX_ATTEMPTS = 8  # per request
BACKOFF_SECONDS, BACKOFF_LONGEST = 1.0, 60.0  # seconds between two attempts
IMAGE_SIDE = 4096  # pixels; the server's own processor scales images down
SEEDS = 2**31  # servers take seeds below it
CLOSED = "this process stops"


class ServedChat:
    """Connection to a server that answers prompts, several calls at once."""

    def __init__(
        self, key: str, settings: GeneratorConfig | ServerConfig, model: str, process: ServerProcess | None = None
    ) -> None:
        """Connect to the server.

        Args:
            key: The config's node in messages, `generator` or `bench.server`.
            settings: The server's address, key, timeout and concurrency.
            model: The server's name of the model.
            process: The server, if this process has started it; it is asked at its own address, and `close` stops it.
        """
        self._key, self._process = key, process
        self._url = process.base_url if process else settings.base_url
        secret = api_key(settings.api_key, key, self._url)
        self._chat = Chat(key, model, self._url, secret, settings.timeout, direct=process is not None)
        self._waits, self._closed = Waits(), threading.Event()
        self._pool = DaemonPool(settings.concurrency, key)

    def submit(self, prompt: Prompt, image_root: Path, **decoding: Any) -> Future[Answer | None]:
        """Ask for one answer.

        Args:
            prompt: The prompt, whose images are sent at their places.
            image_root: The folder of its images.
            **decoding: Arguments of chat.completions, such as `temperature` and `seed`.

        Returns:
            The answer; None if the server declines. It raises Stopped if the server does not answer after all attempts.
        """
        return self._pool.submit(lambda: self._ask(prompt, image_root, decoding))

    def close(self) -> None:
        """Drop the calls that have not begun, and stop the server if this process has started it."""
        self._closed.set()
        self._pool.close()
        if self._process:
            self._process.close()

    def _ask(self, prompt: Prompt, image_root: Path, decoding: dict[str, Any]) -> Answer | None:
        try:
            return retry_while_unreachable(
                lambda: self._chat.ask(_turns(prompt, image_root), (), IMAGE_SIDE, **decoding),
                *(MAX_ATTEMPTS, BACKOFF_SECONDS, BACKOFF_LONGEST),
                waits=self._waits,
                sleep=self._sleep,
                on_retry=self._require_server,
            )
        except Declined:
            return None
        except (Temporary, DayIsOver) as failure:
            self._require_server(failure)
            where = f"its log: {self._process.log}" if self._process else f"start it, or type {self._key}.base_url="
            raise Stopped(
                f"The server at {self._url or 'api.openai.com'} does not answer ({failure.reason}); {where}. Its "
                "answers so far are kept: rerun the same command."
            ) from failure

    def _sleep(self, seconds: float) -> None:
        if self._closed.wait(seconds):
            raise Stopped(CLOSED)

    def _require_server(self, failure: BaseException | None) -> None:
        if self._process and not self._closed.is_set():
            self._process.require_running()


class ServedModel:
    """Generator that requests one completion per call, each with its own seed, several calls at once."""

    def __init__(
        self,
        generator: GeneratorConfig,
        sampling: SamplingConfig,
        seed: int,
        image_root: Path,
        start: Callable[[], tuple[ServerProcess, str]] | None = None,
    ) -> None:
        """Connect to the server.

        Args:
            generator: The server's address, model, key and concurrency.
            sampling: Settings of the completions.
            seed: Seed of the completions.
            image_root: Folder of the images.
            start: Start the server that is asked, and return it with its name of the model; None if one runs already.
        """
        self._sampling, self._seed, self._images = sampling, seed, image_root
        process, model = start() if start else (None, generator.model or "")
        self._chat = ServedChat("generator", generator, model, process)

    def answers(self, prompts: Sequence[Prompt]) -> list[list[Completion]]:
        """Return the completions of each prompt, without those that the server declines.

        Raises Stopped if the server does not answer after all attempts.
        """
        count = self._sampling.completions
        jobs = [[self._submit(prompt, index) for index in range(count)] for prompt in prompts]
        try:
            found = [[job.result() for job in prompt_jobs] for prompt_jobs in jobs]
        except BaseException:
            self.close()
            raise
        declined = sum(answer is None for answers in found for answer in answers)
        if declined:
            print_line(f"the server declined {declined} completions; these prompts have fewer")
        return [
            [
                Completion(prompt.id, index, answer.text.strip(), CUT if answer.truncated else "stop")
                for index, answer in enumerate(filter(None, answers))
            ]
            for prompt, answers in zip(prompts, found, strict=True)
        ]

    def close(self) -> None:
        """Stop asking, and stop the server if this process has started it."""
        self._chat.close()

    def _submit(self, prompt: Prompt, index: int) -> Future[Answer | None]:
        sampling = self._sampling
        return self._chat.submit(
            prompt,
            self._images,
            temperature=sampling.temperature,
            top_p=sampling.top_p,
            max_tokens=sampling.max_new_tokens,
            seed=answer_seed(self._seed, prompt.id, index) % SEEDS,
        )


def _turns(prompt: Prompt, image_root: Path) -> list[Turn]:
    """Return the turns of a prompt, with its system turn, and its images at their places."""
    images = (inside(image_root, name) for name in images_in_order(prompt))
    return [
        (
            message["role"],
            [next(images) if part["type"] == "image" else part["text"] for part in message["content"]],
        )
        for message in to_messages(prompt)
    ]
