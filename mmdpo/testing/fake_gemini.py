"""A rehearsal server with Google's Gemini API, v1beta over REST: `python -m mmdpo.testing.fake_gemini`.

Both of Google's SDKs can use it. It rates longer answers higher, and fails by its script.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qs

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

METHOD = re.compile(r"/v1(?:alpha|beta)?/models/([^/:]+):(generateContent|batchGenerateContent|countTokens)")
BATCH = re.compile(r"/v1(?:alpha|beta)?/(batches/[^/:]+)(:cancel)?")
LISTED = re.compile(r"/v1(?:alpha|beta)?/batches")
PAGE_SIZE = 2  # jobs per page of a list; small, so that clients need several pages
IMAGE_TOKENS = 258
RETRY_DELAY = "0.2s"
NUMBERS = {"STOP": 1, "MAX_TOKENS": 2, "SAFETY": 3, "RECITATION": 4}
"""Enum values for the older SDK; a prompt's block for SAFETY is 1."""
AS_IS = ("metadata", "responseJsonSchema")
LINE = "python launch.py stage=annotate judge=gemini judge.base_url={url}"

RPC = "type.googleapis.com/google.rpc."
DETAILS: dict[str, list[dict[str, Any]]] = {
    "throttled": [
        {
            "@type": f"{RPC}QuotaFailure",
            "violations": [{"quotaId": "GenerateRequestsPerMinutePerProjectPerModel-FreeTier"}],
        },
        {"@type": f"{RPC}RetryInfo", "retryDelay": RETRY_DELAY},
    ],
    "daily_quota": [
        {
            "@type": f"{RPC}QuotaFailure",
            "violations": [
                {
                    "quotaMetric": "generativelanguage.googleapis.com/generate_content_free_tier_requests",
                    "quotaId": "GenerateRequestsPerDayPerProjectPerModel-FreeTier",
                    "quotaDimensions": {"location": "global"},
                    "quotaValue": "250",
                }
            ],
        },
        {"@type": f"{RPC}RetryInfo", "retryDelay": RETRY_DELAY},
    ],
    "bad_key": [
        {"@type": f"{RPC}ErrorInfo", "reason": "API_KEY_INVALID", "domain": "googleapis.com"},
    ],
}
ERRORS: dict[str, tuple[int, str, str]] = {
    "throttled": (429, "RESOURCE_EXHAUSTED", "You exceeded your current quota. Please retry in 0.2s."),
    "daily_quota": (429, "RESOURCE_EXHAUSTED", "You exceeded your current quota, please check your plan."),
    "busy": (503, "UNAVAILABLE", "The model is overloaded. Please try again later."),
    "bad_key": (400, "INVALID_ARGUMENT", "API key not valid: {key}. Please pass a valid API key."),
    "no_key": (403, "PERMISSION_DENIED", "Method doesn't allow unregistered callers."),
    "unknown_model": (404, "NOT_FOUND", "models/{model} is not found for API version v1beta."),
    "image_refused": (400, "INVALID_ARGUMENT", "Unable to process input image. Please retry."),
    "invalid": (400, "INVALID_ARGUMENT", "{why}"),
    "no_address": (404, "NOT_FOUND", "Requested entity was not found."),
}
"""Status, its name and message. The message of a bad key repeats the key, as some proxies do."""
BLOCKS = ("prompt_blocked", "candidate_blocked", "recitation")


