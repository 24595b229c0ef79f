"""OpenAI-compatible servers: OpenAI's own, a proxy, or a vLLM of one's own."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import openai
from openai.types.chat import ChatCompletion

from mmdpo.clients.answers import Answer, DayIsOver, Declined, NoAnswer, Temporary
from mmdpo.clients.images import EncodedImage, encode_image
from mmdpo.clients.keys import api_key
from mmdpo.clients.request import Request
from mmdpo.config.schema import JudgeConfig
from mmdpo.errors import UserError

Turn = tuple[str, str | Sequence[str | Path]]
"""Role and content of a turn: a text, or texts and image files in their order."""


class OpenAIClient:
    """A client for all threads that sends requests as chat completions."""

    def __init__(self, judge: JudgeConfig) -> None:
        """Read the key. Raises UserError if there is none."""
        self._image_side = judge.image_side
        secret = api_key(judge.api_key, f"judge={judge.name}", judge.base_url)
        self._chat = Chat("judge", judge.model or "", judge.base_url, secret, judge.timeout)

    def ask(self, request: Request) -> Answer:
        """Request one chat completion. Raises as mmdpo.clients.client.Client documents."""
        settings, structured = request.settings, dict[str, Any]()
        if settings.structured and request.schema is not None:
            form = {"name": "reply", "schema": dict(request.schema), "strict": True}
            structured = {"response_format": {"type": "json_schema", "json_schema": form}}
        return self._chat.ask(
            [(message.role, message.text) for message in request.messages],
            request.images,
            self._image_side,
            temperature=settings.temperature,
            max_completion_tokens=settings.max_output_tokens,
            **structured,
        )


def make_client(judge: JudgeConfig) -> OpenAIClient:
    """Return the client of a judge with `client: openai`. Raises UserError for a missing key."""
    return OpenAIClient(judge)


class Chat:
    """Chat completions of one model, for all threads; the SDK's own retries are off."""

    def __init__(self, key: str, model: str, base_url: str | None, secret: str, timeout: float) -> None:
        """Open the connection pool.

        Args:
            key: The config's node in messages, `judge` or `generator`.
            model: The server's name of the model.
            base_url: The endpoint; None is OpenAI's.
            secret: The API key, which is removed from messages.
            timeout: Seconds per call.
        """
        self._key, self._model, self._secret = key, model, secret
        self._client = openai.OpenAI(api_key=secret, base_url=base_url, timeout=timeout, max_retries=0)

    def ask(self, turns: Sequence[Turn], images: Sequence[Path], image_side: int, **settings: Any) -> Answer:
        """Return the reply to a chat.

        Args:
            turns: Role and content of each turn, oldest first. The content is a text, or texts and image files in
                their order.
            images: Image files that are sent at the start of the first turn.
            image_side: Longest side of an image, in pixels.
            **settings: Arguments of chat.completions.

        Raises:
            NoAnswer: One of its subclasses, when there is no reply.
            UserError: For what the user must fix.
        """
        messages: list[dict[str, Any]] = []
        encoded: list[EncodedImage] = []
        for role, content in turns:
            parts = [content] if isinstance(content, str) else [*content]
            if not messages:
                parts = [*images, *parts]
            found = [encode_image(part, image_side) for part in parts if isinstance(part, Path)]
            encoded += found
            messages.append({"role": role, "content": _content(parts, found)})
        try:
            reply = self._client.chat.completions.create(model=self._model, messages=messages, **settings)
        except openai.APIStatusError as error:
            raise self._no_answer(error, bool(encoded)) from None
        except openai.APIConnectionError as error:
            raise Temporary(f"unreachable ({type(error).__name__})") from None
        except (openai.OpenAIError, UnicodeDecodeError, ValueError) as error:
            raise Temporary(f"garbled reply ({type(error).__name__})") from None
        if not isinstance(reply, ChatCompletion):  # the SDK returns what is not JSON, such as a proxy's page
            raise Temporary("garbled reply (no JSON)")
        return _answer(reply, "; ".join(image.note for image in encoded if image.note) or None)

    def _no_answer(self, error: openai.APIStatusError, has_image: bool) -> NoAnswer | UserError:
        body = error.body if isinstance(error.body, dict) else {}
        message, status = str(body.get("message", "")), error.status_code
        message = message.replace(self._secret, "***")[:300]  # some repeat the key that they refuse
        host, wait = error.request.url.host, _seconds(error.response.headers.get("retry-after"))
        if status == 429 and body.get("code") == "insufficient_quota":
            return DayIsOver("insufficient_quota")
        if status in (408, 409, 429):
            return Temporary("throttled", wait)
        if status in (401, 403):
            return UserError(f"{host} refuses the key ({message}); set another in its environment variable")
        if status == 404:
            return UserError(f"{self._key}.model={self._model}: {host} has no such model ({message})")
        if body.get("code") == "content_filter":
            return Declined("prompt_blocked_content_filter")
        if status in (400, 413, 422) and has_image and "image" in message.lower():
            return Declined("image_refused")
        if status < 500:
            return UserError(
                f"{host} refuses the request: {message}. Check {self._key}.model={self._model} and {self._key}.*"
            )
        return Temporary(f"server error {status}", wait)


def _content(parts: Sequence[str | Path], images: Sequence[EncodedImage]) -> str | list[dict[str, Any]]:
    """Return the content of a message: a text alone, or its parts, with the images in place of their files."""
    if not images:
        return "".join(map(str, parts))
    remaining = iter(images)
    return [{"type": "text", "text": part} if isinstance(part, str) else _image_part(next(remaining)) for part in parts]


def _image_part(image: EncodedImage) -> dict[str, Any]:
    url = f"data:{image.mime};base64,{base64.b64encode(image.content).decode()}"
    return {"type": "image_url", "image_url": {"url": url}}


def _answer(reply: Any, note: str | None) -> Answer:
    tokens_in = reply.usage.prompt_tokens if reply.usage else 0
    tokens_out = reply.usage.completion_tokens if reply.usage else 0
    if not reply.choices:
        raise Declined("no_candidate", tokens_in)
    choice = reply.choices[0]
    if choice.finish_reason == "content_filter":
        raise Declined("blocked_content_filter", tokens_in)
    if getattr(choice.message, "refusal", None):
        raise Declined("refused", tokens_in)
    return Answer(choice.message.content or "", tokens_in, tokens_out, note, truncated=choice.finish_reason == "length")


def _seconds(value: str | None) -> float | None:
    try:
        return float(value) if value else None
    except ValueError:
        return None  # a date; the backoff applies
