"""Stored replies in place of a judge."""

import pytest

from mmdpo.clients.answers import ParseFailure
from mmdpo.clients.request import Message
from mmdpo.evaluation.replay import FAILED, NOT_STORED, ReplayJudge
from mmdpo.evaluation.task import JudgeRequest, StoredReply


def parse(text):
    return float(text) if text.isdecimal() else ParseFailure("odd")


def request(sample="a", text="Rate it."):
    return JudgeRequest(sample, "", 0, (Message("system", "s"), Message("user", text)), parse)


def stored(text=None, **others):
    return StoredReply("a", "", 0, text, **others)


@pytest.mark.parametrize(
    ("replies", "value", "reason", "upstream"),
    [
        ([], None, NOT_STORED, None),
        ([stored("7")], 7, "", None),
        ([stored("x", value=3.0)], None, "odd", 3),  # what upstream read is not what the text says
        ([stored(None)], None, FAILED, None),
        ([stored(None, value=3.0)], 3, "", 3),
        ([stored("5"), stored("6"), stored("x")], 6, "", None),  # the last that can be read
    ],
)
def test_replies_are_read_and_the_last_valid_one_counts(replies, value, reason, upstream):
    judge = ReplayJudge(replies)
    (reply,) = judge.ask([request()])
    assert (reply.value, reply.reason, reply.upstream) == (value, reason, upstream)
    assert len(reply.others) == max(0, len(replies) - 1)
    assert judge.texts == ({("a", ""): [reply.text]} if reply.text is not None else {})


@pytest.mark.parametrize(
    ("others", "counts"),
    [
        ({}, (0, 0)),
        ({"request": "Rate it."}, (1, 1)),
        ({"request": "Rate that."}, (0, 1)),
        ({"contains": ("Rate", "it")}, (1, 1)),
        ({"contains": ("Rate", "that")}, (0, 1)),
    ],
)
def test_requests_are_compared_with_those_of_the_file(others, counts):
    judge = ReplayJudge([stored("7", **others)])
    judge.ask([request(), request("b")])
    assert (judge.verified, judge.comparable) == counts
    assert judge.mismatched == ["a"] * (counts[1] - counts[0])
