"""The table on the terminal and summary.csv."""

import csv
import dataclasses
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.console import Console

from mmdpo.analysis.figures.data import pattern
from mmdpo.analysis.gains import study_gains
from mmdpo.analysis.study import POINT_AXES, Study, read_study
from mmdpo.analysis.summary import write_results, write_summary
from mmdpo.analysis.table import (
    failures,
    items_text,
    print_table,
    stacked,
    with_bounds,
    with_half_width,
)
from mmdpo.evaluation.statistics import Score
from mmdpo.evaluation.task import load_task
from mmdpo.files import read_json
from tests.support.studies import interval, make_point, make_study, write

GRID = [
    {"beta": beta, "lr": lr, "logprob_avg": average}
    for beta in (0.1, 0.2, 0.3)
    for lr in (5e-4, 5e-5)
    for average in (False, True)
]


def printed(study: Study, width: int = 80, *, colour: bool = False) -> str:
    console = Console(width=width, record=True, force_terminal=colour, highlight=False)
    with console.capture() as capture:
        print_table(study, console)
    return capture.get()


def line_of(text: str, start: str) -> list[str]:
    return next(line.split() for line in text.splitlines() if line.strip().startswith(start))


def scored(folder: Path, beta: float, text: float) -> None:
    point = make_point(folder, {"beta": beta})
    write(point / "result.json", {"axes": {"beta": beta}, "scores": {"text": interval(text, 0.05, 240)}})


def test_a_grid_of_three_axes_fits_80_columns(tmp_path: Path):
    text = printed(read_study(make_study(tmp_path / "grid", GRID)))
    assert all(len(line) <= 80 for line in text.splitlines())
    assert "…" not in text
    heading = line_of(text, "beta")
    assert heading == ["beta", "lr", "logps", "text", "visual", "presence", "text_noisy", "steps", "s"]
    names = [line.split()[0] for line in text.splitlines() if line.strip()]
    assert names[3:5] == ["base", "before"]
    assert line_of(text, "0.1")[:3] == ["0.1", "5e-5", "sum"]
    assert "n = 24 items per benchmark" in text


def test_a_limit_is_an_axis_of_its_own(tmp_path: Path):
    points = [{"data_limit": limit, "data_scale": share} for limit in (500, 1000) for share in (0.5, 1.0)]
    study = read_study(make_study(tmp_path / "limits", points))
    assert line_of(printed(study), "data")[:2] == ["data", "limit"]
    assert line_of(printed(study), "50 %")[:3] == ["50", "%", "500"]
    write_summary(study, study_gains(study), tmp_path / "summary.csv")
    with (tmp_path / "summary.csv").open() as file:
        limits = [row["data_limit"] for row in csv.DictReader(file)]
    assert sorted(limits) == ["", "", "1000", "1000", "500", "500"]


def test_a_point_that_was_asked_for_ratings_says_its_scores_without(tmp_path: Path):
    make_study(tmp_path, [{"method": "dpo"}, {"method": "steerlm"}])
    (folder,) = tmp_path.glob("steerlm-*")
    result = read_json(folder / "result.json")
    result["scores"] |= {"text/without_request": interval(7.81, 0.34, 24)}
    write(folder / "result.json", result)
    notes = [line for line in printed(read_study(tmp_path)).splitlines() if "without the request" in line]
    assert notes == ["SteerLM: asked for ratings; without the request text 7.81 ±.34"]


def test_scores_are_written_with_what_fits(tmp_path: Path):
    scored(tmp_path, 0.1, 8.6)
    scored(tmp_path, 0.2, 8.7)
    study = read_study(tmp_path)
    assert "8.60 [8.55, 8.65]" in printed(study, 80)
    assert "8.60 ±.05" in printed(study, 32)
    narrow = printed(study, 22)
    assert "8.60" in narrow
    assert "±.05" in narrow
    assert "8.60 ±.05" not in narrow


