"""Gains over the base, their verdicts for the whole study, and what is kept of them."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from scipy import stats
from statsmodels.stats.multitest import multipletests

from mmdpo.analysis import gains as gains_module
from mmdpo.analysis.gain_cache import FILE, cache_of
from mmdpo.analysis.gain_caveats import gain_caveats
from mmdpo.analysis.gain_table import gain_notes
from mmdpo.analysis.gains import Gains, GainVerdict, gain_over, holm, study_gains, verdict_of
from mmdpo.analysis.groups import Group, base_of, groups
from mmdpo.analysis.study import Study, read_study
from mmdpo.analysis.variances import smallest_visible_gain, variances_of
from mmdpo.evaluation.crossed import Estimate
from mmdpo.files import read_json, write_json
from tests.support.studies import make_point, make_study

SEEDS = [{"beta": beta, "seed": seed} for beta in (0.1, 0.3) for seed in (0, 1, 2)]


def read(folder: Path) -> tuple[Study, Gains]:
    """Read a study as another process does: without what this one remembers."""
    cache_of.cache_clear()
    study = read_study(folder)
    return study, study_gains(study)


def scores(folder: Path, benchmark: str = "text") -> np.ndarray:
    lines = (folder / "judgments" / f"{benchmark}.jsonl").read_text().splitlines()
    return np.array([json.loads(line)["score"] for line in lines])


def edit(folder: Path, change, benchmark: str = "text") -> None:
    path = folder / "judgments" / f"{benchmark}.jsonl"
    rows = [change(number, json.loads(line)) for number, line in enumerate(path.read_text().splitlines())]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows if row is not None))


def first_of(study: Study) -> Group:
    return groups(study)[0]


@pytest.mark.parametrize("values", [[], [0.04], [0.01, 0.04, 0.03, 0.005, 0.2], [1.0, 1.0, 1e-9]])
def test_holm_is_that_of_statsmodels(values: list[float]):
    expected = list(multipletests(values, method="holm")[1]) if values else []
    assert holm(values) == pytest.approx(expected)


def test_a_gain_is_paired_and_corrected_for_all_comparisons_of_the_study(tmp_path: Path):
    folder = make_study(tmp_path / "grid", [{"beta": beta} for beta in (0.1, 0.2, 0.3)])
    study, gains = read(folder)
    base = study.rows[0]
    assert gains.comparisons == 3 * 3  # results with items of text, visual and text_noisy; presence has none
    for group in groups(study):
        gain = gains.of(group, "text")
        expected = stats.ttest_rel(scores(group.rows[0].folder), scores(base.folder))
        assert gain.estimate.p == pytest.approx(expected.pvalue)
        assert gain.p_corrected >= gain.estimate.p
        assert gains.of_point(group.rows[0].point, "text") == gain
    raw = [gains.of(group, key).estimate.p for group in groups(study) for key in ("text", "visual", "text_noisy")]
    found = [gains.of(group, key).p_corrected for group in groups(study) for key in ("text", "visual", "text_noisy")]
    assert found == pytest.approx(list(multipletests(raw, method="holm")[1]))
    before = next(row for row in study.rows if row.role == "before_visual_tuning")
    assert gains.of_point(before.point, "text").verdict is None
    assert gains.of_point(base.point, "text") is None


@pytest.mark.parametrize(
    ("key", "value", "p", "verdict"),
    [
        ("text", 0.5, 0.05, GainVerdict.better),
        ("text", -0.5, 0.05, GainVerdict.worse),
        ("text", 0.5, 0.0501, GainVerdict.unclear),
        ("text", 0.5, float("nan"), GainVerdict.unclear),
        ("amber/chair", -0.5, 0.01, GainVerdict.better),
    ],
)
def test_verdicts_follow_the_corrected_p_and_the_direction_of_the_metric(key, value, p, verdict):
    assert verdict_of(key, Estimate(value, 0, 0, p, 9, 9, 1, 1, 8), p, 0.05) is verdict


def test_equal_seeds_are_paired_in_whatever_order(tmp_path: Path):
    study, _ = read(make_study(tmp_path / "seeds", SEEDS))
    a, b = groups(study)
    turned = Group(b.label, b.role, tuple(reversed(b.rows)))
    assert gain_over(a, b, "text", 0.95) == gain_over(a, turned, "text", 0.95)
    other = Group(b.label, b.role, b.rows[:2])
    assert gain_over(a, other, "text", 0.95).seeds == 3  # not the same seeds: each side has its own variance


def test_gains_are_kept_until_their_judgments_change(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    folder = make_study(tmp_path / "seeds", SEEDS)
    study, gains = read(folder)
    kept = (folder / FILE).read_bytes()
    score = first_of(study).score("text")
    with monkeypatch.context() as patch:
        patch.setattr(
            gains_module, "measure", lambda _, key: None if key == "presence" else pytest.fail(f"{key}: again")
        )
        again, found = read(folder)
        assert found == gains
        assert first_of(again).score("text") == score
    assert (folder / FILE).read_bytes() == kept
    edit(study.rows[-1].folder, lambda number, row: {**row, "score": row["score"] - 1})
    _, changed = read(folder)
    assert changed.of_point(study.rows[-1].point, "text") != gains.of_point(study.rows[-1].point, "text")
    assert (
        changed.of_point(first_of(study).rows[0].point, "text").estimate == gains.of(first_of(study), "text").estimate
    )


@pytest.mark.parametrize("content", ["", "[]", '{"format": 2, "x": 1, "[]": {}}', '{"0123": {"value": 1}}', "\x00"])
def test_a_damaged_file_of_gains_is_made_again(content: str, tmp_path: Path):
    folder = make_study(tmp_path / "grid", [{"beta": 0.1}])
    _, gains = read(folder)
    (folder / FILE).write_text(content)
    assert read(folder)[1] == gains


def test_a_folder_that_cannot_be_written_to_has_its_gains(tmp_path: Path):
    folder = make_study(tmp_path / "grid", [{"beta": 0.1}])
    (folder / FILE).mkdir()
    assert read(folder)[1].comparisons == 3


def test_items_without_a_partner_are_counted(tmp_path: Path):
    folder = make_study(tmp_path / "seeds", SEEDS)
    study = read_study(folder)
    edit(study.rows[-1].folder, lambda number, row: {**row, "score": None} if number < 3 else row)
    study, gains = read(folder)
    assert gains.of_point(study.rows[-1].point, "text").estimate.n == 21
    assert any("text 21 of 24" in line for line in gain_notes(study, gains))


def test_a_missing_gain_has_a_reason(tmp_path: Path):
    folder = make_study(tmp_path / "grid", [{"beta": beta} for beta in (0.1, 0.2)])
    make_point(folder, {"beta": 0.3}, judge="gpt-4")
    edit(groups(read_study(folder))[-1].rows[0].folder, lambda number, row: {**row, "score": None})
    study, gains = read(folder)
    lines = [line for line in gain_caveats(study, gains) if "no gain on text:" in line]
    assert [("stage=judge" in line, "judged otherwise" in line) for line in lines] == [(False, True), (True, False)]


def test_points_of_another_model_have_no_gain_over_this_base(tmp_path: Path):
    """Also while the other model's base is not finished."""
    folder = make_study(tmp_path / "models", [{"beta": 0.1}], references=False)
    other = {"model": {"name": "other", "path": "other"}}
    make_point(folder, {"beta": 0.1}, config=other)
    make_point(folder, {"data_scale": 0.0}, role="base", gain=0.0)
    unfinished = make_point(folder / "aside", {"data_scale": 0.0}, role="base", config=other, state="running")
    unfinished.rename(folder / "base-other")
    study, gains = read(folder)
    found = {group.rows[0].value("model.name"): base_of(study, group) for group in groups(study)}
    assert found["other"] is None
    assert found["nano"].rows[0].point == "base-00abcd"
    assert any("no base" in line for line in gain_caveats(study, gains))


