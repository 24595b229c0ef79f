"""Parsing of stored replies: a better parser needs no new call."""

from __future__ import annotations

import pytest

from mmdpo.clients.answers import Answer, ParseFailure
from mmdpo.clients.journal import Account, Attempt, Journal
from mmdpo.clients.replies import Found, find_reply
from mmdpo.clients.request import Message, Request

REQUEST = Request("k", "p", "annotate", (Message("user", "Rate!"),), reminder="As a number (%s)!\n")


def number(request: Request, answer: Answer) -> int | ParseFailure:
    return int(answer.text) if answer.text.isdecimal() else ParseFailure("no_number")


def lenient(request: Request, answer: Answer) -> int | ParseFailure:
    return number(request, Answer(answer.text.strip(" !")))


def holding(*attempts: Attempt) -> Journal:
    journal = Journal(None)
    for attempt in attempts:
        journal.record(REQUEST, Account("gemini"), None, attempt, 0.0)
    return journal


def said(reply: str, reminded: bool = False) -> Attempt:
    return Attempt("answered", reply, reminded=reminded)


@pytest.mark.parametrize(
    ("attempts", "found"),
    [
        ([], None),
        ([Attempt("failed", reason="busy")], None),
        ([said("3")], Found(3, text="3")),
        ([said("3"), said("4")], Found(4, text="4")),
        ([said("3"), said("hm")], Found(3, text="3")),  # a value is kept, whatever came after it
        ([said("hm")], Found(None, "no_number", reminder_due=True, text="hm")),
        ([said("hm"), said("ha", reminded=True)], Found(None, "no_number", reminded=True, text="ha")),
        ([said("hm"), said("5", reminded=True)], Found(5, reminded=True, text="5")),
        ([said("hm"), Attempt("declined", reason="safety", reminded=True)], Found(None, "safety", reminded=True)),
        ([Attempt("declined", reason="safety")], Found(None, "safety")),
        ([said("hm"), said("ha", reminded=True), said("ho")], Found(None, "no_number", reminder_due=True, text="ho")),
    ],
)
def test_the_newest_usable_reply_counts_and_the_reminder_is_sent_once(
    attempts: list[Attempt], found: Found[int] | None
) -> None:
    assert find_reply(holding(*attempts), REQUEST, number) == found


def test_a_better_parser_reads_what_is_stored() -> None:
    journal = holding(said("3!"), said("hm", reminded=True))
    assert find_reply(journal, REQUEST, number) == Found(None, "no_number", reminded=True, text="hm")
    assert find_reply(journal, REQUEST, lenient) == Found(3, text="3!")


def test_the_model_that_gave_the_used_reply_is_named() -> None:
    journal = holding(
        Attempt("answered", "3", served="model-2026-01"), Attempt("answered", "hm", served="model-2026-02")
    )
    found = find_reply(journal, REQUEST, number)
    assert found is not None
    assert (found.text, found.served) == ("3", "model-2026-01")


def test_a_truncated_reply_is_known_as_such_when_it_is_read_again() -> None:
    seen: list[bool] = []

    def parser(request: Request, answer: Answer) -> ParseFailure:
        seen.append(answer.truncated)
        return ParseFailure("any")

    find_reply(holding(Attempt("answered", "1", truncated=True)), REQUEST, parser)
    assert set(seen) == {True}


def test_a_reminder_follows_the_request_and_keeps_its_key() -> None:
    reminded = REQUEST.with_reminder("no_number")
    assert reminded.text == "Rate!\nAs a number (no_number)!\n"
    assert reminded.reminded
    assert reminded.key == REQUEST.key
    plain = Request("k", "p", "teacher", (Message("user", "What?"),))
    assert plain.with_reminder("empty").messages == plain.messages
