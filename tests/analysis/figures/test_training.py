"""Learning curves: their points, smoothing, seeds, and which stand out."""

from pathlib import Path

import pytest

from mmdpo.analysis.figures import data, training
from mmdpo.analysis.figures.drawing import Drawing, drawn_with
from mmdpo.analysis.study import read_metrics, read_study
from tests.support.studies import make_point


def test_training_curves_of_finished_and_running_points(tmp_path: Path):
    make_point(tmp_path, {"beta": 0.1}, steps=5)
    make_point(tmp_path, {"beta": 0.2}, steps=3, state="running")
    curves = data.training_curves(read_study(tmp_path))
    assert list(curves) == ["loss", "rewards/margins", "rewards/accuracies"]
    assert [(curve.label, curve.state, curve.steps) for curve in curves["loss"]] == [
        ("beta 0.1", "done", (1, 2, 3, 4, 5)),
        ("beta 0.2", "running", (1, 2, 3)),
    ]


def test_running_mean_by_hand():
    assert data.running_mean([1.0, 2.0, 6.0, 3.0], 3) == [1.5, 3.0, 11 / 3, 4.5]
    assert data.running_mean([1.0, 2.0], 1) == [1.0, 2.0]


def test_each_logged_step_is_drawn_unless_smoothing_is_asked_for(tmp_path: Path):
    for index, steps in enumerate((100, 30)):
        make_point(tmp_path, {"beta": 0.1 * (index + 1)}, steps=steps)
    read = read_study(tmp_path)
    found = data.training_curves(read)
    values = [[*map(float, line.get_ydata())] for line in training.curves(read, found).axes[0].lines]
    assert values == [[*curve.values] for curve in found["loss"]]
    with drawn_with(Drawing(smooth=3)):
        figure = training.curves(read, found)
    smoothed = [*map(float, figure.axes[0].lines[0].get_ydata())]
    assert smoothed[1] == pytest.approx(sum(found["loss"][0].values[:3]) / 3)
    assert "3 logged steps" in figure.get_supxlabel()


def test_seeds_are_one_learning_curve_with_their_range(tmp_path: Path):
    make_point(tmp_path, {"seed": 0}, steps=5)
    make_point(tmp_path, {"seed": 1}, steps=3)
    make_point(tmp_path, {"seed": 2}, steps=4, state="running")
    done, running = data.training_curves(read_study(tmp_path))["loss"]
    logs = [[step["loss"] for step in read_metrics(row.folder)] for row in read_study(tmp_path).trained]
    assert (done.state, done.steps, running.steps) == ("done", (1, 2, 3), (1, 2, 3, 4))
    assert done.values == pytest.approx([(one + two) / 2 for one, two in zip(logs[0], logs[1], strict=False)])
    assert done.low == tuple(map(min, logs[0][:3], logs[1]))
    assert done.high == tuple(map(max, logs[0][:3], logs[1]))
    assert running.low == ()


def test_the_best_of_many_curves_stand_out(tmp_path: Path):
    for number in range(12):
        make_point(tmp_path, {"beta": (number + 1) / 10}, steps=2, n=2, gain=number / 10)
    read = read_study(tmp_path)
    figure = training.curves(read, data.training_curves(read))
    (legend,) = figure.legends
    assert [text.get_text() for text in legend.get_texts()][-1] == "9 others"
    scores = {row.axes["beta"]: row.scores["text"].value for row in read.trained}
    best = sorted(scores, key=lambda beta: -scores[beta])[:3]
    assert [text.get_text() for text in legend.get_texts()][:3] == [f"beta {beta:g}" for beta in best]
