"""A service as the judge of benchmarks, against a rehearsal server."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from mmdpo.clients.batches import BatchRunner
from mmdpo.clients.request import Message
from mmdpo.clients.runner import RequestRunner
from mmdpo.config.choices import Split
from mmdpo.config.schema import BenchConfig, JudgeConfig, PriceConfig
from mmdpo.errors import Outstanding, Stopped, UserError
from mmdpo.evaluation.answers import write_answers
from mmdpo.evaluation.judgments import PointScores, bench_judge, write_judgments
from mmdpo.evaluation.samples import sample_sets
from mmdpo.evaluation.service_judge import ServiceJudge, close_jobs
from mmdpo.evaluation.task import JudgeRequest, Judgment
from mmdpo.records import Unscored, read_records
from mmdpo.testing.fake_gemini import fake_gemini
from mmdpo.testing.fake_openai import fake_openai
from mmdpo.testing.server import FakeServer
from tests.support.engines import FakeEngine
from tests.support.graded import grade_by, graded_task
from tests.testing.services import KEY, VARIABLE, judge_at

COUNT = 3


@pytest.fixture(autouse=True)
def _environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    monkeypatch.setenv(VARIABLE, KEY)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    for runner in (RequestRunner, BatchRunner):
        monkeypatch.setattr(runner.__init__, "__defaults__", (lambda seconds: None,))
    grade_by(monkeypatch, lambda text: f"[[{1 + text.count('good')}]]")
    with graded_task(tmp_path, COUNT):
        yield


@pytest.fixture
def server() -> Iterator[FakeServer]:
    with fake_openai() as running:
        yield running
        assert running.complaints == []


def bench_of(server: FakeServer, folder: Path, name: str = "openai", repeats: int = 1, **changes: Any) -> BenchConfig:
    judge = judge_at(server, name, journal=str(folder / "journal.sqlite"), **changes)
    return BenchConfig("graded", ["graded"], judge, root=str(folder), split=Split.all, repeats=repeats, resamples=20)


def judged(bench: BenchConfig, folder: Path, answer: str = "a good one") -> PointScores:
    """Write the answers of a point, all of them `answer`, and judge them."""
    engine = FakeEngine()
    engine.reply = lambda prompt: answer
    sets = sample_sets(bench, {}, "")
    write_answers(sets, engine, {}, bench, folder)
    return write_judgments(sets, bench_judge(bench.judge), {}, bench, folder)


def replies(folder: Path, task: str) -> list[list[str]]:
    """Return the judge's raw replies to each item, as the judgments keep them for readers."""
    return [one.replies for one in read_records(folder / "judgments" / f"{task}.jsonl", Judgment)]


def test_equal_answers_of_two_points_are_paid_once_and_another_answer_is_paid(server: FakeServer, tmp_path: Path):
    bench = bench_of(server, tmp_path)
    first = judged(bench, tmp_path / "a")
    assert first.scores["graded"].value == 2.0
    assert server.answered.total() == COUNT
    assert judged(bench, tmp_path / "b").scores == first.scores
    assert server.answered.total() == COUNT
    assert judged(bench, tmp_path / "c", "good, so good").scores["graded"].value == 3.0
    assert server.answered.total() == 2 * COUNT


def test_repeated_judgments_are_distinct_requests(server: FakeServer, tmp_path: Path):
    judged(bench_of(server, tmp_path), tmp_path / "a")
    judged(bench_of(server, tmp_path, repeats=3), tmp_path / "a")
    assert server.answered.total() == 3 * COUNT
    assert set(server.answered.values()) == {3}
    assert replies(tmp_path / "a", "graded") == [["[[2]]"] * 3] * COUNT


