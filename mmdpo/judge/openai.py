"""Any OpenAI-compatible service as a judge."""

from __future__ import annotations

from typing import Any

from mmdpo.clients.answers import Answer
from mmdpo.clients.keys import api_key
from mmdpo.clients.openai import Chat
from mmdpo.config.schema import JudgeConfig
from mmdpo.judge.request import Request, schema


class OpenAIJudge:
    """One client for all threads."""

    def __init__(self, judge: JudgeConfig) -> None:
        self.judge = judge
        secret = api_key(judge.api_key, f"judge={judge.name}", judge.base_url)
        self._chat = Chat("judge", judge.model or "", judge.base_url, secret, judge.timeout)

    def ask(self, request: Request, text: str) -> Answer:
        """One chat completion. Raises as mmdpo.clients.client.Client says."""
        judge = self.judge
        structured: dict[str, Any] = {}
        if judge.structured and request.texts:
            form = {"name": "ratings", "schema": schema(len(request.texts)), "strict": True}
            structured = {"response_format": {"type": "json_schema", "json_schema": form}}
        return self._chat.ask(
            [("user", text)],
            request.image,
            judge.image_side,
            temperature=judge.temperature,
            max_completion_tokens=judge.max_output_tokens,
            **structured,
        )
