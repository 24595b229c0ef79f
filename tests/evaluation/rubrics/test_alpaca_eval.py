"""AlpacaEval's judge: requests, orders and preferences."""

import dataclasses

import pytest

from mmdpo.clients.answers import ParseFailure
from mmdpo.config.schema import BenchConfig
from mmdpo.errors import UserError
from mmdpo.evaluation.rubrics.alpaca_eval import (
    EXCHANGED,
    is_switched,
    judge_pairs,
    pair_request,
    read_as_upstream,
    read_preference,
    read_template,
)
from mmdpo.evaluation.task import JudgeReply, Response
from mmdpo.records import Prompt
from tests.support.bench_alpaca_eval import PROMPT, instruction, write_alpaca_eval

FIRST = "[{'model': 'model_1', 'rank': 1}, {'model': 'model_2', 'rank': 2}]"
SECOND = "[{'model': 'model_1', 'rank': 2}, {'model': 'model_2', 'rank': 1}]"


@pytest.mark.parametrize(
    ("text", "honest", "upstream"),
    [
        (FIRST, 1, 1),
        (SECOND, 2, 2),
        (f" {SECOND}\n", 2, 2),
        (f"```python\n{SECOND}\n```", 2, None),
        (f"The ranking: {FIRST}.", 1, None),
        ("[{'model': 'model_1', 'rank': 2}]", "wrong_ranks", 2),
        ("[{'model': 'model_1', 'rank': 1}, {'model': 'model_2', 'rank': 1}]", "wrong_ranks", 1),
        ("[{'model': 'model_1', 'rank': 3}, {'model': 'model_2', 'rank': 1}]", "wrong_ranks", None),
        ("[{'model': 'model_1', 'rank': '1'}, {'model': 'model_2', 'rank': 2}]", "wrong_ranks", None),
        ("[{'model': 'model_1'}]", "no_list", None),
        ("[" * 5000 + "]", "no_list", None),
        ("__import__('os').getcwd()", "no_list", None),
        ("[1]", "no_list", None),
        ("model_1", "no_list", None),
        ("", "no_list", None),
    ],
)
def test_the_preference_of_a_reply(text, honest, upstream):
    for switched in (False, True):
        found = read_preference(switched, text)
        mirrored = 3 - honest if switched and isinstance(honest, int) else honest
        assert (found.reason if isinstance(found, ParseFailure) else found) == mirrored
        expected = 3 - upstream if switched and upstream else upstream
        assert read_as_upstream(switched, text) == expected


def test_the_order_is_seeded_by_the_instruction():
    assert [is_switched(instruction(n)) for n in range(8)] == [is_switched(instruction(n)) for n in range(8)]
    assert {is_switched(instruction(n)) for n in range(8)} == {False, True}


def item(number, answer="Mine {1}.", reference="Theirs."):
    question = instruction(number)
    return Prompt(str(number), question, facts={"reference": reference}), Response(str(number), question, answer)


PLAIN, SWITCHED = (next(n for n in range(99) if is_switched(instruction(n)) is one) for one in (False, True))


@pytest.fixture
def bench(tmp_path):
    return BenchConfig(tasks=["alpaca_eval"], root=str(write_alpaca_eval(tmp_path)))


def template_of(bench, tmp_path):
    return read_template(tmp_path / "alpaca_eval" / "alpaca_eval_gpt4" / "alpaca_eval.txt")


@pytest.mark.parametrize(("number", "part"), [(PLAIN, ""), (PLAIN, EXCHANGED), (SWITCHED, ""), (SWITCHED, EXCHANGED)])
def test_both_texts_are_put_in_as_they_are(number, part, bench, tmp_path):
    request = pair_request(*item(number), part, 1, template_of(bench, tmp_path))
    system, user = request.messages
    model_first = (number == SWITCHED) is (part == "")
    first, second = ("Mine {1}.", "Theirs.") if model_first else ("Theirs.", "Mine {1}.")
    assert (system.role, system.text, user.role) == ("system", "Rank models.", "user")
    assert user.text == (
        f"Give {{'model': 'model_1', 'rank': 1}} and so on.\nTask: {instruction(number)}\nOne: {first}\nTwo: {second}"
    )
    assert request.parse(FIRST) == (2 if model_first else 1)  # whoever is presented first
    assert (request.repeat, request.temperature, request.max_output_tokens) == (1, 0, 100)


@pytest.mark.parametrize(
    ("text", "named"),
    [
        (PROMPT.replace("{output_2}", "{answer}"), "answer, instruction, output_1"),
        (PROMPT.replace("rank", "place"), "'rank'"),
        (PROMPT.replace("<|im_end|>", ""), "im_start"),
        ("{instruction}", "im_start"),
    ],
)
def test_other_prompts_are_refused(text, named, tmp_path):
    path = tmp_path / "prompt.txt"
    path.write_text(text)
    with pytest.raises(UserError, match=rf"bench\.files\.alpaca_eval_prompt.*{named}"):
        read_template(path)
    with pytest.raises(UserError, match=r"gone\.txt"):
        read_template(tmp_path / "gone.txt")


class Fixed:
    """Judge that replies with the same text to all requests."""

    def __init__(self, *texts):
        self.texts, self.requests = texts, []

    def ask(self, requests):
        self.requests += requests
        replies = []
        for number, request in enumerate(requests):
            text = self.texts[number % len(self.texts)]
            value = request.parse(text)
            failed = isinstance(value, ParseFailure)
            replies.append(JudgeReply(None if failed else value, text, value.reason if failed else ""))
        return replies


def test_scores_of_one_order(bench):
    judge = Fixed(FIRST)
    verdicts = judge_pairs([item(PLAIN), item(SWITCHED), item(0, answer="Theirs.")], judge, bench)
    assert [one.score for one in verdicts] == [0, 100, 50]
    assert len(judge.requests) == 2  # equal texts are a draw without a request
    assert [one.upstream["preference_0"] for one in verdicts] == [1, 2, 1.5]
    assert [[one.parts[name] for name in ("win", "loss", "draw")] for one in verdicts] == [
        [0, 1, 0],
        [1, 0, 0],
        [0, 0, 1],
    ]
    assert verdicts[0].parts["longer_by"] == len("Mine {1}.") - len("Theirs.")


def test_both_orders_take_out_a_preference_for_the_first(bench):
    bench = dataclasses.replace(bench, both_orders=True)
    (verdict,) = judge_pairs([item(PLAIN)], Fixed(FIRST), bench)
    assert (verdict.score, verdict.upstream["preference_0"]) == (50, 1)
    (verdict,) = judge_pairs([item(PLAIN)], Fixed(FIRST, SECOND), bench)
    assert verdict.score == 0
    (verdict,) = judge_pairs([item(PLAIN)], Fixed(FIRST, "odd"), bench)
    assert (verdict.score, verdict.reason) == (None, "no_list")
    assert verdict.upstream["preference_0"] == 1


def test_repeats_are_averaged_and_failed_ones_left_out(bench):
    bench = dataclasses.replace(bench, repeats=3)
    (verdict,) = judge_pairs([item(PLAIN)], Fixed(FIRST, SECOND, "odd"), bench)
    assert (verdict.score, verdict.parts["draw"]) == (50, 1)
    (verdict,) = judge_pairs([item(PLAIN)], Fixed("odd"), bench)
    assert (verdict.score, verdict.reason) == (None, "no_list")
    assert "preference_0" not in verdict.upstream
