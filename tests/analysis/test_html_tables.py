"""Tables of the page."""

import json
from pathlib import Path

from mmdpo.analysis.comparable import comparable_parts
from mmdpo.analysis.gains import study_gains
from mmdpo.analysis.html_tables import category_table, gains_table, parts_table, result_table
from mmdpo.analysis.study import Study, read_study
from tests.support.studies import make_point, make_study, write_answers


def test_tables_of_parts_and_categories(tmp_path: Path):
    study = read_study(make_study(tmp_path, [{}]))
    assert parts_table(study, "text").headings == ["correctness", "helpfulness", "coherence", "answer length (words)"]
    categories = category_table(study, "text")
    assert categories.headings == ["writing", "reasoning", "math", "extraction"]
    assert [name for name, _ in categories.rows] == ["base", "before visual tuning", "DPO"]


def judged_study(folder: Path) -> Study:
    """Write a study with two seeds that gain on each of 40 items, and one result that does not; return it."""
    for role, axes, gain in (
        ("base", {"data_scale": 0.0}, 0.0),
        ("trained", {"seed": 0}, 1.2),
        ("trained", {"seed": 1}, 1.25),
        ("trained", {"beta": 0.3}, 0.0),
    ):
        point = make_point(folder, axes, role=role, n=2)
        step = 3 + axes.get("seed", 1)
        items = [{"id": str(n), "score": 5.0 + gain + n % 3 + (n * step % 5 - 2) / 10} for n in range(40)]
        write_answers(point, "text", [{"question": "?", "answer": "!", "parts": {}, **item} for item in items])
        result = json.loads((point / "result.json").read_text())
        result["scores"] = {"text": {"value": 6.0 + gain, "n": 40, "low": 5.5 + gain, "high": 6.5 + gain}}
        (point / "result.json").write_text(json.dumps(result))
    return read_study(folder)


def test_results_merge_seeds_and_have_gains_with_verdicts(tmp_path: Path):
    study = judged_study(tmp_path / "s")
    gains = study_gains(study)
    (part,) = comparable_parts(study)
    table = result_table(study, part, gains)
    assert [(row.name, len(row.seeds), row.cells[0].verdict) for row in table.rows] == [
        ("base", 0, ""),
        ("beta 0.1", 2, "better"),
        ("beta 0.3", 0, "not distinguishable"),
    ]
    assert table.rows[1].cells[0].gain.startswith("+1.2")
    assert [seed.name for seed in table.rows[1].seeds] == ["seed 0", "seed 1"]
    assert [seed.cells for seed in table.rows[1].seeds] == [["7.20 [6.70, 7.70]"], ["7.25 [6.75, 7.75]"]]
    comparisons = gains_table(study, gains)
    assert [(name, cells[-4], cells[-1]) for name, cells in comparisons.rows] == [
        ("beta 0.1", "better", "2"),
        ("beta 0.3", "not distinguishable", "1"),
    ]


def test_points_of_another_judge_stand_in_a_table_of_their_own(tmp_path: Path):
    folder = make_study(tmp_path / "s", [{"beta": 0.1}, {"beta": 0.2}], n=4, references=False)
    for beta, judge in ((0.1, "gemini"), (0.2, "gpt-4")):
        (path,) = folder.glob(f"*beta{beta}*/result.json")
        labels = {"labels": {"text": {"judge": judge}}}
        path.write_text(json.dumps(json.loads(path.read_text()) | labels))
    study = read_study(folder)
    gains = study_gains(study)
    tables = [result_table(study, part, gains) for part in comparable_parts(study)]
    assert [[row.name for row in table.rows if row.trained] for table in tables] == [["beta 0.1"], ["beta 0.2"]]
    assert "gemini" in tables[0].heading
    assert "gpt-4" in tables[1].heading