class FakeGemini(FakeServer):
    """A server for generateContent, countTokens and batches of inlined requests."""

    known = (
        *("throttled", "daily_quota", "busy", "bad_key", "unknown_model", "image_refused"),
        *(*BLOCKS, *FORMS),
    )

    def __init__(self, faults: str = "", port: int = 0, batch_polls: int | None = None, **more: Any) -> None:
        """Listen on the port.

        Args:
            faults: The fault script.
            port: The port; 0 takes a free one.
            batch_polls: A batch is done at this poll; None leaves it to `finish_batches`.
            **more: Arguments of FakeServer.
        """
        super().__init__(faults, port, **more)
        self.batch_polls = batch_polls
        self.batches: dict[str, dict[str, Any]] = {}
        self._polls: dict[str, int] = {}

    def reply(self, call: Call) -> Reply:
        """Return the response to a call."""
        if "key=" in call.query:
            self.complain("the key is part of a URL")
        if not call.headers.get("x-goog-api-key"):
            self.complain("no key in x-goog-api-key")
            return self._error("no_key")
        call = replace(call, body=_camel(call.body))
        batch, method = BATCH.fullmatch(call.path), METHOD.fullmatch(call.path)
        if batch and batch[1] in self.batches:
            return Reply(content=self._polled(batch[1], bool(batch[2])))
        if LISTED.fullmatch(call.path) and call.method == "GET":
            return Reply(content=self._listed(parse_qs(call.query)))
        if not method or call.method != "POST":
            return self._error("no_address")
        if method[2] == "countTokens":
            text, images = _parts(call.body)
            return Reply(content={"totalTokens": count_tokens(text) + IMAGE_TOKENS * len(images)})
        if method[2] == "batchGenerateContent":
            return self._batch(call, method[1])
        return self._generated(call.body, method[1], call)

    def finish_batches(self, state: str = "SUCCEEDED") -> None:
        """End all pending jobs: SUCCEEDED, or FAILED, EXPIRED, CANCELLED without responses."""
        for name in list(self.batches):
            self._finish(name, state)

    def _listed(self, query: dict[str, list[str]]) -> dict[str, Any]:
        """Return a page of the jobs, the newest first, without their output."""
        start = int(query.get("pageToken", ["0"])[0])
        with self.lock:
            jobs = list(self.batches.values())[::-1]
        page = [{"name": job["name"], "metadata": {**job["metadata"]}} for job in jobs[start : start + PAGE_SIZE]]
        for job in page:
            job["metadata"].pop("output", None)
        more = {"nextPageToken": str(start + PAGE_SIZE)} if start + PAGE_SIZE < len(jobs) else {}
        return {"operations": page, **more}

    def _generated(self, body: dict[str, Any], model: str, call: Call) -> Reply:
        text, images = _parts(body)
        wrong = self._wrong(body, text, images)
        if wrong:
            self.complain(wrong)
            return self._error("image_refused" if "image" in wrong else "invalid", why=wrong)
        name = self.fault(text, [str(image.get("data")) for image in images])
        if name in ERRORS:
            return self._error(name, model=model, key=call.headers["x-goog-api-key"])
        content = _response(text, len(images), name, model, "enum-encoding" in call.query)
        return self.damaged(Reply(content=content), name)

    def _wrong(self, body: dict[str, Any], text: str, images: list[dict[str, Any]]) -> str | None:
        settings = body.get("generationConfig") or {}
        if not text:
            return "there is no text"
        if any(content.get("role", "user") not in ("user", "model") for content in body.get("contents") or []):
            return "a role other than user and model"
        schema = settings.get("responseJsonSchema") or settings.get("responseSchema")
        if schema:
            self.count_schema()
            if settings.get("responseMimeType") != "application/json":
                return "a schema without responseMimeType=application/json"
            if found := wrong_schema(schema, text):
                return found
        looked = (wrong_image(image.get("data"), image.get("mimeType")) for image in images)
        return next(filter(None, looked), None)

    def _error(self, name: str, **words: str) -> Reply:
        status, title, message = ERRORS[name]
        error: dict[str, Any] = {"code": status, "message": message.format(**words), "status": title}
        if name in DETAILS:
            error["details"] = DETAILS[name]
        return Reply(status, {"error": error})

    def _batch(self, call: Call, model: str) -> Reply:
        batch = call.body.get("batch") or {}
        requests = ((batch.get("inputConfig") or {}).get("requests") or {}).get("requests")
        if not requests:
            self.complain("a batch without inlined requests")
            return self._error("invalid", why="a batch without inlined requests")
        with self.lock:
            name = f"batches/rehearsal{len(self.batches)}"
            metadata = {
                "@type": "type.googleapis.com/google.ai.generativelanguage.v1main.GenerateContentBatch",
                "model": f"models/{model}",
                "displayName": batch.get("displayName", ""),
                "createTime": _now(),
                "updateTime": _now(),
                "batchStats": {"requestCount": str(len(requests)), "pendingRequestCount": str(len(requests))},
                "state": "BATCH_STATE_PENDING",
                "name": name,
            }
            self.batches[name] = {"name": name, "metadata": metadata, "asked": (requests, model, call)}
        return Reply(content=_public(self.batches[name]))

    def _polled(self, name: str, cancel: bool) -> dict[str, Any]:
        metadata = self.batches[name]["metadata"]
        with self.lock:
            self._polls[name] = self._polls.get(name, 0) + 1
            if cancel and metadata["state"] == "BATCH_STATE_PENDING":
                metadata.update(state="BATCH_STATE_CANCELLED", endTime=_now())
        if cancel:
            return {}
        if self.batch_polls is not None and self._polls[name] >= self.batch_polls:
            self._finish(name)
        return _public(self.batches[name])

    def _finish(self, name: str, state: str = "SUCCEEDED") -> None:
        job = self.batches[name]
        with self.lock:
            if job["metadata"]["state"] != "BATCH_STATE_PENDING":
                return
            if state != "SUCCEEDED":
                job["metadata"].update(state=f"BATCH_STATE_{state}", endTime=_now())
                return
            job["metadata"]["state"] = "BATCH_STATE_RUNNING"
        requests, model, call = job["asked"]
        responses = []
        for entry in requests:
            reply = self._generated(entry.get("request") or {}, model, call)
            sound = reply.status == 200 and isinstance(reply.content, dict) and reply.sent == 1
            answer = {"response": reply.content} if sound else {"error": _status(reply)}
            responses.append({**answer, **({"metadata": entry["metadata"]} if "metadata" in entry else {})})
        output = {"inlinedResponses": {"inlinedResponses": responses}}
        kind = "type.googleapis.com/google.ai.generativelanguage.v1main.GenerateContentBatchOutput"
        with self.lock:
            job["metadata"].update(output=output, endTime=_now(), state="BATCH_STATE_SUCCEEDED")
            job.update(done=True, response={"@type": kind, **output})


