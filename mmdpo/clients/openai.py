"""Chat with any OpenAI-compatible server: OpenAI's own, a proxy, a vLLM on the next node."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import openai
from openai.types.chat import ChatCompletion

from mmdpo.clients.answers import Answer, DayIsOver, Declined, NoAnswer, Temporary
from mmdpo.clients.images import encode_image
from mmdpo.errors import UserError


class Chat:
    """One client for all threads; it makes no retries of its own.

    `key` is the config's node in errors: judge or generator.
    """

    def __init__(self, key: str, model: str, base_url: str | None, secret: str, timeout: float) -> None:
        self._key, self._model, self._secret = key, model, secret
        self._client = openai.OpenAI(api_key=secret, base_url=base_url, timeout=timeout, max_retries=0)

    def ask(self, turns: list[tuple[str, str]], image: Path | None, image_side: int, **settings: Any) -> Answer:
        """The reply to the turns (role and text); the image goes with the first of them.

        `settings` are those of chat.completions. Raises a NoAnswer, or UserError for what the user must mend.
        """
        messages, note = [{"role": role, "content": text} for role, text in turns], None
        if image is not None:
            sent = encode_image(image, image_side)
            url = f"data:{sent.mime};base64,{base64.b64encode(sent.content).decode()}"
            parts: Any = [
                {"type": "image_url", "image_url": {"url": url}},
                {"type": "text", "text": turns[0][1]},
            ]
            messages[0] = {"role": turns[0][0], "content": parts}
            note = sent.note
        try:
            reply = self._client.chat.completions.create(model=self._model, messages=messages, **settings)
        except openai.APIStatusError as error:
            raise self._no_answer(error, image is not None) from None
        except openai.APIConnectionError as error:
            raise Temporary(f"unreachable ({type(error).__name__})") from None
        except (openai.OpenAIError, UnicodeDecodeError, ValueError) as error:
            raise Temporary(f"garbled reply ({type(error).__name__})") from None
        if not isinstance(reply, ChatCompletion):  # the SDK hands on what is no JSON, such as a proxy's page
            raise Temporary("garbled reply (no JSON)")
        return _answer(reply, note)

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
            return UserError(f"{host} refuses the key ({message}); set another in its variable")
        if status == 404:
            return UserError(f"{self._key}.model={self._model}: {host} knows no such model ({message})")
        if body.get("code") == "content_filter":
            return Declined("prompt_blocked_content_filter")
        if status in (400, 413, 422) and has_image and "image" in message.lower():
            return Declined("image_refused")
        if status < 500:
            return UserError(
                f"{host} refuses the request: {message}. Look at {self._key}.model={self._model} and {self._key}.*"
            )
        return Temporary(f"server error {status}", wait)


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
    return Answer(choice.message.content or "", tokens_in, tokens_out, note, cut=choice.finish_reason == "length")


def _seconds(value: str | None) -> float | None:
    try:
        return float(value) if value else None
    except ValueError:
        return None  # a date; the backoff will do
