"""Gemini's batches through google-genai: jobs of inlined requests, and how they stand."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from google.genai import errors, types

from mmdpo.clients.answers import Answer, Declined, NoAnswer, Temporary
from mmdpo.clients.batches import DONE, RUNNING, Look, Packed
from mmdpo.clients.gemini import GeminiJudge, answer_of, met
from mmdpo.clients.keys import without_key
from mmdpo.judge.request import Request

ENDED = {
    "JOB_STATE_SUCCEEDED": DONE,
    "JOB_STATE_PARTIALLY_SUCCEEDED": DONE,
    "JOB_STATE_FAILED": "failed",
    "JOB_STATE_CANCELLED": "cancelled",
    "JOB_STATE_EXPIRED": "expired",
}
INVALID_ARGUMENT = 3  # of google.rpc.Code


class GeminiBatches(GeminiJudge):
    """A mmdpo.clients.batches.Service; it can be asked one by one too."""

    def packed(self, request: Request, text: str) -> Packed:
        """An inlined request; its key comes back with its response."""
        content, settings, note = self.made(request, text)
        inlined = types.InlinedRequest(contents=[content], config=settings, metadata={"key": request.key})
        return Packed(inlined, len(inlined.model_dump_json(exclude_none=True)), note)

    def create(self, display_name: str, requests: Sequence[Packed]) -> str:
        """Create a job. It is not tried again here: after an error it may be there all the same."""
        with met(self.judge, has_image=False):
            job = self._client.batches.create(
                model=self.model,
                src=[request.content for request in requests],
                config=types.CreateBatchJobConfig(display_name=display_name),
            )
        if not job.name:
            raise Temporary("a job without a name")
        return str(job.name)

    def named(self, display_names: Collection[str]) -> dict[str, str]:
        """Those of the account's jobs, which are listed page by page."""
        found: dict[str, str] = {}
        with met(self.judge, has_image=False):
            for job in self._client.batches.list():
                if job.display_name in display_names:
                    found[job.display_name] = job.name
                if len(found) == len(display_names):
                    break
        return found

    def look(self, name: str) -> Look:
        """How a job stands; one that the service knows no more is `unknown`."""
        with met(self.judge, has_image=False):
            try:
                job = self._client.batches.get(name=name)
            except errors.APIError as error:
                if error.code == 404:
                    return Look("unknown to the service")
                raise
        state = ENDED.get(job.state.value if job.state else "", RUNNING)
        entries = (job.dest.inlined_responses if job.dest else None) or []
        return Look(state, [((entry.metadata or {}).get("key"), self._response(entry)) for entry in entries])

    def _response(self, entry: types.InlinedResponse) -> Answer | NoAnswer:
        if entry.response is not None:
            try:
                return answer_of(entry.response, None)
            except Declined as declined:
                return declined
        code = entry.error.code if entry.error else None
        message = without_key(str(entry.error.message if entry.error else ""), self.judge.api_key)[:300]
        if code == INVALID_ARGUMENT and "image" in message.lower():
            return Declined("image_refused")
        return Temporary(f"error {code} in a job ({message})")