def _camel(value: Any) -> Any:
    """Convert field names to camelCase: Google takes mimeType and mime_type. Users' own data is left as it is."""
    if isinstance(value, list):
        return [_camel(entry) for entry in value]
    if not isinstance(value, dict):
        return value
    named = {re.sub(r"_([a-z])", lambda found: found[1].upper(), name): of for name, of in value.items()}
    return {name: of if name in AS_IS else _camel(of) for name, of in named.items()}


def _public(job: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in job.items() if name != "asked"}


def _status(reply: Reply) -> dict[str, Any]:
    """Return a google.rpc.Status, which a batch has in place of a response."""
    error = reply.content["error"] if isinstance(reply.content, dict) and reply.status != 200 else {}
    code = {400: 3, 429: 8}.get(reply.status, 13)
    return {"code": code, "message": error.get("message", "internal error")}


def _parts(body: dict[str, Any]) -> tuple[str, list[dict[str, Any]]]:
    """Return all text of a request, and its images."""
    contents = [body.get("systemInstruction") or {}, *(body.get("contents") or [])]
    parts = [part for content in contents for part in content.get("parts") or []]
    images = [part["inlineData"] for part in parts if "inlineData" in part]
    return "\n".join(part["text"] for part in parts if part.get("text")), images


def _response(text: str, images: int, name: str, model: str, numbers: bool) -> dict[str, Any]:
    """Return a GenerateContentResponse, with enums as names or as numbers."""

    def enum(word: str) -> str | int:
        return NUMBERS[word] if numbers else word

    paid = count_tokens(text) + IMAGE_TOKENS * images
    usage = {"promptTokenCount": paid, "totalTokenCount": paid}
    response: dict[str, Any] = {"usageMetadata": usage, "modelVersion": served_name(model), "responseId": "rehearsal"}
    if name == "prompt_blocked":
        return {"promptFeedback": {"blockReason": 1 if numbers else "SAFETY"}, **response}
    if name in ("candidate_blocked", "recitation"):
        finish = "SAFETY" if name == "candidate_blocked" else "RECITATION"
        return {"candidates": [{"finishReason": enum(finish), "index": 0}], **response}
    answer = reply_to(text, name)
    usage.update(candidatesTokenCount=count_tokens(answer), totalTokenCount=paid + count_tokens(answer))
    candidate = {
        "content": {"parts": [{"text": answer}], "role": "model"},
        "finishReason": enum("MAX_TOKENS" if name == "truncated" else "STOP"),
        "index": 0,
    }
    return {"candidates": [candidate], **response}


def _now() -> str:
    return datetime.now(UTC).isoformat().replace("+00:00", "Z")


def fake_gemini(faults: str = "", **more: Any) -> AbstractContextManager[FakeGemini]:
    """Run a server for a `with` block; arguments as FakeGemini's."""
    return serving(FakeGemini(faults, **more))


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the server as a program."""

    def more(parser: argparse.ArgumentParser) -> None:
        parser.add_argument("--batch-polls", type=int, default=3, help="polls until a batch is done")

    return run_server(FakeGemini, 8900, LINE, arguments, more)


if __name__ == "__main__":
    sys.exit(main())
