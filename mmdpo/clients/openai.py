"""OpenAI-compatible servers: OpenAI's own, a proxy, or a vLLM of one's own."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from mmdpo.clients.answers import Answer
from mmdpo.clients.batches import BatchStatus, PackedRequest
from mmdpo.clients.chat_completions import Chat, EncodedChat, Turn, encode_chat
from mmdpo.clients.keys import api_key
from mmdpo.clients.openai_batch import BATCH_TIME, LARGEST_FILE, MOST_REQUESTS, OpenAIBatches
from mmdpo.clients.request import Request
from mmdpo.config.schema import JudgeConfig
from mmdpo.errors import UserError

SUPPORTS_BATCHES = True
SENDS_REASONING_EFFORT = True
SENDS_EXTRA_BODY = True
BATCHES_SEND_EXTRA_BODY = True
REASONING_ROOM = {"none": 0, "low": 4096, "medium": 16384, "high": 32768, "xhigh": 65536, "max": 65536}
"""Tokens for a model's reasoning by its effort, on top of judge.max_output_tokens: services count both together."""


class OpenAIClient:
    """A client for all threads, and a mmdpo.clients.batches.BatchService, that sends requests as chat completions."""

    largest_batch = 190_000_000  # bytes; OpenAI takes files of 200 MB

    def __init__(self, judge: JudgeConfig) -> None:
        """Read the key. Raises UserError if there is none, or for jobs of too many requests."""
        if judge.batch and judge.batch_size > MOST_REQUESTS:
            raise UserError(
                f"judge.batch_size={judge.batch_size}: a job holds at most {MOST_REQUESTS} requests; type "
                f"judge.batch_size={MOST_REQUESTS}"
            )
        self._image_side = judge.image_side
        secret = api_key(judge.api_key, f"judge={judge.name}", judge.base_url)
        server = ("judge", judge.model or "", judge.base_url, secret)
        self._chat = Chat(*server, judge.timeout)
        slow = Chat(*server, judge.timeout * BATCH_TIME, largest=LARGEST_FILE) if judge.batch else self._chat
        self._batches = OpenAIBatches(slow)

    def ask(self, request: Request) -> Answer:
        """Request one chat completion. Raises as mmdpo.clients.client.Client documents."""
        extra = dict(request.settings.extra_body) or None
        return self._chat.ask(_turns(request), request.images, self._image_side, extra_body=extra, **_settings(request))

    def pack_request(self, request: Request) -> PackedRequest:
        """Return a line of a job's file; its key comes back with its response."""
        chat: EncodedChat = encode_chat(_turns(request), request.images, self._image_side)
        return self._batches.pack(request.key, chat, {**_settings(request), **request.settings.extra_body})

    def create_batch(self, display_name: str, requests: Sequence[PackedRequest]) -> str:
        """Create a job. This is not retried: after an error the job may exist nevertheless."""
        return self._batches.create(display_name, requests)

    def find_batches(self, display_names: Collection[str]) -> Mapping[str, str]:
        """Return the names of those jobs that the account has."""
        return self._batches.find(display_names)

    def get_batch(self, name: str) -> BatchStatus:
        """Return the state of a job; one that the service does not know ends as `unknown to the service`."""
        return self._batches.get(name)


def make_client(judge: JudgeConfig) -> OpenAIClient:
    """Return the client of a judge with `client: openai`. Raises UserError for a missing key."""
    return OpenAIClient(judge)


def _turns(request: Request) -> list[Turn]:
    return [(message.role, message.text) for message in request.messages]


def _settings(request: Request) -> dict[str, Any]:
    """Return the fields of a chat completion besides its model, its messages and `extra_body`."""
    settings = request.settings
    room = REASONING_ROOM.get(settings.reasoning_effort or "", 0)
    fields: dict[str, Any] = {"max_completion_tokens": settings.max_output_tokens + room}
    if settings.temperature is not None:
        fields["temperature"] = settings.temperature
    if settings.reasoning_effort is not None:
        fields["reasoning_effort"] = settings.reasoning_effort
    if settings.structured and request.schema is not None:
        form = {"name": "reply", "schema": dict(request.schema), "strict": True}
        fields["response_format"] = {"type": "json_schema", "json_schema": form}
    return fields
