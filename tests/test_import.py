"""`python -m mmdpo import`, and its rows in tables, files and figures."""

import csv
import json

import pytest

from mmdpo.__main__ import main
from mmdpo.analysis.compare import compare
from mmdpo.analysis.figures.data import pattern, references, score_panels
from mmdpo.analysis.gains import study_gains
from mmdpo.analysis.html import context
from mmdpo.analysis.imported import imported_notes, judge_offsets
from mmdpo.analysis.selection import select
from mmdpo.analysis.study import read_study
from mmdpo.analysis.summary import write_summary
from mmdpo.analysis.table import print_table
from mmdpo.config.schema import BenchConfig, JudgeConfig
from mmdpo.console import make_console
from mmdpo.errors import UserError
from mmdpo.evaluation.imported_rows import ImportedRow, imported_rows, write_row
from mmdpo.evaluation.importing import TaskScores
from mmdpo.evaluation.statistics import Score
from mmdpo.evaluation.task import Judgment, Response
from tests.support.bench_foreign import (
    answer_rows,
    foreign_root,
    judgment_rows,
    write_lines,
)
from tests.support.bench_mmbench import mmbench_rows
from tests.support.studies import make_study


@pytest.fixture
def root(tmp_path, monkeypatch):
    """The folder of the benchmarks' files; the working directory has no study."""
    return foreign_root(tmp_path, monkeypatch)


def run(root, task, rows, *words, name="vicuna 13b"):
    path = write_lines(root / f"{task}.jsonl", rows)
    return main(["import", task, "--answers", str(path), "--name", name, f"bench.root={root}", *words])


def judgments(root, **options):
    return ["--judgments", str(write_lines(root / "judgments.jsonl", judgment_rows(**options)))]


def make_imported(study, name, score, of="", task="text", items=24, asked="question"):
    """Write an imported row whose items have scores around a value."""
    first = ImportedRow(study, of).folder.name if of else ""
    row = ImportedRow(study, name, "new" if of else "", first)
    responses = [Response(f"{task}-{n}", f"Made-up {asked} {n}", "made-up") for n in range(items)]
    items = [Judgment(one.id, score + n % 3 - 1, {}, 1, cluster=one.id) for n, one in enumerate(responses)]
    scores = {task: Score(score, len(items), score - 0.2, score + 0.2)}
    label = {"answers": {"file": "a.jsonl"}, "counts": {"questions": 24, "answered": 24}}
    judged = TaskScores(items, scores, {}, "new judge" if of else "old judge", label)
    write_row(
        row, task, responses, label, BenchConfig(name="x", tasks=[task], judge=JudgeConfig("a", "oracle")), judged
    )
    return row


def test_two_imports_under_one_name_make_one_row(root, capsys):
    assert run(root, "quiz", answer_rows(), *judgments(root)) == 0
    assert run(root, "copies", answer_rows(5)) == 0
    study = read_study(root.parent / "outputs" / "imported")
    (row,) = study.rows
    assert (row.role, row.state, row.point[:20]) == ("imported", "done", "imported-vicuna_13b-")
    assert {name: score.value for name, score in row.scores.items() if "/" not in name} == {"quiz": 7, "copies": 1}
    assert row.result["upstream"] == {"quiz": 7, "copies": 2}
    assert row.result["judge"] == "old-judge"
    out = capsys.readouterr().out
    assert "12 of 12" in out
    assert "5 of 6 questions" in out
    note = json.loads((row.folder / "answers" / "quiz.json").read_text())
    assert note["answers"]["sha256"] == row.result["labels"]["quiz"]["answers"]["sha256"]


def test_an_import_again_replaces_the_task_alone(root):
    run(root, "quiz", answer_rows(), *judgments(root))
    run(root, "copies", answer_rows())
    run(root, "quiz", answer_rows(), *judgments(root, score="[[3]]"))
    (row,) = read_study(root.parent / "outputs" / "imported").rows
    assert (row.scores["quiz"].value, row.scores["copies"].value, row.attempts) == (3, 1, 3)


def test_unverified_judgments_are_said_everywhere(root, capsys):
    assert run(root, "quiz", answer_rows(), *judgments(root, answer="Another {}.")) == 0
    assert "warning" in capsys.readouterr().out
    study = read_study(root.parent / "outputs" / "imported")
    assert study.rows[0].result["labels"]["quiz"]["verification"] == "unverified: 0 of 12 match"
    assert any("unverified: 0 of 12 match" in note for note in context(study, [])["score_notes"])
    assert main(["status"]) == 0
    out = " ".join(capsys.readouterr().out.split())
    assert out.count("unverified: 0 of 12 match") == 2  # the note and the warning