@pytest.mark.parametrize(("between", "noted"), [(0.0, False), (1.0, True)])
def test_seeds_that_vary_much_are_noted(between: float, noted: bool, tmp_path: Path):
    folder = make_study(tmp_path / "seeds", SEEDS)
    for row in read_study(folder).trained:
        shift = between * (row.axes["seed"] - 1)
        edit(row.folder, lambda number, item, shift=shift: {**item, "score": item["score"] + 3 + shift})
    study, gains = read(folder)
    assert any(line.startswith("text: seeds seem to vary") for line in gain_caveats(study, gains)) is noted


@pytest.mark.parametrize("points", [[], [{"beta": 0.1, "seed": 0}, {"beta": 0.1, "seed": 1}]])
def test_studies_of_hardly_anything(points: list[dict], tmp_path: Path):
    """No trained point; a single item over two seeds, whose spread is unknown."""
    study, gains = read(make_study(tmp_path / "small", points, n=1))
    assert gains.comparisons == 0
    assert all(gain.verdict is None for found in gains.by_group.values() for gain in found.values())
    assert smallest_visible_gain(study, "text") is None
    assert bool(gain_caveats(study, gains)) is bool(points)


def test_scores_that_no_training_changed_have_no_smallest_visible_gain(tmp_path: Path):
    folder = make_study(tmp_path / "alike", [{"beta": 0.1}])
    before = read_study(folder)
    same = scores(before.rows[0].folder)
    edit(before.trained[0].folder, lambda number, item: {**item, "score": same[number]})
    study, _ = read(folder)
    assert smallest_visible_gain(study, "text") is None
    assert smallest_visible_gain(study, "visual") is not None


