"""The columns of metrics as read from judgments: every score key of every task, and files that are not whole."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from mmdpo.analysis.measured import common_items, estimate_gain, estimate_score, judged_items, measure
from mmdpo.evaluation.task import JudgeRequest
from mmdpo.testing.benchmark_replies import style_of
from tests.support.bench_run import TextJudge, bench_config, run_task
from tests.support.benchmarks import TASKS, write_benchmarks

SIMPLE = "text"


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_benchmarks(tmp_path_factory.mktemp("bench"))


def _reply(request: JudgeRequest) -> str:
    text = "\n".join(message.text for message in request.messages)
    style = style_of(text)
    return style.reply(text) if style else f"Rating: {len(text) % 7}"


@pytest.mark.parametrize("task", TASKS)
def test_every_score_of_a_task_is_measured_as_it_was_scored(task: str, root: Path, tmp_path: Path):
    """Value and number of items of each key of result.json, F1 and scores of groups among them."""
    answers = ("yes", "no", "A", "a dog and a cat", "not sure")
    tasks = ["mt_bench", task] if task == "mt_bench_noisy" else [task]
    bench = replace(bench_config(task, root), tasks=tasks)
    replies = iter(answers * 1000)
    found = run_task(bench, tmp_path, lambda prompt: next(replies), TextJudge(_reply))
    checked = 0
    for key, score in found.scores.items():
        one = measure(tmp_path, key)
        if one is None:
            assert score.n == 0 or score.value != score.value, key
            continue
        assert len(one.ids) == score.n, key
        if score.value == score.value:
            assert float(one.statistic(*one.columns)) == pytest.approx(score.value, abs=1e-12), key
            checked += 1
    assert checked >= 3


def write_judgments(folder: Path, lines: list[str], name: str = SIMPLE) -> Path:
    (folder / "judgments").mkdir(parents=True, exist_ok=True)
    (folder / "judgments" / f"{name}.jsonl").write_text("\n".join(lines) + "\n")
    return folder


def judgment(name: str, score: float | None, **more: object) -> str:
    return json.dumps({"id": name, "score": score, "parts": {}, "words": 1, **more})


def test_unscored_and_damaged_items_are_left_out_and_counted(tmp_path: Path):
    a = write_judgments(tmp_path / "a", [judgment("1", 4), judgment("2", None), judgment("3", 6), judgment("4", 8)])
    b = write_judgments(tmp_path / "b", [judgment("4", 9), judgment("3", 7), '{"id": "1", "sco', judgment("5", 1)])
    first, second = measure(a, SIMPLE), measure(b, SIMPLE)
    assert first
    assert second
    assert list(common_items([first, second])) == ["3", "4"]
    found = estimate_gain([first], [second], 0.95)
    assert found
    assert (found.value, found.n, found.clusters) == (1.0, 2, 2)


@pytest.mark.parametrize("content", [[], ["[1]"], [judgment("1", None)], [judgment("1", float("nan"))]])
def test_a_file_without_a_score_measures_nothing(content: list[str], tmp_path: Path):
    assert measure(write_judgments(tmp_path, content), SIMPLE) is None


def test_a_missing_file_and_an_unknown_metric_measure_nothing(tmp_path: Path):
    assert measure(tmp_path, SIMPLE) is None
    write_judgments(tmp_path, [judgment("1", 4)])
    assert measure(tmp_path, f"{SIMPLE}/category/none") is None
    assert judged_items(tmp_path, SIMPLE)["1"]["score"] == 4


def test_points_without_a_common_item_have_no_gain(tmp_path: Path):
    a, b = (measure(write_judgments(tmp_path / name, [judgment(name, 4)]), SIMPLE) for name in "ab")
    assert a
    assert b
    assert estimate_gain([a], [b], 0.95) is None


def test_clusters_of_the_point_that_knows_them_count(tmp_path: Path):
    """Judgments of earlier versions do not name the cluster."""
    names = "1234"
    old = write_judgments(tmp_path / "old", [judgment(name, 4) for name in names])
    new = write_judgments(tmp_path / "new", [judgment(name, 5, cluster=str(int(name) % 2)) for name in names])
    a, b = measure(old, SIMPLE), measure(new, SIMPLE)
    assert a
    assert b
    found = estimate_gain([a], [b], 0.95)
    assert found
    assert (found.clusters, found.n) == (2, 4)


def test_seeds_are_averaged_over_the_items_that_all_have(tmp_path: Path):
    scores = ([1.0, 5.0, 9.0], [3.0, 5.0, None])
    points = [
        measure(write_judgments(tmp_path / str(seed), [judgment(str(n), one) for n, one in enumerate(row)]), SIMPLE)
        for seed, row in enumerate(scores)
    ]
    found = estimate_score([one for one in points if one], 0.95)
    assert (found.value, found.n, found.seeds) == (3.5, 2, 2)
