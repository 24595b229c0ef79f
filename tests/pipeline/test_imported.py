"""`stage=judge` on imported answers, with a judge that is not asked for money."""

import pytest

import mmdpo.pipeline.imported as imported
from mmdpo.__main__ import main
from mmdpo.analysis.imported import judge_offsets
from mmdpo.analysis.study import read_study
from mmdpo.config.choices import Stage
from mmdpo.entry.compose import compose_config
from mmdpo.errors import Stopped, UserError
from mmdpo.evaluation.task import JudgeReply
from mmdpo.sweep.local import describe, run_stage
from tests.support.bench_foreign import (
    ScriptedJudge,
    add_foreign_tasks,
    answer_rows,
    judgment_rows,
    write_foreign_bench,
    write_lines,
)


@pytest.fixture
def root(tmp_path, monkeypatch):
    add_foreign_tasks(tmp_path / "tasks", monkeypatch)
    monkeypatch.chdir(tmp_path)
    return write_foreign_bench(tmp_path / "bench")


@pytest.fixture
def judge(monkeypatch):
    """Today's judge; it gives the question's number."""
    judge = ScriptedJudge(int)
    monkeypatch.setattr(imported, "bench_judge", lambda config: judge)
    return judge


def run(root, name="vicuna", rows=None, *words):
    answers = write_lines(root / "answers.jsonl", rows or answer_rows())
    assert main(["import", "quiz", "--answers", str(answers), "--name", name, f"bench.root={root}", *words]) == 0


def judged(root, **options):
    return ["--judgments", str(write_lines(root / "judgments.jsonl", judgment_rows(**options)))]


def config(root, *words):
    bench = ["bench=mt_bench", "bench.tasks=[quiz,copies]", "objective=quiz", f"bench.root={root}"]
    return compose_config(["stage=judge", "study=imported", *bench, *words])


def rows(root):
    return {row.group("imported")["name"]: row for row in read_study(root.parent / "outputs" / "imported").rows}


def test_answers_without_judgments_are_judged_in_their_row(root, judge):
    run(root)
    assert run_stage([config(root, "bench.judge.model=new-judge")], Stage.judge) == []
    (row,) = rows(root).values()
    assert (row.state, row.scores["quiz"].value, row.result["judge"]) == ("done", 3.5, "new-judge")
    run_stage([config(root, "bench.judge.model=new-judge")], Stage.judge)
    assert len(judge.asked) == 12  # the second command asked nothing


def test_another_judge_makes_a_second_row_with_the_offset(root, judge):
    run(root, "vicuna", None, *judged(root))
    run_stage([config(root, "bench.judge.model=new-judge")], Stage.judge)
    found = rows(root)
    assert {name: row.scores["quiz"].value for name, row in found.items()} == {"vicuna": 7, "vicuna · new-judge": 3.5}
    assert found["vicuna · new-judge"].result["labels"]["quiz"]["model"] == "old-model"
    (offset,) = judge_offsets(read_study(root.parent / "outputs" / "imported"))
    assert (offset.score.value, offset.score.n) == (-3.5, 12)
    assert offset.score.low < -3.5 < offset.score.high
    run_stage([config(root, "bench.judge.model=new-judge")], Stage.judge)
    assert (len(rows(root)), len(judge.asked)) == (2, 12)


def test_a_third_judge_makes_a_third_row(root, judge):
    run(root, "vicuna", None, *judged(root))
    for name in ("new-judge", "newer-judge"):
        run_stage([config(root, f"bench.judge.model={name}")], Stage.judge)
    assert list(rows(root)) == ["vicuna", "vicuna · new-judge", "vicuna · newer-judge"]


def test_other_answers_under_the_same_name_are_judged_again(root, judge):
    run(root, "vicuna", None, *judged(root))
    run_stage([config(root)], Stage.judge)
    run(root, "vicuna", [{**row, "text": f"{row['text']} Really."} for row in answer_rows()], *judged(root))
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
    run(root, "vicuna", None, *judged(root))
    capsys.readouterr()
    describe([config(root, "bench.judge.model=new-judge")], Stage.judge)
    assert "would judge as 'vicuna · new-judge'" in capsys.readouterr().out
    assert judge.asked == []


def test_without_imported_answers_a_point_must_have_answers(root, judge):
    run(root, "vicuna", None, *judged(root))
    with pytest.raises(UserError, match="stage=evaluate"):
        run_stage([config(root, "bench.tasks=[copies]", "objective=copies")], Stage.judge)


def test_a_limit_of_the_judge_stops_and_the_same_command_continues(root, judge, monkeypatch):
    run(root, "a", None, *judged(root))
    run(root, "b", None, *judged(root))
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


def test_unreadable_replies_make_no_row(root, judge, monkeypatch):
    run(root, "a", None, *judged(root))
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