def test_what_the_journal_holds_needs_no_key_and_no_server(
    server: FakeServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    bench = bench_of(server, tmp_path)
    before = judged(bench, tmp_path / "a")
    monkeypatch.setattr("mmdpo.evaluation.service_judge.client_of", lambda judge: pytest.fail("a client was made"))
    assert judged(bench, tmp_path / "a").scores == before.scores


def test_the_label_names_the_served_model_the_prompt_and_the_edition(server: FakeServer, tmp_path: Path):
    label = judged(bench_of(server, tmp_path), tmp_path / "a").labels["graded"]
    assert (label["judge"], label["served"], label["rubric"]) == ("some-model", ["some-model-001"], "own")
    assert label["edition"] == {"graded_questions": f"edition {COUNT}"}
    assert (label["split"], label["engine"], label["repeats"], label["cut"]) == ("all", "model", 1, 0)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"limits": {"requests_per_day": 2}}, "judging graded: .*daily quota"),
        ({"limits": {"budget": 1e-9}, "price": PriceConfig(1.0, 1.0)}, r"bench\.judge\.limits\.budget="),
    ],
)
def test_a_limit_that_ends_the_run_is_named_and_the_same_command_continues(
    server: FakeServer, tmp_path: Path, changes: dict[str, Any], message: str
):
    with pytest.raises(Stopped, match=message):
        judged(bench_of(server, tmp_path, **changes), tmp_path / "a")
    assert not (tmp_path / "a" / "judgments").exists()
    assert judged(bench_of(server, tmp_path), tmp_path / "a").scores["graded"].n == COUNT
    assert server.answered.total() == COUNT


