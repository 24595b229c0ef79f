"""A rehearsal server with the API of OpenAI: `python -m mmdpo.testing.fake_openai`.

As a judge it rates longer answers higher. Any other request gets a short answer that depends on its text, its seed
and the index among the `n` answers. In the place of a server that a job starts:
`python -m mmdpo.testing.fake_openai --served-model-name {model} --lora-modules {point}={adapter} --port {port}`.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from mmdpo.errors import UserError
from mmdpo.testing.fake_openai_batches import ENDS, FakeBatches
from mmdpo.testing.replies import FORMS, reply_to
from mmdpo.testing.server import (
    Call,
    FakeServer,
    Reply,
    count_tokens,
    run_server,
    served_name,
    serving,
    wrong_image,
    wrong_schema,
)

CHAT = ("/v1/chat/completions", "/chat/completions")
MODELS = ("/v1/models", "/models")
MODEL = "rehearsal"
IMAGE_TOKENS = 85
MOST = 128  # answers per call
RETRY_AFTER = "0.2"
LINE = "python launch.py stage=annotate judge=openai judge.base_url={url} judge.model=rehearsal"

ERRORS: dict[str, tuple[int, str, str, str | None]] = {
    "throttled": (429, "Rate limit reached. Please try again in 200ms.", "requests", "rate_limit_exceeded"),
    "daily_quota": (429, "You exceeded your current quota.", "insufficient_quota", "insufficient_quota"),
    "busy": (503, "The engine is currently overloaded.", "server_error", None),
    "bad_key": (401, "Incorrect API key provided: {key}.", "invalid_request_error", "invalid_api_key"),
    "no_key": (401, "You didn't provide an API key.", "invalid_request_error", None),
    "unknown_model": (404, "The model `{model}` does not exist.", "invalid_request_error", "model_not_found"),
    "image_refused": (400, "You uploaded an unsupported image.", "invalid_request_error", "invalid_image"),
    "prompt_blocked": (400, "The prompt was filtered.", "invalid_request_error", "content_filter"),
    "invalid": (400, "{why}", "invalid_request_error", None),
    "no_address": (404, "Invalid URL.", "invalid_request_error", None),
}
"""Status, message, type and code. The message of a bad key repeats the key, as some proxies do."""


class FakeOpenAI(FakeServer):
    """A server for chat completions, one by one or in batch jobs."""

    known = (
        *("throttled", "daily_quota", "insufficient_quota", "busy", "bad_key", "unknown_model"),
        *("image_refused", "prompt_blocked", "content_filter", "refusal", "length", *FORMS),
    )

    def __init__(
        self,
        faults: str = "",
        port: int = 0,
        served: Sequence[str] = (),
        batch_polls: int | None = None,
        batch_ends: str = "SUCCEEDED",
        batch_lost: int = 0,
        **more: Any,
    ) -> None:
        """Listen on the port.

        Args:
            faults: The fault script.
            port: The port; 0 takes a free one.
            served: Names of the models that are listed; others are refused. Without any, each name is answered.
            batch_polls: A batch ends at this poll; None leaves it to `finish_batches`.
            batch_ends: The state in which it ends then; a part of an EXPIRED or CANCELLED batch is answered.
            batch_lost: Number of batches whose creation gets no response, although they are created.
            **more: Arguments of FakeServer.
        """
        super().__init__(faults, port, **more)
        self.served = tuple(served)
        self._jobs = FakeBatches(self._completion, self.complain, batch_polls, batch_ends, batch_lost)
        self.batches, self.files = self._jobs.batches, self._jobs.files

    @property
    def url(self) -> str:
        """The value for judge.base_url."""
        return f"{self.origin}/v1"

    def reply(self, call: Call) -> Reply:
        """Return the response to a call."""
        key = call.headers.get("authorization", "").removeprefix("Bearer ").strip()
        if not key:
            self.complain("no key in Authorization")
            return self._error("no_key")
        if call.path in MODELS:
            return Reply(content={"object": "list", "data": _listed(self.served or (MODEL,))})
        if (found := self._jobs.reply(call)) is not None:
            return found
        if call.path not in CHAT or call.method != "POST":
            return self._error("no_address")
        return self._completion(call.body, key)

    def finish_batches(self, state: str = "SUCCEEDED", answered: int | None = None) -> None:
        """End all pending jobs.

        Args:
            state: SUCCEEDED, FAILED, EXPIRED or CANCELLED.
            answered: The number of requests per job that were answered before; None answers all of a job that
                SUCCEEDED and none of the others.
        """
        self._jobs.finish(state, answered)

    def _completion(self, body: dict[str, Any], key: str) -> Reply:
        text, images = _parts(body)
        model = str(body.get("model") or "")
        if self.served and model not in self.served:
            return self._error("unknown_model", model=model)
        wrong = self._wrong(body, text, images, model)
        if wrong:
            self.complain(wrong)
            return self._error("invalid", why=wrong)
        name = self.fault(text, images)
        name = {"insufficient_quota": "daily_quota", "length": "truncated"}.get(name, name)
        if name in ERRORS:
            return self._error(name, model=model, key=key)
        return self.damaged(Reply(content=_response(body, text, len(images), name, model)), name)

    def _wrong(self, body: dict[str, Any], text: str, images: list[str], model: str) -> str | None:
        if not text or not model:
            return "there is no text" if model else "there is no model"
        answers = body.get("n") or 1
        if not isinstance(answers, int) or not 1 <= answers <= MOST:
            return f"n is not a number from 1 to {MOST}"
        form = body.get("response_format") or {}
        if form.get("type") == "json_schema":
            self.count_schema()
            if found := wrong_schema((form.get("json_schema") or {}).get("schema"), text):
                return found
        for url in images:
            kind, _, data = url.removeprefix("data:").partition(";base64,")
            if found := wrong_image(data, kind):
                return found
        return None

    def _error(self, name: str, **words: str) -> Reply:
        status, message, kind, code = ERRORS[name]
        headers = {"retry-after": RETRY_AFTER} if name == "throttled" else {}
        error = {"message": message.format(**words), "type": kind, "param": None, "code": code}
        return Reply(status, {"error": error}, headers)


def _listed(names: Sequence[str]) -> list[dict[str, str]]:
    return [{"id": name, "object": "model"} for name in names]


def _parts(body: dict[str, Any]) -> tuple[str, list[str]]:
    """Return all text of a request, and the URLs of its images."""
    parts: list[dict[str, Any]] = []
    for message in body.get("messages") or []:
        content = message.get("content") or ""
        parts += [{"type": "text", "text": content}] if isinstance(content, str) else content
    images = [str(part["image_url"]["url"]) for part in parts if part.get("type") == "image_url"]
    return "\n".join(part["text"] for part in parts if part.get("text")), images


def _response(body: dict[str, Any], text: str, images: int, name: str, model: str) -> dict[str, Any]:
    """Return a chat completion; at temperature 0 all answers are the same."""
    paid = count_tokens(text) + IMAGE_TOKENS * images
    choices, spent = [], 0
    for index in range(body.get("n") or 1):
        salt = f"{body.get('seed', 0)} {index}" if body.get("temperature", 1) else ""
        message: dict[str, Any] = {"role": "assistant", "content": None, "refusal": None}
        finish = {"truncated": "length", "content_filter": "content_filter"}.get(name, "stop")
        if name == "refusal":
            message["refusal"] = "I'm sorry, I cannot assist with that request."
        elif name != "content_filter":
            message["content"] = reply_to(text, name, salt)
        spent += count_tokens(message["content"] or "")
        choices.append({"index": index, "message": message, "logprobs": None, "finish_reason": finish})
    return {
        "id": "chatcmpl-rehearsal",
        "object": "chat.completion",
        "created": 0,
        "model": served_name(model),
        "choices": choices,
        "usage": {"prompt_tokens": paid, "completion_tokens": spent, "total_tokens": paid + spent},
    }


def fake_openai(faults: str = "", **more: Any) -> AbstractContextManager[FakeOpenAI]:
    """Run a server for a `with` block; arguments as FakeOpenAI's."""
    return serving(FakeOpenAI(faults, **more))


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the server as a program, also in the place of a server that a job starts."""
    return run_server(_started, 8901, LINE, arguments, _add_options)


def _add_options(parser: argparse.ArgumentParser) -> None:
    names = "names under which the model is served; any name by default"
    parser.add_argument("--served-model-name", nargs="+", default=[], metavar="NAME", help=names)
    parser.add_argument("--lora-modules", nargs="+", default=[], metavar="NAME=FOLDER", help="adapters, by their names")
    parser.add_argument("--start-delay", type=float, default=0.0, help="seconds until the server listens; default: 0")
    parser.add_argument("--child", metavar="FILE", help="start a process that sleeps, and write its id to the file")
    parser.add_argument("--batch-polls", type=int, default=3, help="polls until a batch ends")
    parser.add_argument("--batch-ends", choices=ENDS, default="SUCCEEDED", help="how batches end")
    parser.add_argument("--batch-lost", type=int, default=0, help="batches whose creation gets no response")


def _started(
    served_model_name: Sequence[str],
    lora_modules: Sequence[str],
    start_delay: float,
    child: str | None,
    **more: Any,
) -> FakeOpenAI:
    """Return the server for the options of the program."""
    adapters = dict(module.partition("=")[::2] for module in lora_modules)
    for name, folder in adapters.items():
        if not Path(folder, "adapter_config.json").is_file():
            raise UserError(f"--lora-modules {name}={folder}: holds no adapter_config.json")
    if child:
        Path(child).write_text(str(subprocess.Popen(["sleep", "600"], start_new_session=True).pid), encoding="utf-8")
    time.sleep(start_delay)
    return FakeOpenAI(served=(*served_model_name, *adapters), **more)


if __name__ == "__main__":
    sys.exit(main())
