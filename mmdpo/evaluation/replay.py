"""A judge that replays stored replies: those that another program has paid for."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

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
        comparable: The number of replies that were stored with their request, or with texts of it.
        mismatched: The ids of the samples whose stored request differs.
        texts: The raw replies that were chosen, by sample and part.
    """

    replies: Sequence[StoredReply]
    verified: int = 0
    comparable: int = 0
    mismatched: list[str] = field(default_factory=list)
    texts: dict[tuple[str, str], list[str]] = field(default_factory=dict)

    def rate(self, items: Sequence[tuple[Prompt, str]]) -> list[Unscored]:
        """Return no ratings: no upstream has them."""
        return [Unscored(prompt.id, NOT_STORED) for prompt, _ in items]

    def ask(self, requests: Sequence[JudgeRequest]) -> list[JudgeReply]:
        """Return the stored reply to each request: of several the last one that can be read."""
        known: dict[tuple[str, str, int], list[StoredReply]] = defaultdict(list)
        for reply in self.replies:
            known[reply.sample, reply.part, reply.repeat].append(reply)
        return [self._reply(request, known[request.sample, request.part, request.repeat]) for request in requests]

    def _reply(self, request: JudgeRequest, stored: Sequence[StoredReply]) -> JudgeReply:
        if not stored:
            return JudgeReply(None, reason=NOT_STORED)
        read = [_read(request, one) for one in stored]
        chosen = max(range(len(read)), key=lambda index: (read[index].value is not None, index))
        self._verify(request, stored[chosen])
        if (text := stored[chosen].text) is not None:
            self.texts.setdefault((request.sample, request.part), []).append(text)
        return replace(read[chosen], others=tuple(read[:chosen] + read[chosen + 1 :]))

    def _verify(self, request: JudgeRequest, stored: StoredReply) -> None:
        if stored.request is None and not stored.contains:
            return
        self.comparable += 1
        ours = request.messages[-1].text
        if (stored.request is None or stored.request == ours) and all(text in ours for text in stored.contains):
            self.verified += 1
        else:
            self.mismatched.append(request.sample)


def _read(request: JudgeRequest, stored: StoredReply) -> JudgeReply:
    reply = JudgeReply(
        stored.value, stored.text, "" if stored.value is not None else FAILED, stored.judge, stored.value
    )
    if stored.text is None:
        return reply
    value = request.parse(stored.text)
    if isinstance(value, ParseFailure):
        return replace(reply, value=None, reason=value.reason)
    return replace(reply, value=value, reason="")