def test_the_variances_of_a_study_are_those_of_its_gains(tmp_path: Path):
    """With one seed, the variance over items is that of the paired differences."""
    study, gains = read(make_study(tmp_path / "grid", [{"beta": 0.1}]))
    gain = gains.of(first_of(study), "text")
    found = variances_of(study, "text", "test")
    assert found
    assert (found.variances.items + found.variances.noise) / gain.estimate.n == pytest.approx(gain.estimate.error**2)
    assert not found.with_seeds
    assert smallest_visible_gain(study, "text") > 2.8 * gain.estimate.error
    several = variances_of(read(make_study(tmp_path / "seeds", SEEDS))[0], "text", "test")
    assert several
    assert several.with_seeds
    assert "6 points" in several.source


def test_an_interval_over_seeds_stays_on_the_scale(tmp_path: Path):
    folder = make_study(tmp_path / "seeds", SEEDS[:3], references=False)
    for row in read_study(folder).trained:
        edit(row.folder, lambda number, item: {**item, "score": 10 if number else 9.9})
    score = first_of(read_study(folder)).score("text")
    assert score.value < score.high == 10


def test_points_with_the_same_seed_are_not_seeds_of_one_result(tmp_path: Path) -> None:
    """The content of the data changed between two commands, which neither axes nor settings show."""
    folder = make_study(tmp_path / "s", [{"beta": 0.1, "seed": seed} for seed in (0, 1)])
    other = make_study(tmp_path / "t", [{"beta": 0.1, "seed": seed} for seed in (0, 1)], references=False)
    for point in other.iterdir():
        result = read_json(point / "result.json")
        write_json(point / "result.json", result | {"fingerprints": {"data": "ffff0000", "model": "fedcba9876543210"}})
        point.rename(folder / f"{point.name}-other")
    found = groups(read_study(folder))
    assert [(one.label, len(one.rows)) for one in found] == [("DPO, data 012345", 2), ("DPO, data ffff00", 2)]
