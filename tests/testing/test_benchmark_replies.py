"""Replies of the rehearsal servers to the judges' prompts of benchmarks: a grade, or what holds none."""

from __future__ import annotations

import ast
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from mmdpo.clients.request import Message, Request
from mmdpo.judge.judges import client_of
from mmdpo.testing.benchmark_replies import STYLES, style_of
from mmdpo.testing.replies import FORMS, REMINDER, readable, reply_to
from tests.testing.services import SERVERS, judge_at

ASKED = {
    "mt_bench": 'Grade it. Write "[[rating]]", for example "[[5]]".\n\n# Question\nWhy?\n\n# Answer\n{}',
    "mm_vet": "Question | Truth | Prediction | Grade\nWho? | Ann | Ann | 1.0\nWhere? | here | {} | ",
    "llava_bench": "[Context]\nA cup.\n\n[Assistant 1]\nYes.\n\n[Assistant 2]\n{}\n\n[System]\nGive two scores.\n\n",
    "alpaca_eval": "Reply with [{{'model': ..., 'rank': ...}}] for model_1 and model_2.\nmodel_1: Yes.\nmodel_2: {}",
    "mmhal": "Is it true? End with Rating: N.\nAnswer: {}",
}
ANSWERS = [f"Answer {number}, which is so long." for number in range(40)]


def in_brackets(reply: str) -> float | None:
    found = re.findall(r"\[\[(\d+(?:\.5)?)\]\]", reply)
    return float(found[0]) if len(found) == 1 and 1 <= float(found[0]) <= 10 else None


def grade(reply: str) -> float | None:
    return float(reply) if re.fullmatch(r"0\.\d|1\.0", reply) else None


def two_scores(reply: str) -> tuple[float, ...] | None:
    words = reply.split("\n")[0].split(" ")
    if len(words) != 2 or not all(re.fullmatch(r"\d+(\.5)?", word) for word in words):
        return None
    scores = tuple(map(float, words))
    return scores if all(1 <= score <= 10 for score in scores) else None


def ranks(reply: str) -> tuple[int, ...] | None:
    found = re.search(r"\[.*\]", reply)
    rows = ast.literal_eval(found[0]) if found else []
    order = tuple(row["rank"] for row in rows)
    return order if sorted(order) == [1, 2] else None


def rating(reply: str) -> int | None:
    found = re.search(r"^Rating: ([0-6])$", reply, re.M)
    return int(found[1]) if found else None


READ: dict[str, Callable[[str], object]] = {
    "mt_bench": in_brackets,
    "mm_vet": grade,
    "llava_bench": two_scores,
    "alpaca_eval": ranks,
    "mmhal": rating,
}
NAMES = pytest.mark.parametrize("name", ASKED)


def test_every_style_is_tried() -> None:
    assert set(STYLES) == set(ASKED) == set(READ)


@NAMES
def test_a_judge_is_recognised_and_grades_by_the_text(name: str) -> None:
    grades = []
    for answer in ANSWERS:
        text = ASKED[name].format(answer)
        assert style_of(text) is STYLES[name]
        reply = reply_to(text)
        assert reply == reply_to(text)
        grades.append(READ[name](reply))
    assert None not in grades
    assert len(set(grades)) > 1


@NAMES
@pytest.mark.parametrize("form", FORMS)
def test_a_faulty_form_holds_a_grade_where_it_says_so(name: str, form: str) -> None:
    for answer in ANSWERS:
        text = ASKED[name].format(answer)
        grade_ = READ[name](reply_to(text, form))
        assert (grade_ is not None) == readable(text, form)


def test_a_reminder_below_the_open_column_is_no_prediction() -> None:
    asked = f"{ASKED['mm_vet'].format('x')}\nThe grade, as a number: "
    assert grade(reply_to(asked)) is not None
    assert style_of(f"{asked}\nAnd so on.") is None


@NAMES
def test_a_judge_that_is_reminded_repeats_itself(name: str) -> None:
    text = ASKED[name].format("x")
    assert reply_to(text) == reply_to(f"{text}{REMINDER}no_rating). Try again.")


def test_other_questions_get_sentences() -> None:
    for text in ("What is [1]?", "Is it | or |?", "Who is the model of rank 1?", "[System] of what?"):
        assert style_of(text) is None
        assert reply_to(text).startswith("In the image ")


@pytest.mark.parametrize("service", SERVERS)
def test_the_mark_may_stand_in_the_systems_message(service: str, tmp_path: Path) -> None:
    messages = (Message("system", 'Write "[[rating]]".'), Message("user", "What?\nThis."))
    with SERVERS[service]("good:1,out_of_range:1") as server:
        client = client_of(judge_at(server, service))
        first, second = (client.ask(Request("k", "p", "bench/x", messages)).text for _ in range(2))
    assert in_brackets(first) is not None
    assert "[[80]]" in second
    assert server.complaints == []
    assert server.answered.total() == 1
