"""`stage=judge` on imported answers, with a judge that is not asked for money."""

from dataclasses import replace
from functools import cache

import pytest

import mmdpo.pipeline.imported as imported
from mmdpo.analysis.imported import judge_offsets
from mmdpo.analysis.study import read_study
from mmdpo.config.choices import Split, Stage
from mmdpo.config.schema import BenchConfig
from mmdpo.entry.compose import compose_config
from mmdpo.errors import Outstanding, Stopped, UserError
from mmdpo.evaluation.import_row import read_import
from mmdpo.evaluation.imported_rows import ImportedRow
from mmdpo.evaluation.task import JudgeReply
from mmdpo.sweep.local import describe, run_stage
from tests.support.bench_foreign import (
    ScriptedJudge,
    answer_rows,
    foreign_root,
    judgment_rows,
    write_lines,
)


@pytest.fixture
def root(tmp_path, monkeypatch):
    return foreign_root(tmp_path, monkeypatch)


@pytest.fixture
def judge(monkeypatch):
    """Today's judge; it gives the question's number."""
    judge = ScriptedJudge(int)
    monkeypatch.setattr(imported, "bench_judge", lambda config: judge)
    return judge


def run(root, name="vicuna", rows=None, judgments=None):
    """Import answers, with judgments if there are rows of them."""
    bench = BenchConfig(name="b", tasks=["quiz"], root=str(root), split=Split.all, resamples=20)
    answers = write_lines(root / "answers.jsonl", rows or answer_rows())
    files = [write_lines(root / "judgments.jsonl", judgments)] if judgments else []
    read_import("quiz", answers, files, bench).write(ImportedRow(root.parent / "outputs" / "imported", name), bench)


@cache
def composed():
    return compose_config(
        ["stage=judge", "study=imported", "bench=mt_bench", "objective=mt_bench", "bench.resamples=20"]
    )


def config(root, judge="new-judge", tasks=("quiz", "copies")):
    bench = composed().bench
    bench = replace(bench, tasks=[*tasks], root=str(root), judge=replace(bench.judge, model=judge))
    return replace(composed(), bench=bench)


def rows(root):
    return {row.group("imported")["name"]: row for row in read_study(root.parent / "outputs" / "imported").rows}


def test_answers_without_judgments_are_judged_in_their_row(root, judge):
    run(root)
    assert run_stage([config(root)], Stage.judge) == []
    (row,) = rows(root).values()
    assert (row.state, row.scores["quiz"].value, row.result["judge"]) == ("done", 3.5, "new-judge")
    run_stage([config(root)], Stage.judge)
    assert len(judge.asked) == 12  # the second command asked nothing


def test_another_judge_makes_a_second_row_with_the_offset(root, judge):
    run(root, "vicuna", None, judgment_rows())
    run_stage([config(root)], Stage.judge)
    found = rows(root)
    assert {name: row.scores["quiz"].value for name, row in found.items()} == {"vicuna": 7, "vicuna · new-judge": 3.5}
    label = found["vicuna · new-judge"].result["labels"]["quiz"]
    assert (label["judge"], label["model"], label["split"]) == ("new-judge", "old-model", "all")
    (offset,) = judge_offsets(read_study(root.parent / "outputs" / "imported"))
    assert (offset.score.value, offset.score.n) == (-3.5, 12)
    assert offset.score.low < -3.5 < offset.score.high
    run_stage([config(root)], Stage.judge)
    assert (len(rows(root)), len(judge.asked)) == (2, 12)


def test_a_third_judge_makes_a_third_row(root, judge):
    run(root, "vicuna", None, judgment_rows())
    for name in ("new-judge", "newer-judge"):
        run_stage([config(root, name)], Stage.judge)
    assert list(rows(root)) == ["vicuna", "vicuna · new-judge", "vicuna · newer-judge"]


