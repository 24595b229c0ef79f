"""Completions of a model behind an OpenAI-compatible server, such as vLLM."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from mmdpo.clients.answers import Answer, DayIsOver, Declined, Temporary
from mmdpo.clients.chat_completions import Chat, Turn
from mmdpo.clients.keys import api_key
from mmdpo.clients.retries import Waits, retry_while_unreachable
from mmdpo.config.schema import GeneratorConfig, SamplingConfig
from mmdpo.console import print_line
from mmdpo.errors import Stopped
from mmdpo.images import inside
from mmdpo.models.messages import to_messages
from mmdpo.records import CUT, Completion, Prompt, images_in_order
from mmdpo.seeds import answer_seed

MAX_ATTEMPTS = 8  # per request
BACKOFF_SECONDS, BACKOFF_LONGEST = 1.0, 60.0  # seconds between two attempts
IMAGE_SIDE = 4096  # pixels; the server's own processor scales images down
SEEDS = 2**31  # servers take seeds below it


class ServedModel:
    """Generator that requests one completion per call, each with its own seed, several calls at once."""

    def __init__(self, generator: GeneratorConfig, sampling: SamplingConfig, seed: int, image_root: Path) -> None:
        """Connect to the server.

        Args:
            generator: The server's address, model, key and concurrency.
            sampling: Settings of the completions.
            seed: Seed of the completions.
            image_root: Folder of the images.
        """
        self._sampling, self._seed, self._images = sampling, seed, image_root
        secret = api_key(generator.api_key, f"generator={generator.name}", generator.base_url)
        self._chat = Chat("generator", generator.model or "", generator.base_url, secret, generator.timeout)
        self._waits = Waits()
        self._pool = ThreadPoolExecutor(generator.concurrency, thread_name_prefix="generator")

    def answers(self, prompts: Sequence[Prompt]) -> list[list[Completion]]:
        """Return the completions of each prompt, without those that the server declines.

        Raises Stopped if the server does not answer after all attempts.
        """
        count = self._sampling.completions
        jobs = [[self._pool.submit(self._complete, prompt, index) for index in range(count)] for prompt in prompts]
        try:
            found = [[job.result() for job in prompt_jobs] for prompt_jobs in jobs]
        except BaseException:
            self._pool.shutdown(cancel_futures=True)
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

    def _complete(self, prompt: Prompt, index: int) -> Answer | None:
        sampling = self._sampling
        try:
            return retry_while_unreachable(
                lambda: self._chat.ask(
                    self._turns(prompt),
                    (),
                    IMAGE_SIDE,
                    temperature=sampling.temperature,
                    top_p=sampling.top_p,
                    max_tokens=sampling.max_new_tokens,
                    seed=answer_seed(self._seed, prompt.id, index) % SEEDS,
                ),
                *(MAX_ATTEMPTS, BACKOFF_SECONDS, BACKOFF_LONGEST),
                waits=self._waits,
            )
        except Declined:
            return None
        except (Temporary, DayIsOver) as failure:
            raise Stopped(
                f"The server does not answer ({failure.reason}). Its answers so far are kept: rerun the same command."
            ) from failure

    def _turns(self, prompt: Prompt) -> list[Turn]:
        """Return the turns of a prompt, with its system turn, and its images at their places."""
        images = (inside(self._images, name) for name in images_in_order(prompt))
        return [
            (
                message["role"],
                [next(images) if part["type"] == "image" else part["text"] for part in message["content"]],
            )
            for message in to_messages(prompt)
        ]
