"""Gemini through google-genai: structured replies, images inline, and its errors in our terms."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import httpx2
from google import genai
from google.genai import errors, types

from mmdpo.clients.answers import Answer, DayIsOver, Declined, NoAnswer, Temporary
from mmdpo.clients.images import encode_image
from mmdpo.clients.keys import api_key, without_key
from mmdpo.config.schema import JudgeConfig
from mmdpo.errors import UserError
from mmdpo.judge.request import Request, schema

UNREACHABLE = (httpx.HTTPError, httpx2.HTTPError, ConnectionError, TimeoutError)
GARBLED = (UnicodeDecodeError, ValueError)  # what the SDK lets through of a reply that is no JSON


class GeminiJudge:
    """One client for all threads; it makes no retries of its own."""

    def __init__(self, judge: JudgeConfig) -> None:
        self.judge = judge
        self.model = judge.model or ""
        options = types.HttpOptions(
            base_url=judge.base_url,
            timeout=int(judge.timeout * 1000),
            retry_options=types.HttpRetryOptions(attempts=1),
        )
        key = api_key(judge.api_key, f"judge={judge.name}", judge.base_url)
        self._client = genai.Client(api_key=key, http_options=options, vertexai=False)

    def ask(self, request: Request, text: str) -> Answer:
        """One call of generateContent. Raises as mmdpo.clients.client.Client says."""
        content, settings, note = self.made(request, text)
        with met(self.judge, request.image is not None):
            reply = self._client.models.generate_content(model=self.model, contents=content, config=settings)
        return answer_of(reply, note)

    def made(self, request: Request, text: str) -> tuple[types.Content, types.GenerateContentConfig, str | None]:
        """What is sent for a request, its settings, and what was done to its image."""
        judge, parts, note = self.judge, [types.Part.from_text(text=text)], None
        if request.image is not None:
            image = encode_image(request.image, judge.image_side)
            parts.insert(0, types.Part.from_bytes(data=image.content, mime_type=image.mime))
            note = image.note
        structured: dict[str, Any] = {}
        if judge.structured and request.texts:
            structured = {
                "response_mime_type": "application/json",
                "response_json_schema": schema(len(request.texts)),
            }
        settings = types.GenerateContentConfig(
            temperature=judge.temperature, max_output_tokens=judge.max_output_tokens, **structured
        )
        return types.Content(role="user", parts=parts), settings, note


@contextmanager
def met(judge: JudgeConfig, has_image: bool) -> Iterator[None]:
    """The errors of the SDK within the block, in our terms."""
    try:
        yield
    except errors.APIError as error:
        raise no_answer(error.code, error.details, judge, has_image) from None
    except UNREACHABLE as error:
        raise Temporary(f"unreachable ({type(error).__name__})") from None
    except GARBLED as error:
        raise Temporary(f"garbled reply ({type(error).__name__})") from None


def answer_of(reply: types.GenerateContentResponse, note: str | None) -> Answer:
    """The answer in a reply. Raises Declined where it holds none."""
    usage = reply.usage_metadata
    tokens_in = (usage and usage.prompt_token_count) or 0
    tokens_out = ((usage and usage.candidates_token_count) or 0) + ((usage and usage.thoughts_token_count) or 0)
    feedback = reply.prompt_feedback
    if feedback is not None and feedback.block_reason is not None:
        raise Declined(f"prompt_blocked_{feedback.block_reason.value.lower()}", tokens_in)
    if not reply.candidates:
        raise Declined("no_candidate", tokens_in)
    candidate = reply.candidates[0]
    finish = candidate.finish_reason.value if candidate.finish_reason else "STOP"
    parts = candidate.content.parts if candidate.content and candidate.content.parts else []
    text = "".join(part.text for part in parts if part.text and not part.thought)
    if finish not in ("STOP", "MAX_TOKENS") and not text:
        raise Declined("recitation" if finish == "RECITATION" else f"blocked_{finish.lower()}", tokens_in)
    return Answer(text, tokens_in, tokens_out, note, cut=finish == "MAX_TOKENS")


def no_answer(code: int, details: Any, judge: JudgeConfig, has_image: bool) -> NoAnswer | UserError:
    """What an error of Google's API means; the same for both of its SDKs. `details` is the reply's JSON."""
    error = details.get("error", details) if isinstance(details, dict) else {}
    message = without_key(str(error.get("message", "")), judge.api_key)[:300]
    listed = [entry for entry in error.get("details", []) if isinstance(entry, dict)]
    reasons = {entry.get("reason") for entry in listed}
    if code == 429:
        quotas = [violation for entry in listed for violation in entry.get("violations", [])]
        if any("PerDay" in str(quota.get("quotaId")) for quota in quotas):
            return DayIsOver("quota_of_the_day")
        return Temporary("throttled", _delay(listed))
    if code in (401, 403) or "API_KEY_INVALID" in reasons:
        return UserError(f"Gemini refuses the key: {message}. Set the environment variable of another.")
    if code == 404:
        return UserError(f"judge.model={judge.model}: Gemini knows no such model ({message}); type judge.model=NAME")
    if code == 400 and has_image and "image" in message.lower():
        return Declined("image_refused")
    if code == 400:
        return UserError(f"Gemini refuses the request: {message}. Look at judge.model={judge.model} and judge.*")
    return Temporary(f"server error {code}", _delay(listed))


def _delay(details: list[dict[str, Any]]) -> float | None:
    """Seconds of a RetryInfo, such as "17.5s"."""
    for entry in details:
        found = re.fullmatch(r"(\d+(?:\.\d+)?)s", str(entry.get("retryDelay", "")))
        if found:
            return float(found[1])
    return None
