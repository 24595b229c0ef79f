"""The model behind an OpenAI-compatible server, such as vLLM: the same prompts, the same records."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from mmdpo.clients.answers import DayIsOver, Declined, Temporary
from mmdpo.clients.keys import api_key
from mmdpo.clients.openai import Chat
from mmdpo.clients.retries import retry_while_unreachable
from mmdpo.config.schema import GeneratorConfig, SamplingConfig
from mmdpo.console import print_line
from mmdpo.errors import Stopped
from mmdpo.images import inside
from mmdpo.records import Prompt
from mmdpo.seeds import answer_seed

TRIES, FIRST, LONGEST = 8, 1.0, 60.0  # of one request; seconds between two of them
SIDE = 4096  # pixels; the server's own processor makes images as small as it wants them
SEEDS = 2**31  # what servers take


class ServedModel:
    """Asks for one completion a request, each with a seed of its own; `concurrency` requests at once."""

    def __init__(self, generator: GeneratorConfig, sampling: SamplingConfig, seed: int, image_root: Path) -> None:
        self._sampling, self._seed, self._images = sampling, seed, image_root
        secret = api_key(generator.api_key, f"generator={generator.name}", generator.base_url)
        self._chat = Chat("generator", generator.model or "", generator.base_url, secret, generator.timeout)
        self._pool = ThreadPoolExecutor(generator.concurrency, thread_name_prefix="generator")

    def answers(self, prompts: Sequence[Prompt]) -> list[list[str]]:
        """As mmdpo.pipeline.sampling.Generator says; a completion that the server declines is left out.

        Raises Stopped where the server does not answer, after all tries.
        """
        count = self._sampling.completions
        jobs = [[self._pool.submit(self._one, prompt, place) for place in range(count)] for prompt in prompts]
        try:
            texts = [[job.result() for job in of_prompt] for of_prompt in jobs]
        except BaseException:
            self._pool.shutdown(cancel_futures=True)
            raise
        declined = sum(text is None for of_prompt in texts for text in of_prompt)
        if declined:
            print_line(f"the server declined {declined} completions; these prompts have fewer")
        return [[text for text in of_prompt if text is not None] for of_prompt in texts]

    def _one(self, prompt: Prompt, place: int) -> str | None:
        sampling = self._sampling
        turns = [
            turn
            for exchange in prompt.history
            for turn in (("user", exchange.question), ("assistant", exchange.answer))
        ]
        images = [inside(self._images, prompt.image)] if prompt.image else []
        try:
            answer = retry_while_unreachable(
                lambda: self._chat.ask(
                    [*turns, ("user", prompt.question)],
                    images,
                    SIDE,
                    temperature=sampling.temperature,
                    top_p=sampling.top_p,
                    max_tokens=sampling.max_new_tokens,
                    seed=answer_seed(self._seed, prompt.id, place) % SEEDS,
                ),
                *(TRIES, FIRST, LONGEST),
            )
        except Declined:
            return None
        except (Temporary, DayIsOver) as failure:
            raise Stopped(
                f"the server does not answer ({failure.reason}); what it answered is kept. Run the same line again."
            ) from failure
        return answer.text.strip()
