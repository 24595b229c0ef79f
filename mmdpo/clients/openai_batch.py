"""Batch jobs of OpenAI: a file of chat completions is uploaded, files of replies and of errors are downloaded."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

import openai

from mmdpo.clients.answers import Answer, Declined, NoAnswer, Temporary, odd_is_temporary
from mmdpo.clients.batches import DONE, RUNNING, BatchStatus, PackedRequest
from mmdpo.clients.chat_completions import Chat, EncodedChat, answer_of
from mmdpo.clients.transport import KEPT
from mmdpo.errors import UserError

ENDPOINT = "/v1/chat/completions"
WINDOW = "24h"  # the only one that there is
MOST_REQUESTS = 50_000  # per job
LARGEST_FILE = 1 << 30  # bytes of a file of replies
BATCH_TIME = 10  # times judge.timeout, for a file of requests or of replies
PAGE = 100  # jobs per page of a list
DISPLAY_NAME = "display_name"
"""Key of a job's metadata that holds our name of it."""
ENDED = {"completed": DONE, "failed": "failed", "expired": "expired", "cancelled": "cancelled"}
"""States in which a job has ended; the replies until then are in its files."""

Result = TypeVar("Result")


class OpenAIBatches:
    """The batch jobs of an account, which hold requests to the model of a chat."""

    def __init__(self, chat: Chat) -> None:
        """Take the connection.

        Args:
            chat: A connection that allows the time and the size of whole files.
        """
        self._chat = chat

    def pack(self, key: str, chat: EncodedChat, settings: Mapping[str, Any]) -> PackedRequest:
        """Return a request as a line of a job's file.

        Args:
            key: The request's key, which the response repeats.
            chat: The messages.
            settings: More fields of the chat completion.
        """
        body = {"model": self._chat.model, "messages": chat.messages, **settings}
        line = {"custom_id": key, "method": "POST", "url": ENDPOINT, "body": body}
        content = json.dumps(line).encode() + b"\n"
        return PackedRequest(content, len(content), chat.note)

    def create(self, display_name: str, requests: Sequence[PackedRequest]) -> str:
        """Upload a file and create its job; return the service's name for the job."""
        content = b"".join(request.content for request in requests)
        with odd_is_temporary(lambda: self._chat.raw), self._chat.translate_errors(), self._needs_batches():
            file = self._chat.sdk.files.create(
                file=(f"{display_name}.jsonl", content, "application/jsonl"), purpose="batch"
            )
            job = self._chat.sdk.batches.create(
                input_file_id=file.id,
                endpoint=ENDPOINT,
                completion_window=WINDOW,
                metadata={DISPLAY_NAME: display_name},
            )
            return _name(job.id)

    def find(self, display_names: Collection[str]) -> dict[str, str]:
        """Return the service's names of those jobs that exist, by display name."""
        found: dict[str, str] = {}
        with odd_is_temporary(lambda: self._chat.raw), self._chat.translate_errors(), self._needs_batches():
            for job in self._chat.sdk.batches.list(limit=PAGE):
                name = (job.metadata or {}).get(DISPLAY_NAME)
                if name is not None and name in display_names:
                    found[name] = _name(job.id)
                if len(found) == len(display_names):
                    break
        return found

    def get(self, name: str) -> BatchStatus:
        """Return the state of a job, with the replies and errors in its files if it has ended."""
        with odd_is_temporary(lambda: self._chat.raw), self._chat.translate_errors():
            job = _unless_unknown(lambda: self._chat.sdk.batches.retrieve(name))
            if job is None:
                return BatchStatus("unknown to the service")
            state = ENDED.get(job.status, RUNNING)
            if state == RUNNING:
                return BatchStatus(RUNNING)
            lines = [*self._lines(job.error_file_id), *self._lines(job.output_file_id)]
        responses = [*filter(None, map(self._response, lines))]
        return BatchStatus(f"failed{self._reason(job)}" if state == "failed" else state, responses)

    def _lines(self, file_id: str | None) -> list[bytes]:
        """Return the lines of a file; none of one that is absent or was deleted."""
        file = _unless_unknown(lambda: self._chat.sdk.files.content(file_id)) if file_id else None
        return file.content.splitlines() if file else []

    def _response(self, line: bytes) -> tuple[str, Answer | NoAnswer] | None:
        """Return a line's key and response; None for a line without a key, whose request counts as unanswered."""
        try:
            entry = json.loads(line)
            key = entry["custom_id"]
        except (ValueError, TypeError, KeyError, RecursionError):
            return None
        try:
            with odd_is_temporary(lambda: line[:KEPT].decode(errors="replace")):
                return str(key), self._answer(entry)
        except NoAnswer as failure:
            return str(key), failure

    def _answer(self, entry: Mapping[str, Any]) -> Answer | NoAnswer:
        response = entry.get("response")
        if response is None:  # such as batch_expired
            return Temporary(f"{entry['error']['code']} in a job")
        status, body = response["status_code"], response["body"]
        if status == 200:
            return answer_of(body, None, "")
        failure = self._chat.no_answer(int(status), body.get("error"), has_image=True)
        return failure if isinstance(failure, Declined) else Temporary(f"error {status} in a job ({failure})")

    def _reason(self, job: Any) -> str:
        """Return why the service refused a job's file, in brackets."""
        errors = job.errors.data if job.errors else None
        return f" ({self._chat.without_key(str(errors[0].message))})" if errors else ""

    @contextmanager
    def _needs_batches(self) -> Iterator[None]:
        """Translate the error of a server that has chat completions only."""
        try:
            yield
        except openai.NotFoundError:
            raise UserError(f"judge.batch=true: {self._chat.host} has no batch jobs; type judge.batch=false") from None


def _unless_unknown(call: Callable[[], Result]) -> Result | None:
    """Return the result of a call; None if the service does not know what is asked for."""
    try:
        return call()
    except openai.NotFoundError:
        return None


def _name(value: Any) -> str:
    if not isinstance(value, str) or not value:
        raise Temporary("a job without a name")
    return value
