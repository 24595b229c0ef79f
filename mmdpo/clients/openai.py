"""OpenAI-compatible servers: OpenAI's own, a proxy, or a vLLM of one's own."""

from __future__ import annotations

import base64
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import openai

from mmdpo.clients.answers import (
    Answer,
    DayIsOver,
    Declined,
    NoAnswer,
    Temporary,
    model_name,
    odd_is_temporary,
    token_count,
)
from mmdpo.clients.images import EncodedImage, encode_image
from mmdpo.clients.keys import api_key
from mmdpo.clients.refusals import seconds_to_wait, setting_to_change
from mmdpo.clients.request import Request
from mmdpo.clients.transport import LimitedClient, within
from mmdpo.config.schema import JudgeConfig
from mmdpo.errors import UserError

SENDS_REASONING_EFFORT = True
SENDS_EXTRA_BODY = True
REASONING_ROOM = {"low": 4096, "medium": 16384, "high": 32768, "xhigh": 65536}
"""Tokens for a model's reasoning by its effort, on top of judge.max_output_tokens: services count both together."""
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
        settings, more = request.settings, dict[str, Any]()
        if settings.temperature is not None:
            more["temperature"] = settings.temperature
        if settings.reasoning_effort is not None:
            more["reasoning_effort"] = settings.reasoning_effort
        if settings.structured and request.schema is not None:
            form = {"name": "reply", "schema": dict(request.schema), "strict": True}
            more["response_format"] = {"type": "json_schema", "json_schema": form}
        return self._chat.ask(
            [(message.role, message.text) for message in request.messages],
            request.images,
            self._image_side,
            max_completion_tokens=settings.max_output_tokens + REASONING_ROOM.get(settings.reasoning_effort or "", 0),
            extra_body=dict(settings.extra_body) or None,
            **more,
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
            timeout: Seconds for a whole call.
        """
        self._key, self._model, self._secret = key, model, secret
        self._timeout, self._http = timeout, LimitedClient(key, timeout)
        self._client = openai.OpenAI(
            api_key=secret, base_url=base_url, timeout=timeout, max_retries=0, http_client=self._http
        )

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
        note = "; ".join(image.note for image in encoded if image.note) or None
        asked = "\n".join("".join(part for part in content if isinstance(part, str)) for _, content in turns)

        def call() -> Answer:
            with odd_is_temporary(lambda: self._http.raw):
                return _answer(_loaded(self._send(messages, bool(encoded), settings)), note, asked)

        return within(self._timeout, call)

    def _send(self, messages: list[dict[str, Any]], has_image: bool, settings: dict[str, Any]) -> bytes:
        """Return the body of the reply as it came."""
        try:
            create = self._client.chat.completions.with_raw_response.create
            return bytes(create(model=self._model, messages=messages, **settings).content)
        except openai.APIStatusError as error:
            failure = self._no_answer(error, has_image)
        except (openai.OpenAIError, UnicodeDecodeError, ValueError) as error:
            cause = error if isinstance(error, UserError) else error.__cause__
            if isinstance(cause, NoAnswer | UserError):  # of our own transport; the SDK wraps it
                failure = cause
            elif isinstance(error, openai.APIConnectionError):
                failure = Temporary(f"unreachable ({type(error).__name__})")
            else:
                failure = Temporary(f"garbled reply ({type(error).__name__})")
        raise failure

    def _no_answer(self, error: openai.APIStatusError, has_image: bool) -> NoAnswer | UserError:
        body = error.body if isinstance(error.body, dict) else {}
        message, status = str(body.get("message", "")), error.status_code
        message = message.replace(self._secret, "***")[:300]  # some repeat the key that they refuse
        host, wait = error.request.url.host, seconds_to_wait(error.response.headers.get("retry-after"))
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
            advice = setting_to_change(self._key, message, body.get("param"))
            advice = advice or f"Check {self._key}.model={self._model} and {self._key}.*"
            return UserError(f"{host} refuses the request: {message}. {advice}")
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


def _loaded(content: bytes) -> Any:
    try:
        return json.loads(content)
    except (ValueError, RecursionError) as error:
        raise Temporary(f"garbled reply ({type(error).__name__})") from None


def _answer(body: Any, note: str | None, asked: str) -> Answer:
    """Return the answer in a reply's JSON; whatever is not as the API says raises."""
    if body.get("error") or body.get("choices") is None:
        raise Temporary("error in a reply of status 200")
    usage = body.get("usage") or {}
    tokens_in = token_count(usage.get("prompt_tokens"), asked)
    if not body["choices"]:
        raise Declined("no_candidate", tokens_in)
    choice = body["choices"][0]
    text = _text(choice["message"].get("content"))
    tokens_out = token_count(usage.get("completion_tokens"), text)
    if choice.get("finish_reason") == "content_filter":
        raise Declined("blocked_content_filter", tokens_in, tokens_out=tokens_out)
    if choice["message"].get("refusal"):
        raise Declined("refused", tokens_in, tokens_out=tokens_out)
    truncated = choice.get("finish_reason") == "length"
    return Answer(text, tokens_in, tokens_out, note, truncated, served=model_name(body.get("model")))


def _text(content: Any) -> str:
    """Return the text of a message; some servers send a list of parts, of which a model's thoughts are left out."""
    if content is None:
        return ""
    if isinstance(content, list):
        return "".join(_text(part["text"]) for part in content if part["type"] in ("text", "output_text"))
    if not isinstance(content, str):
        raise TypeError(type(content).__name__)
    return content
