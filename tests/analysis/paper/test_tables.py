"""The paper's tables over small studies: cells, gains, the paper's numbers and the reasons of differences."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from mmdpo.analysis.comparable import comparable_parts
from mmdpo.analysis.gains import study_gains
from mmdpo.analysis.groups import groups, references
from mmdpo.analysis.paper.correlations_table import benchmark_pairs, correlation_table, length_pairs
from mmdpo.analysis.paper.joined import joined_study
from mmdpo.analysis.paper.methods_table import methods_table
from mmdpo.analysis.paper.noisy_table import NoisyPair, noisy_pairs, noisy_table
from mmdpo.analysis.paper.published import corresponding, published_rows, published_score
from mmdpo.analysis.paper.table import PaperTable
from mmdpo.analysis.study import read_study
from mmdpo.evaluation.task import find_task
from tests.analysis.paper.points import import_row, score_point
from tests.support.studies import make_study

DPO: dict[str, Any] = {"method": "dpo", "beta": 0.1, "lr": 5e-5}
TABLE_2 = {
    "Vicuna-1.5-13b": {"mt_bench": 6.57, "alpaca_eval": 81.4},
    "LLaVA-1.5-13b": {"mm_vet": 36.3, "llava_bench": 73.1, "pope": 0.859, "mmbench": 67.4, "mt_bench": 5.99},
    "DPO": {"mm_vet": 41.2, "llava_bench": 79.1, "pope": 0.870, "mmbench": 66.8, "mt_bench": 6.73},
}


def cells(table: PaperTable) -> dict[str, list[Any]]:
    return {row.name: list(row.cells) for section in table.sections for row in section}


def test_the_published_numbers_are_those_of_the_paper() -> None:
    rows = {row.name: row for row in published_rows()}
    for name, scores in TABLE_2.items():
        assert {task: rows[name].scores[task] for task in scores} == scores
    assert published_score(rows["DPO"], "mmbench") == pytest.approx(0.668)
    assert all(find_task(task) for row in rows.values() for task in row.scores)


@pytest.mark.parametrize(
    ("axes", "role", "model", "expected"),
    [
        (DPO, "trained", "llava_1_5_13b", "DPO"),
        (DPO, "trained", "llava_1_5_7b", "DPO, 7b"),
        (DPO, "trained", "nano", None),
        (DPO | {"data_scale": 0.5}, "trained", "llava_1_5_13b", "DPO, 50 % of the data"),
        (DPO | {"data_scale": 0.3}, "trained", "llava_1_5_13b", None),
        (DPO | {"label_noise": 0.25}, "trained", "llava_1_5_13b", "DPO, 25 % of the pairs flipped"),
        (DPO | {"method": "ipo"}, "trained", "llava_1_5_13b", None),
        ({"data_scale": 0.0}, "base", "llava_1_5_13b", "LLaVA-1.5-13b"),
        ({"data_scale": 0.0}, "before_visual_tuning", "llava_1_5_13b", "Vicuna-1.5-13b"),
    ],
)
def test_rows_correspond_to_the_papers_by_model_and_axes(
    tmp_path: Path, axes: dict[str, Any], role: str, model: str, expected: str | None
) -> None:
    score_point(tmp_path, {"mt_bench": 6.0}, axes, role=role, model=model)
    study = read_study(tmp_path)
    (group,) = [*references(study), *groups(study)]
    found = corresponding(group)
    assert (found and found.name) == expected


@pytest.mark.parametrize(
    ("name", "expected"),
    [("LLaVA-v1.5-13b", "LLaVA-1.5-13b"), ("llava-v1.5-13b · gemini-2.5", "LLaVA-1.5-13b"), ("vicuna-13b", None)],
)
def test_imported_rows_correspond_by_name(tmp_path: Path, name: str, expected: str | None) -> None:
    import_row(tmp_path, name, {"mt_bench": 6.0})
    found = corresponding(references(read_study(tmp_path))[0])
    assert (found and found.name) == expected


def test_table_2_by_hand(tmp_path: Path) -> None:
    score_point(tmp_path, {"mt_bench": 5.0, "pope": 0.8}, {"data_scale": 0.0}, role="base")
    for seed in (0, 1):
        score_point(tmp_path, {"mt_bench": 6.0}, DPO | {"seed": seed, "lr": 1e-4})
    import_row(tmp_path, "a_b & 50%", {"mt_bench": 4.0}, words=9)
    study = read_study(tmp_path)
    table = methods_table(study, study_gains(study))
    assert table.headings == ["", "MT-Bench", "POPE (F1)"]
    found = cells(table)
    assert list(found) == ["base", "a_b & 50%", "DPO (2 seeds)"]
    base, dpo = found["base"], found["DPO (2 seeds)"]
    assert (base[0].text, base[0].details, base[0].paper) == ("5.00 ±0.40", (), "5.99")
    assert (base[1].text, base[1].paper) == ("0.800 ±0.400", "0.859")
    assert (dpo[0].details, dpo[0].verdict, dpo[0].paper) == (("+1.00 [+1.00, +1.00]",), "better", "6.73")
    assert dpo[1].text == "–"
    assert found["a_b & 50%"][0].details == ("-1.00 [-1.00, -1.00]",)
    assert found["a_b & 50%"][0].verdict is None
    notes = "\n".join(table.notes)
    assert "corrected for the 1 comparisons" in notes
    assert "Judge here: gpt-4" in notes
    assert "lr 1e-4 (paper: 5e-5)" in notes
    records = {(record["row"], record["benchmark"]): record for record in table.records}
    assert records["a_b & 50%", "mt_bench"]["words"] == 9
    dpo_record = records["DPO", "mt_bench"]
    assert (dpo_record["seeds"], dpo_record["gain"], dpo_record["verdict"]) == (2, 1.0, "better")
    assert (dpo_record["paper"], dpo_record["paper_row"]) == (6.73, "DPO")


def test_unscored_items_are_named(tmp_path: Path) -> None:
    point = score_point(tmp_path, {"mt_bench": 5.0}, DPO)
    result = (point / "result.json").read_text().replace('"n": 24', '"n": 24, "unscored": 3', 1)
    (point / "result.json").write_text(result)
    study = read_study(tmp_path)
    assert "DPO, mt_bench: 3 of 27" in "\n".join(methods_table(study, study_gains(study)).notes)


def test_rows_of_different_judges_stand_in_different_tables(tmp_path: Path) -> None:
    for number, judge in enumerate(("gpt-4", "gemini")):
        score_point(tmp_path, {"mt_bench": 5.0}, DPO | {"seed": number}, labels={"mt_bench": {"judge": judge}})
    study = read_study(tmp_path)
    tables = [methods_table(part.study, study_gains(study), heading=part.heading) for part in comparable_parts(study)]
    assert [len(cells(table)) for table in tables] == [1, 1]
    assert ["judge gpt-4" in table.title for table in tables] == [True, False]


def test_table_3_has_the_paired_difference_to_the_clean_run(tmp_path: Path) -> None:
    score_point(tmp_path, {"mt_bench": 6.0, "mt_bench_noisy": 5.5}, {"data_scale": 0.0}, role="base")
    score_point(tmp_path, {"mt_bench": 6.0}, DPO)
    study = read_study(tmp_path)
    (pair,) = noisy_pairs(study)
    assert pair == NoisyPair("mt_bench_noisy", "mt_bench")
    table = noisy_table(study, pair)
    (clean, noisy, difference), *others = cells(table).values()
    assert not others
    assert (clean.text, noisy.text, difference.text) == ("6.00 ±0.40", "5.50 ±0.40", "-0.50 [-0.50, -0.50]")
    assert (clean.paper, noisy.paper, difference.paper) == ("5.99", "5.92", "-0.07")
    assert any("never inserts the image" in note for note in table.notes)


def test_the_miniature_has_a_table_3_too(tmp_path: Path) -> None:
    study = read_study(make_study(tmp_path, [{}], n=8))
    for path in tmp_path.glob("*/judgments/text_noisy.jsonl"):
        path.write_text(path.read_text().replace('"text_noisy-', '"noisy-text-'))
    (pair,) = noisy_pairs(study)
    (record, *_) = noisy_table(study, pair).records
    assert record["n"] == 8
    assert record["difference"] == pytest.approx(record["text_noisy"] - record["text"], abs=1e-6)


def test_correlations_have_n_interval_and_the_papers_value(tmp_path: Path) -> None:
    from scipy.stats import pearsonr

    mm_vet, mt_bench = [36.3, 37.2, 36.5, 35.2, 38.0, 41.2], [5.99, 6.18, 5.01, 5.70, 6.22, 6.73]
    for number, (one, two) in enumerate(zip(mm_vet, mt_bench, strict=True)):
        import_row(tmp_path, f"m{number}", {"mm_vet": one, "mt_bench": two}, words=100 + number)
    import_row(tmp_path, "text-only", {"mt_bench": 6.57}, words=120)
    study = read_study(tmp_path)
    (pair,) = benchmark_pairs(study)
    assert (pair.correlation.r, pair.correlation.p, pair.correlation.n) == (
        pytest.approx(0.734, abs=5e-4),
        pytest.approx(0.097, abs=5e-4),
        6,
    )
    assert (pair.correlation.low, pair.correlation.high) == (
        pytest.approx(-0.19, abs=5e-3),
        pytest.approx(0.97, abs=5e-3),
    )
    table = correlation_table(study, [pair])
    assert [cell.text for cell in table.sections[0][0].cells] == ["+0.73", "[-0.19, +0.97]", "0.097", "0.097", "6",
                                                                 "+0.73, n = 6"]  # fmt: skip
    assert any("n = 7" in note for note in table.notes)
    lengths = {one.first: one.correlation for one in length_pairs(study)}
    assert lengths["mt_bench"].n == 7
    assert lengths["mt_bench"].r == pytest.approx(pearsonr([*mt_bench, 6.57], [100, 101, 102, 103, 104, 105, 120])[0])


def test_several_studies_are_one_and_equal_points_stand_in_it_once(tmp_path: Path) -> None:
    base = ({"mt_bench": 5.0}, {"data_scale": 0.0})
    for name, method, base_score in (("a", "dpo", 5.0), ("b", "ipo", 5.0), ("c", "sft", 5.5)):
        score_point(tmp_path / name, {"mt_bench": base_score}, base[1], role="base")
        score_point(tmp_path / name, {"mt_bench": 6.0}, DPO | {"method": method})
    studies = [read_study(tmp_path / name) for name in "abc"]
    joined = joined_study(studies[:2], tmp_path / "out")
    assert joined.name == "a, b"
    assert [row.role for row in joined.rows] == ["base", "trained", "trained"]
    assert len(study_gains(joined).by_group) == 2
    assert {row.point for row in joined_study(studies, tmp_path / "out").of_role("base")} == {
        "base-00abcd", "c/base-00abcd"}  # fmt: skip
    assert not (tmp_path / "out").exists() or not [*(tmp_path / "out").glob("table*")]
