"""MT-Bench's judge: requests, ratings and means."""

from pathlib import Path

import pytest

from mmdpo.clients.answers import ParseFailure
from mmdpo.config.schema import BenchConfig
from mmdpo.errors import UserError
from mmdpo.evaluation.fastchat import read_questions
from mmdpo.evaluation.rubrics.mt_bench import (
    FAILED,
    judge_turns,
    read_as_upstream,
    read_rating,
    read_templates,
    turn_request,
    upstream_scores,
)
from mmdpo.evaluation.task import JudgeReply, Judgment, Response
from mmdpo.files import file_fingerprint
from mmdpo.records import Turn
from tests.support.bench_mt_bench import TEMPLATES, write_lines, write_mt_bench


@pytest.mark.parametrize(
    ("text", "honest", "upstream"),
    [
        ("Good. Rating: [[7]]", 7, 7),
        ("Rating: [[8.5]]", 8.5, 8.5),
        ("Turn 1 was [[5]]. Rating: [[7]]", 7, 5),
        ("Rating: [[80]]", "out_of_range", 80),
        ("Rating: [[0]]", "out_of_range", 0),
        ("The list holds a[3], see [1]. Rating: 6", "no_rating", 3),
        ("Rating: [6]", 6, 6),
        ("As source [2] says, score: [6]", "no_rating", 2),
        ("See [2].", "no_rating", 2),
        ("Rating: [[rating]]", "no_rating", FAILED),
        ("", "no_rating", FAILED),
    ],
)
def test_the_rating_of_a_reply(text, honest, upstream):
    found = read_rating(text)
    assert (found.reason if isinstance(found, ParseFailure) else found) == honest
    assert read_as_upstream(text) == upstream


@pytest.fixture
def bench(tmp_path):
    return BenchConfig(tasks=["mt_bench"], root=str(write_mt_bench(tmp_path)), resamples=20)


def templates_of(bench):
    path = Path(bench.root, "mt_bench", "judge_prompts.jsonl")
    return read_templates(path, file_fingerprint(path))


def items_of(bench):
    return [
        (prompt, Response(prompt.id, prompt.question, "Two {2}.", history=(Turn(prompt.question, "One {1}."),)))
        for prompt in read_questions(bench)
    ]


def test_requests_are_filled_in_as_format_strings_and_values_are_left_alone(bench):
    writing, math, _ = items_of(bench)
    messages = [
        turn_request(*item, turn, 0, templates_of(bench)).messages for item in (writing, math) for turn in (1, 2)
    ]
    assert [(system.role, user.role) for system, user in messages] == [("system", "user")] * 4
    assert [system.text for system, _ in messages] == [
        TEMPLATES[name][0] for name in ("single-v1", "single-v1-multi-turn")
    ] * 2
    assert [user.text for _, user in messages] == [
        "Rate it as [[rating]].\nQ: What is 0?\nA: One {1}.",
        "Q1: What is 0?\nA1: One {1}.\nQ2: Why {0}?\nA2: Two {2}.",
        "Rate it as [[rating]].\nQ: What is 1?\nR: It is.\nA: One {1}.",
        "R1: It is.\nR2: Thus.\nQ1: What is 1?\nA1: One {1}.\nQ2: Why {1}?\nA2: Two {2}.",
    ]
    request = turn_request(*math, 2, 3, templates_of(bench))
    assert (request.sample, request.part, request.repeat) == ("82", "turn_2", 3)
    assert (request.temperature, request.max_output_tokens) == (0, 2048)


@pytest.mark.parametrize(
    ("text", "seen"),
    [
        ("{question} {answer} {model}", "model"),
        ("{question}", "question"),
        ("{question} {answer.__class__}", r"answer\.__class__"),
        ("{question} {answer!r:>9}", "answer!r:>9"),
        ("{question} {answer", r"\("),
    ],
)
def test_prompts_with_other_fields_are_refused(text, seen, tmp_path):
    rows = [
        {"name": name, "system_prompt": system, "prompt_template": text if name == "single-v1" else template}
        for name, (system, template) in TEMPLATES.items()
    ]
    path = write_lines(tmp_path / "prompts.jsonl", rows)
    with pytest.raises(UserError, match=rf"bench\.files\.mt_bench_judge_prompts.*single-v1.*{seen}"):
        read_templates(path, "1")
    write_lines(path, rows[1:])
    with pytest.raises(UserError, match="single-v1"):
        read_templates(path, "2")


class Scripted:
    """Judge whose replies are scripted per sample, part and repeat."""

    def __init__(self, replies):
        self.replies, self.requests = replies, []

    def ask(self, requests):
        self.requests += requests
        return [self.replies(request) for request in requests]


def test_a_verdict_per_turn_is_the_mean_of_the_repeats(bench):
    replies = {0: JudgeReply(6.0, "[[6]]"), 1: JudgeReply(8.0, "[[8]]"), 2: JudgeReply(None, "odd", "no_rating")}
    bench.repeats = 3
    judge = Scripted(lambda request: replies[request.repeat] if request.part == "turn_1" else replies[2])
    verdicts = judge_turns(items_of(bench), judge, bench)
    assert [(one.sample, one.part, one.score, one.reason) for one in verdicts[:3]] == [
        ("81", "turn_1", 7, ""),
        ("81", "turn_2", None, "no_rating"),
        ("82", "turn_1", 7, ""),
    ]
    assert list(verdicts[0].upstream.values()) == [6, 8, FAILED]
    assert [one.answer for one in verdicts[:2]] == ["One {1}.", "Two {2}."]
    assert len(judge.requests) == 3 * 2 * 3


def test_upstreams_means_by_hand():
    """Scores 9 and -1 of one question, 4 and 7 of another: the failure is dropped, and the mean is over three rows."""
    rows = [("81", "turn_1", 9), ("81", "turn_2", -1), ("82", "turn_1", 4), ("82", "turn_2", 7)]
    judgments = [
        Judgment(f"{name}/{part}", None, {}, 1, {"": part, "category": "math"}, upstream={"row_0": score})
        for name, part, score in rows
    ]
    assert upstream_scores(judgments) == {
        "": 6.666667,
        "category/math": 6.666667,
        "turn_1": 6.5,
        "turn_2": 7.0,
    }
    judgments[1].upstream["row_0"] = 2
    judgments[2].upstream["row_0"] = -1
    assert upstream_scores(judgments)["turn_1"] == 9
    assert upstream_scores(judgments)["turn_2"] == 4.5
    assert upstream_scores([]) == {}
