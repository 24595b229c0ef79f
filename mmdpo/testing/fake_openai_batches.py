"""Files and batch jobs of the rehearsal server with OpenAI's API."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Callable, Sequence
from email import message_from_bytes
from email.message import Message
from email.policy import HTTP
from typing import Any
from urllib.parse import parse_qs

from mmdpo.testing.server import Call, Reply

PATH = re.compile(r"(?:/v1)?/(files|batches)(?:/([^/]+)(/content|/cancel)?)?")
ENDPOINT = "/v1/chat/completions"
PAGE_SIZE = 2  # most jobs per page of a list; small, so that clients need several pages
ENDS = ("SUCCEEDED", "FAILED", "EXPIRED", "CANCELLED")
"""States in which a batch can end; the API says `completed` for the first."""
CODES = {"EXPIRED": "batch_expired", "CANCELLED": "batch_cancelled"}
"""Error codes of the requests that were not answered."""

Complete = Callable[[dict[str, Any], str], Reply]
"""Function that answers a chat completion for an API key."""


class FakeBatches:
    """The files and jobs of an account."""

    def __init__(
        self, complete: Complete, complain: Callable[[str], None], polls: int | None, ends: str, lost: int
    ) -> None:
        """Start without files and jobs.

        Args:
            complete: Answers one request of a job.
            complain: Logs what is wrong with a request.
            polls: A job ends at this poll; None leaves it to `finish`.
            ends: The state in which it ends then.
            lost: Number of jobs whose creation gets no response.
        """
        self._complete, self._complain = complete, complain
        self._polls, self._ends, self._lost = polls, ends, lost
        self.batches: dict[str, dict[str, Any]] = {}
        self.files: dict[str, bytes] = {}
        self._keys: dict[str, str] = {}
        self._polled: dict[str, int] = {}
        self._lock = threading.RLock()

    def reply(self, call: Call) -> Reply | None:
        """Return the response to a call; None for a path that is none of these."""
        found = PATH.fullmatch(call.path)
        if not found:
            return None
        kind, name, action = found.groups()
        with self._lock:
            if kind == "files":
                return self._upload(call) if name is None else self._content(name)
            if name is None:
                key = call.headers["authorization"].removeprefix("Bearer ").strip()
                return self._create(call.body, key) if call.method == "POST" else self._list(parse_qs(call.query))
            if name not in self.batches:
                return _refused(404, f"No batch found with id '{name}'.")
            if action:
                self._end(name, "CANCELLED", 0)
            self._polled[name] = self._polled.get(name, 0) + 1
            if self._polls is not None and self._polled[name] >= self._polls:
                partly = len(self._requests(name)) // 2
                self._end(name, self._ends, partly if self._ends in CODES else None)
            return Reply(content=self.batches[name])

    def finish(self, state: str, answered: int | None) -> None:
        """End all pending jobs; see FakeOpenAI.finish_batches."""
        with self._lock:
            for name in self.batches:
                self._end(name, state, answered)

    def _upload(self, call: Call) -> Reply:
        parts = _form(call)
        if parts.get("purpose") != b"batch" or "file" not in parts:
            return self._wrong("a file without purpose=batch")
        name = f"file-rehearsal{len(self.files)}"
        self.files[name] = parts["file"]
        return Reply(content={"id": name, "object": "file", "bytes": len(parts["file"]), "purpose": "batch"})

    def _content(self, name: str) -> Reply:
        return Reply(content=self.files[name]) if name in self.files else _refused(404, f"No such File object: {name}")

    def _create(self, body: dict[str, Any], key: str) -> Reply:
        if body.get("input_file_id") not in self.files:
            return self._wrong("a batch without its file")
        if body.get("endpoint") != ENDPOINT or body.get("completion_window") != "24h":
            return self._wrong("a batch of another endpoint or window")
        name = f"batch_rehearsal{len(self.batches)}"
        self._keys[name] = key
        self.batches[name] = {
            "id": name,
            "object": "batch",
            "endpoint": ENDPOINT,
            "completion_window": "24h",
            "created_at": len(self.batches),
            "input_file_id": body["input_file_id"],
            "status": "in_progress",
            "metadata": body.get("metadata"),
            "output_file_id": None,
            "error_file_id": None,
            "errors": None,
        }
        if (wrong := _wrong_file(self.files[body["input_file_id"]])) is not None:
            self._complain(wrong)
            self._fail(name, wrong)
        if self._lost:
            self._lost -= 1
            return Reply(sent=0)
        return Reply(content=self.batches[name])

    def _list(self, query: dict[str, list[str]]) -> Reply:
        """Return a page of the jobs, the newest first."""
        names = list(self.batches)[::-1]
        start = names.index(query["after"][0]) + 1 if "after" in query else 0
        page = [self.batches[name] for name in names[start : start + PAGE_SIZE]]
        more = start + PAGE_SIZE < len(names)
        return Reply(content={"object": "list", "data": page, "has_more": more})

    def _end(self, name: str, state: str, answered: int | None) -> None:
        job = self.batches[name]
        if job["status"] != "in_progress":
            return
        if state == "FAILED":
            self._fail(name, "the file cannot be read")
            return
        requests = self._requests(name)
        count = answered if answered is not None else len(requests) * (state == "SUCCEEDED")
        outputs: list[dict[str, Any]] = []
        errors: list[dict[str, Any]] = []
        for number, line in enumerate(requests):
            if number >= count:
                error = {"code": CODES[state], "message": "This request was not answered in time."}
                errors.append({"custom_id": line["custom_id"], "response": None, "error": error})
                continue
            reply = self._complete(line["body"], self._keys[name])
            sound = isinstance(reply.content, dict) and reply.sent == 1
            response = {
                "status_code": reply.status if sound else 500,
                "body": reply.content if sound else {"error": {"message": "internal error"}},
            }
            entry = {"custom_id": line["custom_id"], "response": response, "error": None}
            (outputs if response["status_code"] == 200 else errors).append(entry)
        job["output_file_id"], job["error_file_id"] = self._store(outputs), self._store(errors)
        job["status"] = {"SUCCEEDED": "completed"}.get(state, state.lower())

    def _fail(self, name: str, message: str) -> None:
        errors = [{"code": "invalid_json_line", "message": message, "line": 1}]
        self.batches[name].update(status="failed", errors={"object": "list", "data": errors})

    def _requests(self, name: str) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.files[self.batches[name]["input_file_id"]].splitlines()]

    def _store(self, entries: Sequence[dict[str, Any]]) -> str | None:
        if not entries:
            return None
        name = f"file-rehearsal{len(self.files)}"
        self.files[name] = b"".join(json.dumps(entry).encode() + b"\n" for entry in entries)
        return name

    def _wrong(self, why: str) -> Reply:
        self._complain(why)
        return _refused(400, why)


def _refused(status: int, message: str) -> Reply:
    error = {"message": message, "type": "invalid_request_error", "param": None, "code": None}
    return Reply(status, {"error": error})


def _form(call: Call) -> dict[str, bytes]:
    """Return the fields of a form with files, by name."""
    head = f"Content-Type: {call.headers.get('content-type', '')}\r\n\r\n".encode()
    form = message_from_bytes(head + call.content, policy=HTTP)
    fields: dict[str, bytes] = {}
    for part in form.iter_parts() if form.is_multipart() else ():
        assert isinstance(part, Message)
        name = part.get_param("name", header="content-disposition")
        fields[str(name)] = bytes(part.get_payload(decode=True) or b"")
    return fields


def _wrong_file(content: bytes) -> str | None:
    """Return what is wrong with the requests of a job; None if they can be run."""
    keys, models = set(), set()
    for number, line in enumerate(content.splitlines(), start=1):
        try:
            entry = json.loads(line)
            keys.add(entry["custom_id"])
            models.add(entry["body"]["model"])
            if (entry["method"], entry["url"]) != ("POST", ENDPOINT):
                return f"line {number} asks another endpoint"
        except (ValueError, KeyError, TypeError):
            return f"line {number} is no request"
        if len(keys) < number:
            return f"line {number} repeats a custom_id"
    return None if len(models) == 1 else "a batch of several models, or of none"
