"""Gemini through google-generativeai, whose support has ended; an extra for those who still need it."""

from __future__ import annotations

import json
from typing import Any

from mmdpo.clients.answers import Answer, Declined, Temporary
from mmdpo.clients.gemini import no_answer
from mmdpo.clients.images import encode_image
from mmdpo.clients.keys import api_key
from mmdpo.config.schema import JudgeConfig
from mmdpo.console import print_line
from mmdpo.errors import UserError
from mmdpo.judge.request import Request

BLOCKED = {"SAFETY", "RECITATION", "BLOCKLIST", "PROHIBITED_CONTENT", "SPII", "OTHER", "LANGUAGE"}


class LegacyGeminiJudge:
    """The old SDK over REST; it makes no retries of its own."""

    def __init__(self, judge: JudgeConfig) -> None:
        try:
            import google.generativeai as legacy
        except ImportError as error:
            raise UserError(
                "judge=gemini_legacy needs google-generativeai: pip install -e '.[gemini_legacy]' in an "
                "environment of its own, or choose judge=gemini"
            ) from error
        print_line("judge=gemini_legacy: Google has ended the support of google-generativeai; choose judge=gemini")
        self.judge = judge
        options = {"api_endpoint": judge.base_url} if judge.base_url else None
        key = api_key(judge.api_key, f"judge={judge.name}", judge.base_url)
        legacy.configure(api_key=key, transport="rest", client_options=options)
        self._model = legacy.GenerativeModel(judge.model)

    def ask(self, request: Request, text: str) -> Answer:
        """One call. Raises as mmdpo.clients.client.Client says."""
        from google.api_core import exceptions
        from google.protobuf.json_format import ParseError

        judge, note = self.judge, None
        contents: list[Any] = [text]
        if request.image is not None:
            image = encode_image(request.image, judge.image_side)
            contents.insert(0, {"mime_type": image.mime, "data": image.content})
            note = image.note
        settings: dict[str, Any] = {
            "temperature": judge.temperature,
            "max_output_tokens": judge.max_output_tokens,
        }
        if judge.structured and request.texts:
            settings["response_mime_type"] = "application/json"
        try:
            # Without `retry: None` the SDK goes on for minutes by itself.
            reply = self._model.generate_content(
                contents,
                generation_config=settings,
                request_options={"timeout": judge.timeout, "retry": None},
            )
        except exceptions.GoogleAPICallError as error:
            raise no_answer(int(error.code or 500), _body(error), judge, bool(request.image)) from None
        except (OSError, ValueError, ParseError) as error:
            raise Temporary(f"unreachable ({type(error).__name__})") from None
        return _answer(reply, note)


def _body(error: Any) -> dict[str, Any]:
    """The reply's JSON, in the form in which the newer SDK gives it."""
    try:
        return dict(json.loads(error.response.content))
    except (AttributeError, TypeError, ValueError):
        return {"error": {"message": getattr(error, "message", "")}}


def _answer(reply: Any, note: str | None) -> Answer:
    tokens_in = reply.usage_metadata.prompt_token_count
    tokens_out = reply.usage_metadata.candidates_token_count
    if reply.prompt_feedback.block_reason:
        raise Declined(f"prompt_blocked_{reply.prompt_feedback.block_reason.name.lower()}", tokens_in)
    if not reply.candidates:
        raise Declined("no_candidate", tokens_in)
    candidate = reply.candidates[0]
    finish = candidate.finish_reason.name
    text = "".join(part.text for part in candidate.content.parts)
    if finish in BLOCKED and not text:
        raise Declined("recitation" if finish == "RECITATION" else f"blocked_{finish.lower()}", tokens_in)
    return Answer(text, tokens_in, tokens_out, note, cut=finish == "MAX_TOKENS")
