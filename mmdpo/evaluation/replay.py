"""A judge that replays stored replies: those that another program has paid for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from mmdpo.clients.answers import ParseFailure
from mmdpo.evaluation.task import JudgeReply, JudgeRequest, StoredReply
from mmdpo.records import Prompt, Unscored

NOT_STORED, FAILED = "not_stored", "failed"


@dataclass
class ReplayJudge:
    """Judge that answers from a file's replies and counts those whose request is the one that would be asked.

    Attributes:
        replies: The stored replies.
        verified: The number of replies whose stored request equals ours.
        comparable: The number of replies that were stored with their request.
        mismatched: The ids of the samples whose stored request differs.
    """

    replies: Sequence[StoredReply]
    verified: int = 0
    comparable: int = 0
    mismatched: list[str] = field(default_factory=list)

    def rate(self, items: Sequence[tuple[Prompt, str]]) -> list[Unscored]:
        """Return no ratings: no upstream has them."""
        return [Unscored(prompt.id, NOT_STORED) for prompt, _ in items]

    def ask(self, requests: Sequence[JudgeRequest]) -> list[JudgeReply]:
        """Return the stored reply to each request."""
        known = {(reply.sample, reply.part, reply.repeat): reply for reply in self.replies}
        return [self._reply(request, known.get((request.sample, request.part, request.repeat))) for request in requests]

    def _reply(self, request: JudgeRequest, stored: StoredReply | None) -> JudgeReply:
        if stored is None:
            return JudgeReply(None, reason=NOT_STORED)
        if stored.request is not None:
            self.comparable += 1
            if stored.request == request.messages[-1].text:
                self.verified += 1
            else:
                self.mismatched.append(request.sample)
        if stored.text is None:
            return JudgeReply(None, reason=FAILED, served=stored.judge)
        value = request.parse(stored.text)
        if isinstance(value, ParseFailure):
            return JudgeReply(None, stored.text, value.reason, stored.judge)
        return JudgeReply(value, stored.text, served=stored.judge)