def test_answers_without_judgments_wait_for_a_judge(root, capsys):
    assert run(root, "quiz", answer_rows()) == 0
    assert f"stage=judge study=imported bench=quiz bench.root={root} bench.judge=" in capsys.readouterr().out
    (row,) = read_study(root.parent / "outputs" / "imported").rows
    assert (row.role, row.state, row.scores) == ("imported", "answered", {})
    assert any("quiz are not judged" in note for note in imported_notes(read_study(row.folder.parent)))
    assert run(root, "copies", answer_rows()) == 0  # the row is done, and one of its tasks is not judged
    assert any("quiz are not judged" in note for note in imported_notes(read_study(row.folder.parent)))


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["bench.tasks=[copies]"], "bench.tasks="),
        (["bench.judge=gemini"], "bench.judge="),
        (["beta=0.1"], "beta="),
        (["bench.split=other"], "bench.split"),
        (["bench.root=/nowhere"], "/nowhere/quiz/questions.jsonl"),
        (["--judgments", "/nowhere.jsonl"], "/nowhere.jsonl"),
        (["--name", "–"], "--name"),
        (["--study", ".."], "--study"),
    ],
)
def test_wrong_commands_leave_no_row(root, words, said, capsys):
    assert run(root, "quiz", answer_rows(), *words) == 2
    assert said in capsys.readouterr().err
    assert not (root.parent / "outputs").exists()


def test_an_unknown_task_and_a_word_that_is_no_override(root, capsys):
    assert run(root, "quizz", answer_rows()) == 2
    assert "quiz" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        run(root, "quiz", answer_rows(), "word")


def test_the_study_is_a_name_a_folder_or_the_newest(root):
    run(root, "copies", answer_rows(), "--study", "own", f"out={root / 'runs'}")
    run(root, "copies", answer_rows(), "--study", str(root / "runs" / "other"))
    run(root, "copies", answer_rows(), f"out={root / 'runs'}", name="second")
    assert [row.name for row in imported_rows(root / "runs" / "own")] == ["vicuna 13b"]
    assert [row.name for row in imported_rows(root / "runs" / "other")] == ["second", "vicuna 13b"]


def test_answers_with_their_questions_need_no_file_of_the_benchmark(root, capsys):
    rows = [{**row, "prediction": row["answer"]} for row in mmbench_rows()]
    rows[0]["prediction"] = "B"  # wrong
    assert run(root, "mmbench", rows) == 0
    assert "are those of this file" in capsys.readouterr().out
    (row,) = read_study(root.parent / "outputs" / "imported").rows
    assert (row.scores["mmbench"].value, row.scores["mmbench"].n) == (0.5, 2)
    assert row.result["labels"]["mmbench"]["edition"] == {"samples": "questions of the file of answers"}


@pytest.fixture
def study(tmp_path):
    """A study over shares of the data, with a row that two judges have judged."""
    folder = make_study(tmp_path / "study", [{"data_scale": share} for share in (0.25, 0.5)])
    make_imported(folder, "vicuna", 9.5)
    make_imported(folder, "vicuna · new", 8.5, of="vicuna")
    return read_study(folder)


def test_imported_rows_of_other_judges_have_tables_of_their_own(study, capsys):
    assert [row.role for row in study.rows] == ["base", "before_visual_tuning", *["imported"] * 2, *["trained"] * 2]
    print_table(study, make_console())
    write_summary(study, study_gains(study), study.folder / "summary.csv")
    lines = capsys.readouterr().out.splitlines()
    names = [line.split("  ")[0].strip() for line in lines]
    order = ("text: judge oracle", "before", "25 %", "text: judge old judge", "vicuna", "text: judge new judge")
    assert [names.index(name) for name in order] == sorted(map(names.index, order))
    assert names.index("vicuna · new") > names.index(order[-1])
    rows = list(csv.DictReader((study.folder / "summary.csv").open(encoding="utf-8")))
    assert [row["text"] for row in rows if row["role"] == "imported"] == ["9.5", "8.5"]


def test_imported_rows_are_reference_lines_and_never_the_best(study):
    assert [group.label for group in references(study)][2:] == ["vicuna", "vicuna · new"]
    (panel,) = score_panels(study, pattern(study), ["text"])
    assert [line.label for line in panel.references][2:] == ["vicuna", "vicuna · new"]
    assert context(study, [])["best"] not in ("vicuna", "vicuna · new")


def test_the_judges_of_a_row_are_compared_over_its_items(study):
    (offset,) = judge_offsets(study)
    assert (offset.name, offset.task, offset.new, offset.old) == ("vicuna", "text", "new judge", "old judge")
    assert (offset.score.value, offset.score.n) == (-1, 24)
    assert offset.score.low == offset.score.high == -1  # the same for each item
    assert any("-1.00 [-1.00, -1.00]" in note for note in context(study, [])["score_notes"])


def test_a_point_is_compared_with_a_row_that_lacks_answers(tmp_path):
    folder = tmp_path / "study"
    rows = [make_imported(folder, "a", 5), make_imported(folder, "b", 6, items=20)]
    (result,) = compare(select([str(row.folder) for row in rows])).results
    assert (result.differences[0].estimate.value, result.differences[0].estimate.n) == (1, 20)
    assert any(note.startswith("4 items that only one") for note in result.notes)


def test_a_row_asks_the_same_questions_as_a_point(tmp_path):
    folder = tmp_path / "study"
    rows = [make_imported(folder, "a", 5), make_imported(folder, "b", 6, asked="riddle")]
    with pytest.raises(UserError, match="another question"):
        compare(select([str(row.folder) for row in rows]))
