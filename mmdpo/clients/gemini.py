"""Gemini through google-genai: structured replies, inline images, and batch jobs."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import httpx
import httpx2
from google import genai
from google.genai import errors, types

from mmdpo.clients.answers import Answer, Declined, NoAnswer, Temporary, model_name, odd_is_temporary, token_count
from mmdpo.clients.batches import DONE, RUNNING, BatchStatus, PackedRequest
from mmdpo.clients.gemini_errors import check_body, no_answer
from mmdpo.clients.gemini_thoughts import limit_with_thoughts
from mmdpo.clients.images import encode_image
from mmdpo.clients.keys import api_key, without_key
from mmdpo.clients.request import Request
from mmdpo.clients.transport import KEPT, LARGEST_BATCH, LimitedClient, within
from mmdpo.config.schema import JudgeConfig
from mmdpo.errors import UserError

SUPPORTS_BATCHES = True
SENDS_EXTRA_BODY = True

UNREACHABLE = (httpx.HTTPError, httpx2.HTTPError, ConnectionError, TimeoutError)
GARBLED = (UnicodeDecodeError, ValueError)  # raised by the SDK for a reply that is not JSON
ROLES = {"user": "user", "assistant": "model"}
ENDED = {
    "JOB_STATE_SUCCEEDED": DONE,
    "JOB_STATE_PARTIALLY_SUCCEEDED": DONE,
    "JOB_STATE_FAILED": "failed",
    "JOB_STATE_CANCELLED": "cancelled",
    "JOB_STATE_EXPIRED": "expired",
}
BATCH_TIME = 10  # times judge.timeout, for a job's requests or replies
INVALID_ARGUMENT = 3  # of google.rpc.Code


class GeminiClient:
    """A client for all threads, and a mmdpo.clients.batches.BatchService; the SDK's own retries are off."""

    largest_batch = 18_000_000  # bytes; Gemini takes 20 MB inline

    def __init__(self, judge: JudgeConfig) -> None:
        """Read the key. Raises UserError if there is none."""
        self.judge = judge
        self.model = judge.model or ""
        self._key = api_key(judge.api_key, f"judge={judge.name}", judge.base_url)
        self._http = LimitedClient("judge", judge.timeout)
        self._client = self._connect(self._http, judge.timeout)
        slow = judge.timeout * BATCH_TIME
        self._batch_http = LimitedClient("judge", slow, LARGEST_BATCH) if judge.batch else self._http
        self._batches = (self._connect(self._batch_http, slow) if judge.batch else self._client).batches

    def _connect(self, http: LimitedClient, seconds: float) -> genai.Client:
        options = types.HttpOptions(
            base_url=self.judge.base_url,
            timeout=int(seconds * 1000),
            retry_options=types.HttpRetryOptions(attempts=1),
            httpx_client=http,
        )
        return genai.Client(api_key=self._key, http_options=options, vertexai=False)

    def ask(self, request: Request) -> Answer:
        """Call generateContent. Raises as mmdpo.clients.client.Client documents."""
        contents, config, note = self._encode(request)
        if self.judge.extra_body:
            config.http_options = types.HttpOptions(extra_body=dict(self.judge.extra_body))

        def call() -> Answer:
            with odd_is_temporary(lambda: self._http.raw):
                with translate_errors(self.judge, bool(request.images)):
                    reply = self._client.models.generate_content(model=self.model, contents=contents, config=config)
                check_body(self._http.body)
                return answer_of(reply, note, request.text)

        return within(self.judge.timeout, call)

    def pack_request(self, request: Request) -> PackedRequest:
        """Return an inlined request; its key comes back with its response."""
        contents, config, note = self._encode(request)
        inlined = types.InlinedRequest(contents=contents, config=config, metadata={"key": request.key})
        return PackedRequest(inlined, len(inlined.model_dump_json(exclude_none=True)), note)

    def create_batch(self, display_name: str, requests: Sequence[PackedRequest]) -> str:
        """Create a job. This is not retried: after an error the job may exist nevertheless."""
        with translate_errors(self.judge, has_image=False):
            job = self._batches.create(
                model=self.model,
                src=[request.content for request in requests],
                config=types.CreateBatchJobConfig(display_name=display_name),
            )
        if not job.name:
            raise Temporary("a job without a name")
        return str(job.name)

    def find_batches(self, display_names: Collection[str]) -> dict[str, str]:
        """Return the names of those jobs that the account has; the API lists them page by page."""
        found: dict[str, str] = {}
        with translate_errors(self.judge, has_image=False):
            for job in self._batches.list():
                if job.display_name in display_names:
                    found[job.display_name] = job.name
                if len(found) == len(display_names):
                    break
        return found

    def get_batch(self, name: str) -> BatchStatus:
        """Return the state of a job; one that the service does not know ends as `unknown to the service`."""
        try:
            with translate_errors(self.judge, has_image=False):
                try:
                    job = self._batches.get(name=name)
                except errors.APIError as error:
                    if error.code == 404:
                        return BatchStatus("unknown to the service")
                    raise
        except Temporary:
            status = self._status_with_odd_replies(self._batch_http.body)
            if status is None:
                raise
            return status
        state = ENDED.get(job.state.value if job.state else "", RUNNING)
        entries = (job.dest.inlined_responses if job.dest else None) or []
        return BatchStatus(state, [((entry.metadata or {}).get("key"), self._response(entry)) for entry in entries])

    def _status_with_odd_replies(self, body: bytes | None) -> BatchStatus | None:
        """Return the state of a job that the SDK cannot read: one odd reply must not lose the others.

        None if the body is no job.
        """
        try:
            job = json.loads(body or b"")
            state = ENDED.get(f"JOB_{job['metadata']['state'].removeprefix('BATCH_')}", RUNNING)
            output = job["metadata"].get("output") or job.get("response") or {}
            entries = [*output["inlinedResponses"]["inlinedResponses"]]
            return BatchStatus(state, [(entry["metadata"]["key"], self._odd_response(entry)) for entry in entries])
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
            return None

    def _odd_response(self, entry: dict[str, Any]) -> Answer | NoAnswer:
        try:
            with odd_is_temporary(lambda: json.dumps(entry)[:KEPT]):
                return self._response(types.InlinedResponse.model_validate(entry))
        except NoAnswer as failure:
            return failure

    def _encode(self, request: Request) -> tuple[list[types.Content], types.GenerateContentConfig, str | None]:
        """Return the contents and settings of a request, and how its image was changed."""
        contents = [
            types.Content(role=ROLES[message.role], parts=[types.Part.from_text(text=message.text)])
            for message in request.turns
        ]
        images = [encode_image(path, self.judge.image_side) for path in request.images]
        contents[0].parts[:0] = [types.Part.from_bytes(data=image.content, mime_type=image.mime) for image in images]
        settings, structured = request.settings, dict[str, Any]()
        if settings.structured and request.schema is not None:
            structured = {"response_mime_type": "application/json", "response_json_schema": dict(request.schema)}
        config = types.GenerateContentConfig(
            system_instruction=request.system,
            temperature=settings.temperature,
            max_output_tokens=limit_with_thoughts(settings.max_output_tokens),
            **structured,
        )
        return contents, config, "; ".join(image.note for image in images if image.note) or None

    def _response(self, entry: types.InlinedResponse) -> Answer | NoAnswer:
        if (response := entry.response) is not None:
            try:
                with odd_is_temporary(lambda: response.model_dump_json(exclude_none=True)[:KEPT]):
                    return answer_of(response, None)
            except NoAnswer as failure:
                return failure
        code = entry.error.code if entry.error else None
        message = without_key(str(entry.error.message if entry.error else ""), self.judge.api_key)[:300]
        if code == INVALID_ARGUMENT and "image" in message.lower():
            return Declined("image_refused")
        return Temporary(f"error {code} in a job ({message})")