def test_other_answers_under_the_same_name_are_judged_again(root, judge):
    run(root, "vicuna", None, judgment_rows())
    run_stage([config(root)], Stage.judge)
    run(root, "vicuna", [{**row, "text": f"{row['text']} Really."} for row in answer_rows()], judgment_rows())
    assert judge_offsets(read_study(root.parent / "outputs" / "imported")) == []  # of other answers
    run_stage([config(root)], Stage.judge)
    assert len(judge.asked) == 24
    assert len(judge_offsets(read_study(root.parent / "outputs" / "imported"))) == 1


def test_missing_answers_are_not_judged(root, judge):
    run(root, "vicuna", answer_rows(4))
    run_stage([config(root)], Stage.judge)
    (row,) = rows(root).values()
    assert (len(judge.asked), row.scores["quiz"].n, row.scores["quiz"].unscored) == (8, 8, 4)


def test_the_plan_names_what_would_be_judged(root, judge, capsys):
    run(root, "vicuna", None, judgment_rows())
    capsys.readouterr()
    describe([config(root)], Stage.judge)
    out = capsys.readouterr().out
    assert "would judge as 'vicuna · new-judge'" in out
    assert "calls: 12 " in out
    assert judge.asked == []


def test_without_imported_answers_a_point_must_have_answers(root, judge):
    run(root, "vicuna", None, judgment_rows())
    with pytest.raises(UserError, match="stage=evaluate"):
        run_stage([config(root, tasks=["copies"])], Stage.judge)


def test_a_limit_of_the_judge_stops_and_the_same_command_continues(root, judge, monkeypatch):
    run(root, "a", None, judgment_rows())
    run(root, "b", None, judgment_rows())
    ask, calls = judge.ask, []

    def stop(requests):
        calls.append(requests)
        if len(calls) == 2:
            raise Stopped("the day's quota is used")
        return ask(requests)

    monkeypatch.setattr(judge, "ask", stop)
    with pytest.raises(Stopped):
        run_stage([config(root)], Stage.judge)
    assert len(rows(root)) == 3
    run_stage([config(root)], Stage.judge)
    assert (len(rows(root)), len(calls)) == (4, 3)


def test_waiting_for_jobs_does_not_keep_others_from_being_judged(root, judge, monkeypatch):
    for name in ("a", "b"):
        run(root, name, None, judgment_rows())
    ask, calls = judge.ask, []

    def wait_once(requests):
        calls.append(requests)
        if len(calls) == 1:
            raise Outstanding("a job is not done")
        return ask(requests)

    monkeypatch.setattr(judge, "ask", wait_once)
    with pytest.raises(Outstanding, match="a: a job"):
        run_stage([config(root)], Stage.judge)
    assert list(rows(root)) == ["a", "b", "b · new-judge"]


def test_unreadable_replies_make_no_row(root, judge, monkeypatch):
    run(root, "a", None, judgment_rows())
    monkeypatch.setattr(judge, "ask", lambda requests: [JudgeReply(None, reason="no_rating") for _ in requests])
    with pytest.raises(UserError, match="none of 12 items"):
        run_stage([config(root)], Stage.judge)
    assert list(rows(root)) == ["a"]


def test_questions_that_changed_since_the_import_are_refused(root, judge):
    run(root)
    path = root / "quiz" / "questions.jsonl"
    path.write_text(path.read_text().replace("say 3", "sing 3"))
    with pytest.raises(UserError, match=r"1 imported answers.*bench\.root="):
        run_stage([config(root)], Stage.judge)
    assert judge.asked == []


def test_answers_that_somebody_edited_are_refused(root, judge):
    run(root)
    path = next((root.parent / "outputs" / "imported").glob("*/answers/quiz.jsonl"))
    path.write_text(path.read_text().replace("It is 3", "It is three"))
    with pytest.raises(UserError, match="--name 'vicuna'"):
        run_stage([config(root)], Stage.judge)
