"""A request to a model: its messages, images, reply format and decoding, and the key its reply is stored under."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Self

TRUNCATED = "truncated"
"""Reason of a reply that ended at the token limit."""
SYSTEM = "system"
"""Role of a first message with instructions that are not the user's."""
MORE_TOKENS = 4  # times the token limit, when a reply that ended at it is asked for once more


@dataclass(frozen=True)
class Message:
    """One turn of a chat; `role` is `user` or `assistant`, or `system` for the first."""

    role: str
    text: str


@dataclass(frozen=True)
class ReplySettings:
    """Decoding settings of a reply.

    Args:
        temperature: 0 decodes greedily; None is not sent.
        max_output_tokens: Limit of the reply, in tokens.
        structured: Ask for JSON by the request's schema, if the service supports it.
        reasoning_effort: How long a reasoning model thinks; None is not sent.
        extra_body: More fields of the request, as the service names them.
    """

    temperature: float | None = 0.0
    max_output_tokens: int = 4096
    structured: bool = True
    reasoning_effort: str | None = None
    extra_body: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Request:
    """One request to a model.

    Args:
        key: Digest of all that the reply depends on, including the content of the images. Equal requests have
            equal keys and share one reply.
        record_id: Id of the record that the request was made for; noted in the journal.
        purpose: The stage that asks, such as `annotate` or `teacher`. Jobs of another purpose are ignored.
        messages: The chat, oldest turn first; it may begin with a message of the system.
        images: Image files, sent with the first message that is not the system's.
        schema: JSON schema of the reply; None for free text.
        settings: Decoding settings.
        reminder: Text that is added when a reply cannot be parsed; `%s` in it becomes the reason. Without one the
            request is repeated as it is.
        expected_tokens: Guess of the reply's length in tokens, used until the journal has replies to average.
        reminded: Whether the reminder has been added.
    """

    key: str
    record_id: str
    purpose: str
    messages: tuple[Message, ...]
    images: tuple[Path, ...] = ()
    schema: Mapping[str, Any] | None = field(default=None, repr=False)
    settings: ReplySettings = ReplySettings()
    reminder: str = field(default="", repr=False)
    expected_tokens: int = 150
    reminded: bool = False

    @property
    def system(self) -> str | None:
        """The text of the system's message; None if there is none."""
        return self.messages[0].text if self.messages and self.messages[0].role == SYSTEM else None

    @property
    def turns(self) -> tuple[Message, ...]:
        """The messages of user and model."""
        return self.messages if self.system is None else self.messages[1:]

    @property
    def text(self) -> str:
        """The text of all messages."""
        return "\n".join(message.text for message in self.messages)

    def with_reminder(self, reason: str) -> Self:
        """Return the request as it is asked after a reply that could not be parsed.

        The key stays the same: both replies belong to one request. After a reply that ended at the token limit the
        limit is larger, because reasoning models spend it on their thoughts.
        """
        *earlier, last = self.messages
        settings = self.settings
        if reason == TRUNCATED:
            settings = replace(settings, max_output_tokens=settings.max_output_tokens * MORE_TOKENS)
        if self.reminder:
            last = Message(last.role, f"{last.text}\n{self.reminder.replace('%s', reason)}")
        return replace(self, messages=(*earlier, last), settings=settings, reminded=True)