def make_client(judge: JudgeConfig) -> GeminiClient:
    """Return the client of a judge with `client: gemini`. Raises UserError for a missing key."""
    return GeminiClient(judge)


@contextmanager
def translate_errors(judge: JudgeConfig, has_image: bool) -> Iterator[None]:
    """Translate SDK errors."""
    try:
        yield
    except (NoAnswer, UserError):
        raise
    except errors.APIError as error:
        raise no_answer(error.code, error.details, judge, has_image) from None
    except UNREACHABLE as error:
        raise Temporary(f"unreachable ({type(error).__name__})") from None
    except GARBLED as error:
        raise Temporary(f"garbled reply ({type(error).__name__})") from None
    except Exception as error:  # such as a RecursionError for nested brackets
        raise Temporary(f"odd reply ({type(error).__name__})") from None


def answer_of(reply: types.GenerateContentResponse, note: str | None, asked: str = "") -> Answer:
    """Return the answer in a reply.

    Args:
        reply: The service's reply.
        note: How the image was changed before it was sent.
        asked: The text of the request, for an estimate where the service counts no tokens.

    Raises:
        Declined: There is no answer in it.
    """
    usage = reply.usage_metadata
    tokens_in = token_count(usage and usage.prompt_token_count, asked)
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
    tokens_out = token_count(usage and usage.candidates_token_count, text)
    tokens_out += token_count(usage and usage.thoughts_token_count)
    served = model_name(reply.model_version)
    return Answer(text, tokens_in, tokens_out, note, truncated=finish == "MAX_TOKENS", served=served)
