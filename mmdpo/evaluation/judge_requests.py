"""Requests of tasks to a judge that is a service, and its replies."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from mmdpo.clients.answers import ParseFailure
from mmdpo.clients.request import Message


@dataclass(frozen=True)
class JudgeRequest:
    """A question of a task to a service.

    Attributes:
        sample: The id of the sample.
        part: The name of the judged part, such as `turn_1`; empty for a sample that is judged as a whole.
        repeat: The number of the repeated judgment, from 0. Repeated requests are asked apart.
        messages: The chat: an optional system message, then the user's.
        parse: Read a reply: a value, or why there is none. It must not raise.
        temperature: Of the reply; it is not sent to a model that refuses one (bench.judge.temperature=null).
        max_output_tokens: The limit of the reply; reasoning is allowed on top of it.
        reminder: Text that is added when a reply cannot be read, as in `mmdpo.clients.request.Request`.
    """

    sample: str
    part: str
    repeat: int
    messages: tuple[Message, ...]
    parse: Callable[[str], Any | ParseFailure]
    temperature: float = 0.0
    max_output_tokens: int = 1024
    reminder: str = ""


@dataclass(frozen=True)
class JudgeReply:
    """The outcome of a request to a judge.

    Attributes:
        value: The value that was read; None without a readable reply.
        text: The raw reply, readable or not; None if there is none.
        reason: Why there is no value.
        served: The name of the model as the server reports it; empty if unknown.
        upstream: What upstream has read from a reply that it has stored; None if unknown.
        others: Further replies to the same request in a file of upstream's, whose scripts count all of them.
    """

    value: Any | None
    text: str | None = None
    reason: str = ""
    served: str = ""
    upstream: Any | None = None
    others: tuple[JudgeReply, ...] = ()
