"""Batches within limits, stages and faults: budget, teacher, repeated and retried ratings."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from mmdpo.clients.estimate import estimate
from mmdpo.clients.journal import Journal
from mmdpo.config.schema import JudgeConfig, LimitsConfig, PriceConfig
from mmdpo.entry.checks import check
from mmdpo.entry.compose import compose_config
from mmdpo.errors import Stopped, UserError
from mmdpo.judge.rating_request import judge_identity, rating_request
from mmdpo.judge.stage import write_annotations, write_teacher_answers
from mmdpo.records import Completion, Prompt, read_records
from mmdpo.testing.fake_gemini import LINE, FakeGemini, fake_gemini
from tests.clients.batched import asked, left, rows
from tests.judge.scripted import Scripted, judge_config
from tests.judge.test_annotate import run
from tests.support.program import launch
from tests.testing.services import KEY, items, judge_at

pytestmark = pytest.mark.usefixtures("batching")


def typed(server: FakeGemini, folder: Path, *more: str) -> Any:
    """Run the command by launch.py, with a small data set."""
    words = [*LINE.format(url=server.url).split()[2:], "judge.batch=true", "data.prompts=6", f"out={folder}"]
    return launch(*words, *more, GEMINI_API_KEY=KEY, MMDPO_CACHE=str(folder / "cache"))


@pytest.mark.long
@pytest.mark.slow
def test_the_line_submits_leaves_and_collects(tmp_path: Path) -> None:
    with fake_gemini(batch_polls=2) as server:
        for stage in ("prompts", "sample"):
            made = typed(server, tmp_path, f"stage={stage}")
            assert made.returncode == 0, made.stderr
        for now in (3, 0):
            waits = typed(server, tmp_path, "judge.batch_size=2")
            assert waits.returncode == 75
            assert f"6 requests submitted in 3 jobs ({now} of them now)" in waits.stdout + waits.stderr
        finished = typed(server, tmp_path, "judge.batch_size=2")
        assert finished.returncode == 0, finished.stderr
        assert typed(server, tmp_path, "judge.batch=false").returncode == 0  # it is the same annotation
    assert set(server.answered.values()) == {1}
    assert server.answered.total() == 6
    assert server.complaints == []
    assert KEY not in finished.stdout + finished.stderr


def staged(server: FakeGemini, folder: Path, count: int = 4, **changes: Any) -> dict[str, Any]:
    """One run of the whole stage."""
    changes = {"batch": True, "journal": str(folder / "j.sqlite"), **changes}
    asked_ = items(folder, count)
    return write_annotations(folder / "out", lambda: asked_, count, folder, judge_at(server, "gemini", **changes))


def test_the_budget_holds_before_anything_is_paid(server: FakeGemini, tmp_path: Path, journal: Journal) -> None:
    judge = judge_at(server, "gemini", batch=True, price=PriceConfig(1.0, 10.0))
    request = rating_request(items(tmp_path, 1)[0], tmp_path, judge)
    guess = estimate([request], Journal(None), judge)
    each = (guess.tokens_in + 10 * guess.tokens_out) / 2e6  # half the price
    with pytest.raises(Stopped, match=r"is spent .*0 of 5 prompts are answered.*larger judge\.limits\.budget="):
        asked(server, tmp_path, journal, limits={"budget": each * 0.9})
    assert not server.batches
    tight = {"budget": each * 2.5}
    said = left(server, tmp_path, journal, limits=tight)
    assert "2 requests submitted in 1 job (1 of them now); 3 not submitted" in said
    assert f"judge.limits.budget={tight['budget']:g} would be exceeded" in said
    assert "(0 of them now); 3 not submitted" in left(server, tmp_path, journal, limits=tight)
    server.finish_batches()  # the replies are longer than the guess, or shorter
    with pytest.raises(Stopped) as stopped:
        asked(server, tmp_path, journal, limits={"budget": each / 100})
    assert "2 of 5 prompts are answered" in str(stopped.value)
    assert len(server.batches) == 1
    assert "3 requests submitted in 1 job" in left(server, tmp_path, journal)


def test_the_estimate_is_at_the_price_of_batches(tmp_path: Path) -> None:
    price, limits = (
        PriceConfig(1e6, 0.0, of="2026-01"),
        LimitsConfig(requests_per_minute=1, requests_per_day=1),
    )
    judge = JudgeConfig("gemini", "gemini", "some-model", price=price, limits=limits)
    guess = estimate([rating_request(items(tmp_path, 1)[0], tmp_path, judge)], Journal(None), judge)
    dear = list(guess.lines(judge))
    judge.batch = True
    cheap = list(guess.lines(judge))
    assert f"{guess.tokens_in:.2f} USD" in dear[1]
    assert f"{guess.tokens_in / 2:.2f} USD" in cheap[1]
    assert any("requests_per_day" in line for line in dear)
    assert not any("requests_per_day" in line for line in cheap)


def test_a_teacher_answers_by_batches_and_its_jobs_are_left_to_it(
    server: FakeGemini, tmp_path: Path, journal: Journal
) -> None:
    prompts = [Prompt(f"p{number}", f"What is {number}?") for number in range(3)]
    judge = judge_at(server, "gemini", batch=True, journal=str(tmp_path / "j.sqlite"))

    def taught() -> dict[str, Any]:
        return write_teacher_answers(tmp_path / "out", lambda: prompts, 3, tmp_path, judge)

    with pytest.raises(Stopped, match="3 requests submitted in 1 job"):
        taught()
    server.finish_batches()
    left(server, tmp_path, journal)  # annotations read ratings, and no answers
    assert rows(journal, "state", "batches") == [("running",), ("running",)]
    assert taught() == {"answers": 3, "unanswered": {}}
    answers = list(read_records(tmp_path / "out" / "answers.jsonl", Completion))
    assert [answer.prompt_id for answer in answers] == ["p0", "p1", "p2"]
    assert all(answer.text.startswith("In the image ") for answer in answers)
    assert server.schemas == 0


def test_both_ratings_of_a_prompt_are_submitted_at_once(server: FakeGemini, tmp_path: Path) -> None:
    with pytest.raises(Stopped, match=r"8 requests submitted in 1 job .*0 of 8"):
        staged(server, tmp_path, repeat=1.0)
    server.finish_batches()
    assert staged(server, tmp_path, repeat=1.0) == {"scored": 4, "unscored": {}, "read_by": {"schema": 4}}
    lines = (tmp_path / "out" / "repeated.jsonl").read_text().splitlines()
    assert [json.loads(line)["prompt_id"] for line in lines] == ["p0", "p1", "p2", "p3"]
    assert len(server.batches) == 1


def test_what_stays_unscored_is_asked_again_once_a_run_of_the_stage(tmp_path: Path) -> None:
    with fake_gemini("recitation:2,good:6,recitation:2") as server:
        changes = {"repeat": 1.0, "retry_unscored": True}
        with pytest.raises(Stopped):
            staged(server, tmp_path, **changes)
        server.finish_batches()
        assert staged(server, tmp_path, **changes)["unscored"]
        for jobs in (2, 3):
            with pytest.raises(Stopped, match=r"2 requests submitted in 1 job \(1 of them now\); 6 of 8"):
                staged(server, tmp_path, **changes)
            server.finish_batches()
            found = staged(server, tmp_path, **changes)
            assert len(server.batches) == jobs
        assert found["unscored"] == {}


def test_a_kill_while_a_job_is_read_keeps_all_of_it_or_nothing(
    server: FakeGemini, tmp_path: Path, journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    left(server, tmp_path, journal)
    server.finish_batches()
    record, calls = Journal.record, iter(range(9))

    def dies(*arguments: Any) -> None:
        if next(calls) == 2:
            raise KeyboardInterrupt
        record(*arguments)

    with monkeypatch.context() as dying:
        dying.setattr(Journal, "record", dies)
        with pytest.raises(KeyboardInterrupt):
            asked(server, tmp_path, journal)
    assert rows(journal, "id") == []
    assert len(asked(server, tmp_path, journal)) == len(rows(journal, "id")) == 5


def test_a_service_that_does_not_answer_is_waited_for(
    server: FakeGemini, tmp_path: Path, journal: Journal, batching: list[float]
) -> None:
    left(server, tmp_path, journal)
    with fake_gemini() as gone:
        address = gone.url
    journal._rows.execute("UPDATE batches SET base_url = ?", (address,))
    with pytest.raises(Stopped, match=r"does not answer \(unreachable.*[Rr]erun the same command later"):
        run_at(address, tmp_path, journal, max_attempts=3)
    assert len(batching) == 2
    assert rows(journal, "state", "batches") == [("running",)]


def run_at(address: str, folder: Path, journal: Journal, **limits: Any) -> None:
    class Gone:
        url = address

    asked(Gone(), folder, journal, limits=limits)  # type: ignore[arg-type]


def test_batches_are_no_part_of_what_a_judge_is() -> None:
    judge, batched = (
        JudgeConfig("gemini", "gemini", "m"),
        JudgeConfig("gemini", "gemini", "m", batch=True, batch_size=7),
    )
    batched.price.batch = 0.1
    assert judge_identity(judge) == judge_identity(batched)
    item = items_of_no_image()
    assert rating_request(item, Path(), judge).key == rating_request(item, Path(), batched).key


def items_of_no_image() -> Any:
    return Prompt("p", "?"), [Completion("p", 0, "a"), Completion("p", 1, "b")]


def test_the_services_with_batches() -> None:
    for name in ("gemini_legacy", "longer"):
        with pytest.raises(UserError, match=f"judge.batch=true: judge={name} has no batches.*judge=gemini.*openai"):
            check(compose_config([f"judge={name}", "judge.batch=true"]))
    for wrong in ("judge.batch_size=0", "judge.price.batch=-1"):
        with pytest.raises(UserError, match=wrong.split("=")[0]):
            check(compose_config(["judge=gemini", wrong]))
    for words in (["judge=gemini"], ["judge=openai", "judge.model=m"]):
        check(compose_config([*words, "judge.batch=true"]))
    judge = judge_config()
    judge.batch = True
    with pytest.raises(UserError, match="has no batches"):
        run(Scripted(), [items_of_no_image()], judge=judge)