def test_unreadable_replies_are_unscored_until_they_are_asked_again(
    server: FakeServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    with monkeypatch.context() as patch:
        grade_by(patch, lambda text: "I cannot say." if "What is 1?" in text else "[[4]]")
        score = judged(bench_of(server, tmp_path), tmp_path / "a").scores["graded"]
    assert (score.n, score.unscored, score.value) == (COUNT - 1, 1, 4.0)
    assert ["I cannot say."] in replies(tmp_path / "a", "graded")
    told = " ".join(capsys.readouterr().out.split())
    assert "1 of 3 items are unscored (1 no_grade)" in told
    assert "bench.judge.retry_unscored=true" in told
    assert server.answered.total() == COUNT + 1  # the unreadable reply was asked for once more
    assert judged(bench_of(server, tmp_path), tmp_path / "a").scores["graded"].unscored == 1
    assert server.answered.total() == COUNT + 1
    score = judged(bench_of(server, tmp_path, retry_unscored=True), tmp_path / "a").scores["graded"]
    assert (score.n, score.unscored) == (COUNT, 0)
    assert server.answered.total() == COUNT + 2


def test_a_task_without_any_score_is_an_error(server: FakeServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    grade_by(monkeypatch, lambda text: "I cannot say.")
    with pytest.raises(UserError, match=r"none of 3 items .*3 no_grade(.|\n)*bench\.judge\.retry_unscored=true"):
        judged(bench_of(server, tmp_path), tmp_path / "a")


def test_a_service_rates_by_the_rubric_what_rules_rate_elsewhere(server: FakeServer, tmp_path: Path):
    bench = dataclasses.replace(bench_of(server, tmp_path), tasks=["visual"], items=4, split=Split.test)
    found = judged(bench, tmp_path / "a", "one two three")
    assert found.scores["visual"].n == 4
    assert [len(one) for one in replies(tmp_path / "a", "visual")] == [1] * 4
    assert found.labels["visual"]["rubric"].startswith("helpsteer_1 ")
    assert found.labels["visual"]["served"] == ["some-model-001"]
    again = judged(bench, tmp_path / "b", "one two three four")
    assert again.scores["visual"].value > found.scores["visual"].value  # the rehearsal server rates by length


def test_batch_jobs_of_all_tasks_are_submitted_before_anyone_waits(tmp_path: Path):
    with fake_gemini(batch_polls=1) as server:
        bench = bench_of(server, tmp_path, "gemini", batch=True)
        bench = dataclasses.replace(bench, tasks=["graded", "text"], items=4, split=Split.dev)
        with pytest.raises(Outstanding, match=r"judging graded: batch(.|\n)*judging text: batch"):
            judged(bench, tmp_path / "a")
        scores = judged(bench, tmp_path / "a").scores
        assert scores["text"].n == 4
        assert scores["graded"].unscored == 0
        assert server.complaints == []


def test_a_retry_by_batches_asks_each_unscored_item_once_until_the_jobs_are_closed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    grade_by(monkeypatch, lambda text: "I cannot say." if "What is 1?" in text else "[[4]]")

    def collected(**changes: Any) -> PointScores:
        for _ in range(3):  # submit, collect and remind, collect
            try:
                return judged(bench_of(server, tmp_path, "gemini", batch=True, **changes), tmp_path / "a")
            except Outstanding:
                continue
        raise AssertionError("it waits for ever")

    with fake_gemini(batch_polls=1) as server:
        assert collected().scores["graded"].unscored == 1
        close_jobs(bench_of(server, tmp_path, "gemini", batch=True).judge, ["graded"])
        before = server.answered.total()
        assert collected(retry_unscored=True).scores["graded"].unscored == 1
        assert server.answered.total() > before


def asked(judge: JudgeConfig, **changes: Any) -> Any:
    request = JudgeRequest("1", "turn_2", 0, (Message("user", "Grade"),), float, 0.2, 30, "again")
    return ServiceJudge(judge, "graded").task_requests([dataclasses.replace(request, **changes)])[0]


JUDGE = JudgeConfig("openai", "openai", "some-model", max_output_tokens=7, temperature=1.0)


def test_a_request_has_the_decoding_of_the_task():
    request = asked(JUDGE)
    assert (request.settings.temperature, request.settings.max_output_tokens) == (0.2, 30)
    assert (request.record_id, request.purpose, request.reminder) == ("1/turn_2", "bench/graded", "again")
    assert request.schema is None
    quiet = asked(dataclasses.replace(JUDGE, temperature=None, reasoning_effort="low"))
    assert (quiet.settings.temperature, quiet.settings.reasoning_effort) == (None, "low")


@pytest.mark.parametrize(
    ("judge", "request_", "equal"),
    [
        ({}, {"sample": "2", "part": "", "reminder": ""}, True),
        ({"max_output_tokens": 9, "temperature": 0.0, "name": "other", "batch": True}, {}, True),
        ({"model": "another"}, {}, False),
        ({"base_url": "http://localhost"}, {}, False),
        ({"temperature": None}, {}, False),
        ({"extra_body": {"seed": 1}}, {}, False),
        ({}, {"repeat": 1}, False),
        ({}, {"temperature": 0.0}, False),
        ({}, {"messages": (Message("system", "Grade"),)}, False),
    ],
)
def test_the_key_is_what_a_reply_depends_on(judge: dict[str, Any], request_: dict[str, Any], equal: bool):
    other = asked(dataclasses.replace(JUDGE, **judge), **request_)
    assert (other.key == asked(JUDGE).key) is equal


@pytest.mark.parametrize(("reply", "value"), [("[[7]]", 7.0), ("Let me think", None)])
def test_a_reply_that_was_cut_counts_if_it_can_be_read(
    reply: str, value: float | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    from mmdpo.clients.answers import Answer
    from tests.support.graded_tasks.graded import parse

    class Cut:
        def ask(self, request: Any) -> Answer:
            return Answer(reply, truncated=True)

    monkeypatch.setattr("mmdpo.evaluation.service_judge.client_of", lambda judge: Cut())
    judge = dataclasses.replace(JUDGE, journal=str(tmp_path / "j.sqlite"))
    request = JudgeRequest("1", "", 0, (Message("user", "Grade"),), parse)
    (found,) = ServiceJudge(judge, "graded").ask([request])
    assert (found.value, found.text, found.reason) == (value, reply, "" if value else "truncated")


def test_a_declined_rating_is_unscored(tmp_path: Path):
    with fake_openai("content_filter:2") as server:
        judge = judge_at(server, "openai", journal=str(tmp_path / "j.sqlite"))
        from mmdpo.records import Prompt

        found = ServiceJudge(judge, "text").rate([(Prompt("p", "What?"), "A cup.")])
    assert found == [Unscored("p", "blocked_content_filter")]
