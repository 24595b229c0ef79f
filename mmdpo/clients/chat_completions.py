"""Chat completions of an OpenAI-compatible server: messages, settings, replies and errors."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
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
from mmdpo.clients.refusals import seconds_to_wait, setting_to_change
from mmdpo.clients.request import SYSTEM
from mmdpo.clients.transport import LARGEST_REPLY, LimitedClient, within
from mmdpo.errors import UserError

Turn = tuple[str, str | Sequence[str | Path]]
"""Role and content of a turn: a text, or texts and image files in their order."""


@dataclass(frozen=True)
class EncodedChat:
    """The messages to send, the text in them, and how their images were changed."""

    messages: list[dict[str, Any]]
    text: str
    has_image: bool
    note: str | None


def encode_chat(turns: Sequence[Turn], images: Sequence[Path], image_side: int) -> EncodedChat:
    """Return a chat in the form of the API.

    Args:
        turns: Role and content of each turn, oldest first. The content is a text, or texts and image files in their
            order.
        images: Image files that are sent at the start of the first turn that is not the system's.
        image_side: Longest side of an image, in pixels.
    """
    messages: list[dict[str, Any]] = []
    encoded: list[EncodedImage] = []
    left = [*images]
    for role, content in turns:
        parts = [content] if isinstance(content, str) else [*content]
        if role != SYSTEM:
            parts, left = [*left, *parts], []
        found = [encode_image(part, image_side) for part in parts if isinstance(part, Path)]
        encoded += found
        messages.append({"role": role, "content": _content(parts, found)})
    note = "; ".join(image.note for image in encoded if image.note) or None
    text = "\n".join("".join(part for part in content if isinstance(part, str)) for _, content in turns)
    return EncodedChat(messages, text, bool(encoded), note)


class Chat:
    """Chat completions of one model, for all threads; the SDK's own retries are off.

    Attributes:
        sdk: The SDK's client; its errors are translated within `translate_errors`.
        model: The server's name of the model.
    """

    def __init__(
        self,
        key: str,
        model: str,
        base_url: str | None,
        secret: str,
        timeout: float,
        direct: bool = False,
        largest: int = LARGEST_REPLY,
    ) -> None:
        """Open the connection pool.

        Args:
            key: The config's node in messages: `judge`, `generator` or `bench.server`.
            model: The server's name of the model.
            base_url: The endpoint; None is OpenAI's.
            secret: The API key, which is removed from messages.
            timeout: Seconds for a whole call.
            direct: Whether the environment's proxies are ignored, for a server on this machine.
            largest: Bytes of a reply.
        """
        self.model = model
        self._key, self._secret = key, secret
        self._timeout, self._http = timeout, LimitedClient(key, timeout, largest, direct)
        self.sdk = openai.OpenAI(
            api_key=secret, base_url=base_url, timeout=timeout, max_retries=0, http_client=self._http
        )

    @property
    def raw(self) -> str | None:
        """The start of this thread's last reply."""
        return self._http.raw

    @property
    def host(self) -> str:
        """The server's name."""
        return self.sdk.base_url.host

    def ask(self, turns: Sequence[Turn], images: Sequence[Path], image_side: int, **settings: Any) -> Answer:
        """Return the reply to a chat.

        Args:
            turns: As in `encode_chat`.
            images: As in `encode_chat`.
            image_side: As in `encode_chat`.
            **settings: Arguments of chat.completions.

        Raises:
            NoAnswer: One of its subclasses, when there is no reply.
            UserError: For what the user must fix.
        """
        chat = encode_chat(turns, images, image_side)

        def call() -> Answer:
            with odd_is_temporary(lambda: self.raw):
                return answer_of(_loaded(self._send(chat, settings)), chat.note, chat.text)

        return within(self._timeout, call)

    def _send(self, chat: EncodedChat, settings: dict[str, Any]) -> bytes:
        """Return the body of the reply as it came."""
        with self.translate_errors(chat.has_image):
            create = self.sdk.chat.completions.with_raw_response.create
            return bytes(create(model=self.model, messages=chat.messages, **settings).content)

    @contextmanager
    def translate_errors(self, has_image: bool = False) -> Iterator[None]:
        """Translate SDK errors; `has_image` says whether an image was sent."""
        try:
            yield
            return
        except openai.APIStatusError as error:
            wait = seconds_to_wait(error.response.headers.get("retry-after"))
            failure = self.no_answer(error.status_code, error.body, has_image, wait)
        except (openai.OpenAIError, UnicodeDecodeError, ValueError) as error:
            cause = error if isinstance(error, UserError) else error.__cause__
            if isinstance(cause, NoAnswer | UserError):  # of our own transport; the SDK wraps it
                failure = cause
            elif isinstance(error, openai.APIConnectionError):
                failure = Temporary(f"unreachable ({type(error).__name__})")
            else:
                failure = Temporary(f"garbled reply ({type(error).__name__})")
        raise failure

    def without_key(self, message: str) -> str:
        """Return the start of a service's message without the key: some repeat the key that they refuse."""
        return message.replace(self._secret, "***")[:300]

    def no_answer(self, status: int, error: Any, has_image: bool, wait: float | None = None) -> NoAnswer | UserError:
        """Translate an error of the API.

        Args:
            status: The HTTP status.
            error: The JSON of the error.
            has_image: Whether an image was sent.
            wait: Seconds that the server asks to wait.
        """
        body = error if isinstance(error, dict) else {}
        message = self.without_key(str(body.get("message", "")))
        host = self.host
        if status == 429 and body.get("code") == "insufficient_quota":
            return DayIsOver("insufficient_quota")
        if status in (408, 409, 429):
            return Temporary("throttled", wait)
        if status in (401, 403):
            return UserError(f"{host} refuses the key ({message}); set another in its environment variable")
        if status == 404:
            return UserError(f"{self._key}.model={self.model}: {host} has no such model ({message})")
        if body.get("code") == "content_filter":
            return Declined("prompt_blocked_content_filter")
        if status in (400, 413, 422) and has_image and "image" in message.lower():
            return Declined("image_refused")
        if status < 500:
            advice = setting_to_change(self._key, message, body.get("param"))
            advice = advice or f"Check {self._key}.model={self.model} and {self._key}.*"
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


def answer_of(body: Any, note: str | None, asked: str) -> Answer:
    """Return the answer in a reply's JSON; whatever is not as the API says raises.

    Args:
        body: The JSON of the reply.
        note: How the image was changed before it was sent.
        asked: The text of the request, for an estimate where the service counts no tokens.

    Raises:
        NoAnswer: There is no answer in it.
    """
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
