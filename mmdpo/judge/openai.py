"""Any OpenAI-compatible service as a judge: OpenAI's own, a proxy, a vLLM on the next node."""

from __future__ import annotations

import base64
from typing import Any

import openai
from openai.types.chat import ChatCompletion

from mmdpo.config import JudgeConfig
from mmdpo.errors import UserError
from mmdpo.judge.client import Answer, DayIsOver, Declined, NoAnswer, Temporary
from mmdpo.judge.keys import api_key, without_key
from mmdpo.judge.photograph import photograph
from mmdpo.judge.request import Request, schema


class OpenAIJudge:
    """One client for all threads; it makes no retries of its own."""

    def __init__(self, judge: JudgeConfig) -> None:
        self.judge = judge
        self.model = judge.model or ""
        key = api_key(judge.api_key, judge.name, judge.base_url)
        self._client = openai.OpenAI(
            api_key=key, base_url=judge.base_url, timeout=judge.timeout, max_retries=0
        )

    def ask(self, request: Request, text: str) -> Answer:
        """One chat completion. Raises as mmdpo.judge.client.Client says."""
        judge, note = self.judge, None
        content: list[dict[str, Any]] = [{"type": "text", "text": text}]
        if request.image is not None:
            image = photograph(request.image, judge.image_side)
            url = f"data:{image.mime};base64,{base64.b64encode(image.content).decode()}"
            content.insert(0, {"type": "image_url", "image_url": {"url": url}})
            note = image.note
        structured: dict[str, Any] = {}
        if judge.structured and request.texts:
            form = {"name": "ratings", "schema": schema(len(request.texts)), "strict": True}
            structured = {"response_format": {"type": "json_schema", "json_schema": form}}
        messages: Any = [{"role": "user", "content": content}]
        try:
            reply = self._client.chat.completions.create(
                model=self.model,
                messages=messages,
                temperature=judge.temperature,
                max_completion_tokens=judge.max_output_tokens,
                **structured,
            )
        except openai.APIStatusError as error:
            raise _no_answer(error, judge, request.image is not None) from None
        except openai.APIConnectionError as error:
            raise Temporary(f"unreachable ({type(error).__name__})") from None
        except (openai.OpenAIError, UnicodeDecodeError, ValueError) as error:
            raise Temporary(f"garbled reply ({type(error).__name__})") from None
        if not isinstance(reply, ChatCompletion):  # the SDK hands on what is no JSON, such as a proxy's page
            raise Temporary("garbled reply (no JSON)")
        return _answer(reply, note)


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
    return Answer(
        choice.message.content or "", tokens_in, tokens_out, note, cut=choice.finish_reason == "length"
    )


def _no_answer(error: openai.APIStatusError, judge: JudgeConfig, has_image: bool) -> NoAnswer | UserError:
    body = error.body if isinstance(error.body, dict) else {}
    message = without_key(str(body.get("message", "")), judge.api_key)[:300]
    if error.status_code == 429 and body.get("code") == "insufficient_quota":
        return DayIsOver("insufficient_quota")
    if error.status_code in (408, 409, 429):
        return Temporary("throttled", _seconds(error.response.headers.get("retry-after")))
    if error.status_code in (401, 403):
        return UserError(f"{error.request.url.host} refuses the key ({message}); set another in its variable")
    if error.status_code == 404:
        return UserError(
            f"judge.model={judge.model}: {error.request.url.host} knows no such model ({message})"
        )
    if body.get("code") == "content_filter":
        return Declined("prompt_blocked_content_filter")
    if error.status_code in (400, 413, 422) and has_image and "image" in message.lower():
        return Declined("image_refused")
    if error.status_code < 500:
        return UserError(
            f"the judge refuses the request: {message}. Look at judge.model={judge.model} and judge.*"
        )
    return Temporary(f"server error {error.status_code}", _seconds(error.response.headers.get("retry-after")))


def _seconds(value: str | None) -> float | None:
    try:
        return float(value) if value else None
    except ValueError:
        return None  # a date; the backoff will do