def test_the_best_score_is_bold_and_the_model_before_visual_tuning_does_not_compete(tmp_path: Path):
    make_point(tmp_path, {"data_scale": 0.0}, role="before_visual_tuning", gain=1.0)
    scored(tmp_path, 0.1, 6.6)
    scored(tmp_path, 0.2, 6.7)
    text = printed(read_study(tmp_path), colour=True)
    assert "\x1b[1m6.70 ±.05" in text
    assert "\x1b[1m6.60" not in text


def test_the_lowest_score_is_bold_where_less_is_better(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    text = load_task("text")
    errors = dataclasses.replace(text.main, higher_is_better=False)
    task = dataclasses.replace(text, metrics=(errors, *text.metrics[1:]))
    monkeypatch.setattr("mmdpo.analysis.labels.find_task", lambda name: task)
    scored(tmp_path, 0.1, 6.6)
    scored(tmp_path, 0.2, 6.7)
    printed_text = printed(read_study(tmp_path), colour=True)
    assert "\x1b[1m6.60 [" in printed_text
    assert "\x1b[1m6.70" not in printed_text


def test_unscored_items_are_counted_below_the_table(tmp_path: Path):
    point = make_point(tmp_path, {})
    scores = {"text": interval(8, 1, 80) | {"unscored": 3}, "visual": interval(8, 1, 60)}
    write(point / "result.json", {"scores": scores})
    lines = [line for line in printed(read_study(tmp_path)).splitlines() if line.startswith("unscored")]
    assert len(lines) == 1
    assert lines[0].endswith("text 3")


def test_a_failed_point_stands_in_the_table_with_its_reason_below(tmp_path: Path):
    make_study(tmp_path, [{"beta": 0.1}])
    make_point(tmp_path, {"beta": 0.2}, state="failed", error="no space left [disk]", attempts=3)
    study = read_study(tmp_path)
    text = printed(study)
    assert "failed" in line_of(text, "0.2")
    assert failures(study) == [
        "failed  dpo-beta0.2-lr0.0005-sum-data1.0-seed0-00abcd: no space left [disk] (attempt 3)"
    ]
    assert failures(study)[0] in text


SHAPES = st.none() | st.booleans() | st.floats() | st.text(max_size=3) | st.lists(st.integers(), max_size=2)
AXIS_VALUES = st.fixed_dictionaries({}, optional=dict.fromkeys(POINT_AXES, SHAPES))


@settings(max_examples=50, deadline=None)
@given(st.lists(AXIS_VALUES, min_size=1, max_size=4), SHAPES)
def test_no_shape_of_the_axes_breaks_table_or_summary(
    tmp_path_factory: pytest.TempPathFactory, axes: list[dict], group: object
):
    folder = tmp_path_factory.mktemp("study")
    for number, values in enumerate(axes):
        (folder / str(number)).mkdir()
        write(folder / str(number) / "config.yaml", {"model": group, "bench": group})
        write(folder / str(number) / "result.json", {"axes": values, "scores": {"text": number}})
    study = read_study(folder)
    assert "text" in printed(study, 200)
    assert pattern(study).kind != "nothing" or not study.trained
    write_summary(study, study_gains(study), folder / "summary.csv")


def test_a_study_without_any_score_has_a_table(tmp_path: Path):
    make_point(tmp_path, {}, state="planned")
    text = printed(read_study(tmp_path))
    assert "planned" in text
    assert "bold" not in text


@pytest.mark.parametrize(
    ("score", "bounds", "half", "lines"),
    [
        (Score(8.61, 240, 8.5, 8.72), "8.61 [8.50, 8.72]", "8.61 ±.11", "8.61\n±.11"),
        (Score(8.61, 1, float("nan"), float("nan")), "8.61", "8.61", "8.61"),
        (Score(41.0, 60, 39.0, 43.0), "41.00 [39.00, 43.00]", "41.00 ±2.00", "41.00\n±2.00"),
    ],
)
def test_score_styles(score: Score, bounds: str, half: str, lines: str):
    assert (with_bounds(score, 2), with_half_width(score, 2), stacked(score, 2)) == (bounds, half, lines)


def test_items_text_names_benchmarks_of_different_size(tmp_path: Path):
    point = make_point(tmp_path, {})
    write(point / "result.json", {"scores": {"text": interval(8, 1, 80), "visual": interval(8, 1, 60)}})
    assert items_text(read_study(tmp_path)) == "n items: text 80, visual 60"
    assert items_text(read_study(tmp_path), ["visual"]) == "n = 60 items"


def test_summary_has_axes_then_metrics_a_row_a_point(tmp_path: Path):
    make_study(tmp_path / "s", [{"beta": 0.1}])
    make_point(tmp_path / "s", {"beta": 0.2}, state="failed", error='torn, "quoted"\nlines')
    study = read_study(tmp_path / "s")
    write_summary(study, study_gains(study), tmp_path / "summary.csv")
    with (tmp_path / "summary.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    header = list(rows[0])
    assert header[:11] == [
        *("point", "role", "state", "method", "beta", "lr"),
        *("logprob_avg", "data_scale", "data_limit", "label_noise", "seed"),
    ]
    assert header[11:15] == ["text", "text_low", "text_high", "text_n"]
    assert header[-5:] == ["steps", "examples", "epochs", "seconds", "error"]
    assert [(row["role"], row["state"], row["beta"]) for row in rows] == [
        ("base", "done", ""),
        ("before_visual_tuning", "done", ""),
        ("trained", "done", "0.1"),
        ("trained", "failed", "0.2"),
    ]
    assert float(rows[2]["text_low"]) < float(rows[2]["text"]) < float(rows[2]["text_high"])
    assert (rows[2]["text_n"], rows[2]["steps"], rows[2]["examples"]) == ("24", "35", "560")
    assert rows[3]["text"] == ""
    assert rows[3]["error"] == 'torn, "quoted"\nlines'
    assert sorted(path.name for path in tmp_path.iterdir()) == ["s", "summary.csv"]  # nothing left aside


SEEDS = [{"beta": beta, "seed": seed} for beta in (0.1, 0.2) for seed in (0, 1, 2)]


def test_seeds_are_one_row_and_rows_of_their_own_on_request(tmp_path: Path):
    make_study(tmp_path, SEEDS, n=8)
    make_point(tmp_path, {"beta": 0.2, "seed": 2}, state="failed", error="no memory", n=8)
    for path in tmp_path.glob("*beta0.2*seed2*/result.json"):
        path.unlink()
    study = read_study(tmp_path)
    text = printed(study, 120)
    assert line_of(text, "beta")[-3:] == ["seeds", "steps", "s"]
    assert "2 done, 1 failed" in text
    assert "2 of 3" in text
    assert sum(line.strip().startswith("0.1 ") for line in text.splitlines()) == 2  # scores, gains
    console = Console(width=120)
    with console.capture() as capture:
        print_table(study, console, by_seed=True)
    assert [line.split()[1] for line in capture.get().splitlines() if line.strip().startswith("0.1 ")][:3] == [*"012"]


@pytest.mark.parametrize("width", [40, 80, 100, 160])
def test_gains_stand_in_tables_that_fit_with_verdicts_in_words(tmp_path: Path, width: int):
    make_study(tmp_path, SEEDS[:3], n=60)
    make_point(tmp_path, {"beta": 9.0}, n=60, gain=0.0)
    text = printed(read_study(tmp_path), width)
    gains = text.partition("gain over the base")[2].partition("± or")[0]
    assert all(len(line) <= width for line in gains.splitlines())
    assert gains.count("better") == 3
    assert gains.count("not distinguishable") == 3
    flat = " ".join(text.split())
    assert "verdicts corrected for 6 comparisons (Holm)" in flat
    assert "paired over items and seeds" in flat
    assert "1 result has one seed" in flat


def test_gains_over_fewer_items_than_the_scores_are_counted(tmp_path: Path):
    make_study(tmp_path, SEEDS[:1], n=8)
    (path,) = tmp_path.glob("dpo-*/judgments/text.jsonl")
    path.write_text("".join(path.read_text().splitlines(keepends=True)[:6]))
    text = " ".join(printed(read_study(tmp_path), 120).split())
    assert "fewer items, which both sides have scores of: text 6 of 8" in text


def test_a_study_without_a_base_says_that_it_has_no_gains(tmp_path: Path):
    make_study(tmp_path, [{"beta": 0.1}], references=False)
    text = printed(read_study(tmp_path))
    assert "no gains" in text
    assert "gain over the base" not in text


def test_results_have_a_row_each_with_gains_and_labels(tmp_path: Path):
    make_study(tmp_path, SEEDS, n=24)
    study = read_study(tmp_path)
    gains = study_gains(study)
    write_results(study, gains, tmp_path / "results.csv")
    write_summary(study, gains, tmp_path / "summary.csv")
    results, points = (list(csv.DictReader((tmp_path / f"{name}.csv").open())) for name in ("results", "summary"))
    assert [(row["result"], row["points"], row["text_seeds"]) for row in results] == [
        ("base", "1", "1"),
        ("before visual tuning", "1", "1"),
        ("beta 0.1", "3", "3"),
        ("beta 0.2", "3", "3"),
    ]
    gain = gains.of_point(points[2]["point"], "text")
    assert gain is not None
    for row in (results[2], points[2]):
        assert float(row["text_gain"]) == pytest.approx(float(results[2]["text"]) - float(results[0]["text"]))
        assert float(row["text_gain_low"]) == gain.estimate.low
        assert float(row["text_gain_p"]) <= float(row["text_gain_p_corrected"]) == gain.p_corrected
        assert (row["text_verdict"], row["text_judge"], row["text_items"]) == (str(gain.verdict), "oracle", "24")
    assert results[0]["text_gain"] == results[1]["text_verdict"] == ""
    assert results[2]["names"].split() == [row["point"] for row in points[2:5]]


def test_seeds_of_different_judges_are_no_mean(tmp_path: Path):
    make_study(tmp_path, SEEDS[:1], n=4)
    make_point(tmp_path, SEEDS[1], n=4, judge="pro")
    study = read_study(tmp_path)
    write_results(study, study_gains(study), tmp_path / "results.csv")
    rows = list(csv.DictReader((tmp_path / "results.csv").open()))
    assert [(row["part"], row["points"], bool(row["text_gain"])) for row in rows[2:]] == [
        ("text, visual, text_noisy: judge oracle", "1", True),
        ("text, visual, text_noisy: judge pro", "1", False),
    ]


def test_control_characters_of_files_are_shown_and_not_obeyed(tmp_path: Path):
    make_point(tmp_path / "s", {}, state="failed", error="the server said \x1b[2J\x07[bold]gone")
    point = make_point(tmp_path / "s", {"beta": 0.2, "method": "\x1b]0;title"})
    write(
        point / "result.json", {"axes": {"beta": 0.2, "method": "\x1b]0;t"}, "scores": {"a\x9bb": interval(1, 0.1, 5)}}
    )
    text = printed(read_study(tmp_path / "s"), 200)
    assert not any(letter in text for letter in "\x1b\x07\x9b")
    assert "the server said \\x1b[2J\\x07[bold]gone" in text


def test_text_that_begins_like_a_formula_is_no_formula_in_the_summary(tmp_path: Path):
    formulas = ["=1+1", "@SUM(A1)", "+cmd|' /C calc'!A0", "-2+3", "\t=1", "\uff1d1"]
    for index, text in enumerate(formulas):
        make_point(tmp_path / "s", {"seed": index}, state="failed", error=text)
    make_point(tmp_path / "s", {"lr": 1e-5})
    study = read_study(tmp_path / "s")
    study.rows[-1].settings["data.path"] = "-1e-05"  # text, and a number all the same
    study.rows[0].settings["data.path"] = "=A1"
    write_summary(study, study_gains(study), tmp_path / "summary.csv")
    with (tmp_path / "summary.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert {row["error"] for row in rows} == {"", *(f"'{text}" for text in formulas)}
    assert {row["data.path"] for row in rows} == {"", "-1e-05", "'=A1"}
    assert any(float(row["text"] or 0) > 1 for row in rows)
