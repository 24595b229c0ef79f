"""Studies and bundles as data frames."""

import json
import math

import pytest

from mmdpo.analysis import load_study
from mmdpo.analysis.bundle import write_bundle
from mmdpo.analysis.study import read_study
from mmdpo.errors import UserError
from tests.support.studies import make_point, make_study

SEEDS = [{"beta": beta, "seed": seed} for beta in (0.1, 0.3) for seed in (0, 1)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = make_study(tmp_path_factory.mktemp("outputs") / "nano", SEEDS, n=6)
    make_point(folder, {"beta": 0.5}, n=6, state="failed", error="out of memory")
    return folder


@pytest.fixture(scope="module")
def loaded(folder):
    return load_study(folder)


def test_points_have_a_row_in_any_state(folder, loaded):
    points = loaded.points.set_index("point")
    rows = {row.point: row for row in read_study(folder).rows}
    assert set(points.index) == set(rows)
    assert repr(loaded) == "StudyData(nano: 7 points)"
    assert points.error[points.state == "failed"].tolist() == ["out of memory"]
    assert all(points.seconds[name] == row.seconds for name, row in rows.items() if row.seconds is not None)
    assert set(points["versions.torch"].dropna()) == {"2.13.0"}


def test_results_merge_seeds_and_have_gains(loaded):
    results = loaded.results[loaded.results.benchmark == "text"].set_index("result")
    assert results.seeds.to_dict() == {"base": 1, "before visual tuning": 1, "beta 0.1": 2, "beta 0.3": 2}
    scores = loaded.scores.query("benchmark == 'text' and part == ''").set_index("point").value
    of_beta = [scores[name] for name in scores.index if "-beta0.1-" in name]
    assert results.value["beta 0.1"] == pytest.approx(sum(of_beta) / 2)
    assert results.gain["beta 0.1"] == pytest.approx(results.value["beta 0.1"] - results.value["base"])
    assert results.gain_low["beta 0.1"] < results.gain["beta 0.1"] < results.gain_high["beta 0.1"]
    assert results.verdict["beta 0.1"] in ("better", "worse", "not distinguishable")
    assert math.isnan(results.p_corrected["before visual tuning"])


def test_items_agree_with_the_scores(loaded):
    items = loaded.items[loaded.items.benchmark == "text"]
    means = items.groupby("point").score.mean()
    scores = loaded.scores.query("benchmark == 'text' and part == ''").set_index("point").value
    assert means.to_dict() == pytest.approx(scores.to_dict())
    assert {"question", "answer", "parts.correctness", "parts.helpfulness"} <= set(items.columns)


def test_metrics_are_in_long_form(loaded):
    metrics = loaded.metrics
    assert set(metrics.metric) == {"loss", "rewards/margins", "rewards/accuracies"}
    assert metrics.groupby(["point", "metric"]).step.max().unique().tolist() == [35]


def test_a_bundle_gives_the_same_frames(folder, loaded, tmp_path):
    write_bundle(folder, tmp_path / "nano.zip")
    moved = load_study(str(tmp_path / "nano.zip"))
    for name in ("points", "results", "scores", "items", "metrics"):
        assert getattr(moved, name).equals(getattr(loaded, name)), name


def test_several_studies_are_told_apart(folder, tmp_path):
    other = make_study(tmp_path / "other", [{"beta": 0.2}], n=6, references=False)
    both = load_study([folder, other])
    assert both.points.study.value_counts().to_dict() == {"nano": 7, "other": 1}
    assert math.isnan(both.results.set_index("study").gain["other"].max())  # without a base there is no gain
    with pytest.raises(UserError, match="'nano'"):
        load_study(folder, folder)
    with pytest.raises(UserError, match="nothing-here"):
        load_study("nothing-here")


def test_unscored_and_damaged_items_are_no_zero(tmp_path):
    point = make_point(tmp_path / "nano", {}, n=2)
    lines = [json.loads(line) for line in (point / "judgments" / "text.jsonl").read_text().splitlines()]
    lines[0] |= {"score": None, "reason": "declined"}
    (point / "judgments" / "text.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines) + "{torn")
    items = load_study(tmp_path / "nano").items.query("benchmark == 'text'")
    assert items.score.isna().tolist() == [True, False]
    assert items.reason.tolist()[0] == "declined"


def test_a_study_without_a_result_has_empty_frames(tmp_path):
    make_point(tmp_path / "nano", {}, state="failed", error="no")
    loaded = load_study(tmp_path / "nano")
    assert (len(loaded.points), len(loaded.results), len(loaded.items), loaded.pictures) == (1, 0, 0, {})
    assert {"gain", "verdict"} <= set(loaded.results.columns)
