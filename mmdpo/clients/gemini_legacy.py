"""Gemini through google-generativeai, which Google no longer supports; an optional extra."""

from __future__ import annotations

import json
from functools import partial
from typing import Any

from mmdpo.clients.answers import Answer, Declined, NoAnswer, Temporary, model_name, odd_is_temporary, token_count
from mmdpo.clients.gemini_errors import check_body, no_answer
from mmdpo.clients.gemini_thoughts import limit_with_thoughts
from mmdpo.clients.images import encode_image
from mmdpo.clients.keys import api_key
from mmdpo.clients.request import Request
from mmdpo.clients.transport import within
from mmdpo.config.schema import JudgeConfig
from mmdpo.console import print_line
from mmdpo.errors import UserError

BLOCKED = {"SAFETY", "RECITATION", "BLOCKLIST", "PROHIBITED_CONTENT", "SPII", "OTHER", "LANGUAGE"}
ROLES = {"user": "user", "assistant": "model"}


class LegacyGeminiClient:
    """A client for all threads, through the old SDK over REST; the SDK's own retries are off."""

    def __init__(self, judge: JudgeConfig) -> None:
        """Import the SDK and read the key. Raises UserError if either is missing."""
        try:
            import google.generativeai as legacy
            from google.generativeai.client import get_default_generative_client

            from mmdpo.clients.legacy_transport import LimitedAdapter
        except ImportError as error:
            raise UserError(
                "judge=gemini_legacy needs google-generativeai: pip install -e '.[gemini_legacy]' in an "
                "environment of its own, or choose judge=gemini"
            ) from error
        print_line("judge=gemini_legacy: Google no longer supports google-generativeai; choose judge=gemini")
        self.judge = judge
        options = {"api_endpoint": judge.base_url} if judge.base_url else None
        key = api_key(judge.api_key, f"judge={judge.name}", judge.base_url)
        legacy.configure(api_key=key, transport="rest", client_options=options)
        self._make_model = partial(legacy.GenerativeModel, judge.model)
        self._http = LimitedAdapter("judge", judge.timeout)
        session = get_default_generative_client().transport._session
        session.mount("https://", self._http)
        session.mount("http://", self._http)

    def ask(self, request: Request) -> Answer:
        """Call generateContent. Raises as mmdpo.clients.client.Client documents."""
        from google.api_core import exceptions
        from google.protobuf.json_format import ParseError

        judge = self.judge
        contents: list[dict[str, Any]] = [
            {"role": ROLES[message.role], "parts": [message.text]} for message in request.turns
        ]
        images = [encode_image(path, judge.image_side) for path in request.images]
        contents[0]["parts"][:0] = [{"mime_type": image.mime, "data": image.content} for image in images]
        model = self._make_model(system_instruction=request.system)
        settings: dict[str, Any] = {"max_output_tokens": limit_with_thoughts(request.settings.max_output_tokens)}
        if request.settings.temperature is not None:
            settings["temperature"] = request.settings.temperature
        if request.settings.structured and request.schema is not None:
            settings["response_mime_type"] = "application/json"

        note = "; ".join(image.note for image in images if image.note) or None

        def call() -> Answer:
            with odd_is_temporary(lambda: self._http.raw):
                try:
                    # Without `retry: None` the SDK retries for minutes on its own.
                    reply = model.generate_content(
                        contents,
                        generation_config=settings,
                        request_options={"timeout": judge.timeout, "retry": None},
                    )
                except (NoAnswer, UserError):
                    raise
                except exceptions.GoogleAPICallError as error:
                    raise no_answer(int(error.code or 500), _body(error), judge, bool(images)) from None
                except (OSError, ValueError, ParseError) as error:
                    raise Temporary(f"unreachable ({type(error).__name__})") from None
                check_body(self._http.body)
                return _answer(reply, note, request.text)

        return within(judge.timeout, call)


def make_client(judge: JudgeConfig) -> LegacyGeminiClient:
    """Return the client of a judge with `client: gemini_legacy`.

    Raises UserError for a missing key or library.
    """
    return LegacyGeminiClient(judge)


def _body(error: Any) -> dict[str, Any]:
    """Return the JSON of an error, in the form of the newer SDK."""
    try:
        return dict(json.loads(error.response.content))
    except (AttributeError, TypeError, ValueError):
        return {"error": {"message": getattr(error, "message", "")}}


def _answer(reply: Any, note: str | None, asked: str) -> Answer:
    tokens_in = token_count(reply.usage_metadata.prompt_token_count or None, asked)
    if reply.prompt_feedback.block_reason:
        raise Declined(f"prompt_blocked_{reply.prompt_feedback.block_reason.name.lower()}", tokens_in)
    if not reply.candidates:
        raise Declined("no_candidate", tokens_in)
    candidate = reply.candidates[0]
    finish = candidate.finish_reason.name
    text = "".join(part.text for part in candidate.content.parts)
    if finish in BLOCKED and not text:
        raise Declined("recitation" if finish == "RECITATION" else f"blocked_{finish.lower()}", tokens_in)
    tokens_out = token_count(reply.usage_metadata.candidates_token_count or None, text)
    served = model_name(reply.model_version)
    return Answer(text, tokens_in, tokens_out, note, truncated=finish == "MAX_TOKENS", served=served)
