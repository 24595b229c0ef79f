"""Points that a service judges, against a rehearsal server: limits, retries, batch jobs and the cost before."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from mmdpo.clients.batches import BatchRunner
from mmdpo.clients.runner import RequestRunner
from mmdpo.config.choices import Stage
from mmdpo.config.schema import Config
from mmdpo.entry.compose import compose_config
from mmdpo.errors import Outstanding, Stopped
from mmdpo.files import read_json
from mmdpo.pipeline import evaluating
from mmdpo.pipeline.judging_cost import judging_cost
from mmdpo.points.point import Point, point
from mmdpo.points.status import State, read_status
from mmdpo.sweep.local import describe, run_stage
from mmdpo.testing.fake_gemini import fake_gemini
from mmdpo.testing.fake_openai import fake_openai
from mmdpo.testing.server import FakeServer
from tests.support.engines import FakeEngine
from tests.support.graded import grade_by, graded_task

COUNT = 4
Compose = Callable[..., Config]


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Compose]:
    """Compose a base model with the graded task; `seed` of the benchmark tells points apart, not their answers."""
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    for runner in (RequestRunner, BatchRunner):
        monkeypatch.setattr(runner.__init__, "__defaults__", (lambda seconds: None,))
    monkeypatch.setattr(evaluating, "engine_of", lambda p: FakeEngine())
    grade_by(monkeypatch, lambda text: "[[7]]")
    line = [
        *("data_scale=0", "bench.tasks=[graded]", "bench.split=all", f"bench.root={tmp_path}", "bench.resamples=20"),
        *("bench.judge=openai", "bench.judge.model=some-model", f"bench.judge.journal={tmp_path / 'j.sqlite'}"),
        *("tracking=none", f"out={tmp_path}", "model.before_visual_tuning=null"),
    ]
    with graded_task(tmp_path, COUNT):
        yield lambda server, *more: compose_config([*line, f"bench.judge.base_url={server.url}", *more])


@pytest.fixture
def server() -> Iterator[FakeServer]:
    with fake_openai() as running:
        yield running


def answered(*configs: Config) -> list[Point]:
    """Evaluate the points, which all get the same answers."""
    run_stage(configs, Stage.evaluate)
    return [point(config) for config in configs]


def result(p: Point) -> dict[str, Any]:
    return read_json(p.folder / "result.json")


def test_a_second_point_with_equal_answers_costs_nothing(config: Compose, server: FakeServer):
    points = answered(config(server), config(server, "bench.seed=1"))
    run_stage([p.config for p in points], Stage.judge)
    assert server.answered.total() == COUNT
    for p in points:
        assert result(p)["scores"]["graded"]["value"] == 7.0
        assert result(p)["judge"] == "some-model"
        assert result(p)["labels"]["graded"]["served"] == ["some-model-001"]


def test_a_quota_ends_the_command_and_the_same_command_completes(config: Compose, server: FakeServer):
    points = answered(config(server), config(server, "bench.seed=1"))
    limited = [config(server, "bench.judge.limits.requests_per_day=2", f"bench.seed={seed}") for seed in (0, 1)]
    with pytest.raises(Stopped) as stop:
        run_stage(limited, Stage.judge)
    assert stop.value.exit_code == 75
    assert [read_status(p.folder).state for p in points] == [State.failed, State.planned]
    run_stage([p.config for p in points], Stage.judge)
    assert [read_status(p.folder).state for p in points] == [State.done, State.done]
    assert server.answered.total() == COUNT


@pytest.mark.parametrize("key", ["judge", "bench.judge"])
def test_finished_points_are_judged_again_for_their_unscored_items_alone(
    config: Compose, server: FakeServer, monkeypatch: pytest.MonkeyPatch, key: str
):
    (p,) = answered(config(server))
    with monkeypatch.context() as patch:
        grade_by(patch, lambda text: "None." if "What is 2?" in text else "[[7]]")
        run_stage([p.config], Stage.judge)
    assert (result(p)["scores"]["graded"]["unscored"], read_status(p.folder).state) == (1, State.done)
    before = server.answered.total()
    run_stage([p.config], Stage.judge)
    assert server.answered.total() == before
    again = config(server, "stage=judge", f"{key}.retry_unscored=true")
    run_stage([again], Stage.judge)
    assert (result(p)["scores"]["graded"]["unscored"], read_status(p.folder).state) == (0, State.done)
    assert server.answered.total() == before + 1
    run_stage([again], Stage.judge)  # nothing is unscored any longer
    assert server.answered.total() == before + 1


def test_the_batch_jobs_of_all_points_are_submitted_at_once(config: Compose):
    with fake_gemini(batch_polls=1) as server:
        batch = ["bench.judge=gemini", "bench.judge.batch=true"]
        points = answered(config(server, *batch), config(server, *batch, "bench.seed=1", "bench.repeats=2"))
        with pytest.raises(Outstanding, match="2 points wait"):
            run_stage([p.config for p in points], Stage.judge)
        assert len(server.batches) == 2
        run_stage([p.config for p in points], Stage.judge)
    assert [read_status(p.folder).state for p in points] == [State.done, State.done]
    assert server.answered.total() == 2 * COUNT  # the second judgment of each answer is the second point's alone


PRICED = ("bench.judge.price.input=1", "bench.judge.price.output=10", "bench.judge.price.of=today")


def test_the_cost_is_told_before_and_what_is_answered_is_not_counted(config: Compose, server: FakeServer):
    points = answered(config(server, *PRICED), config(server, *PRICED, "bench.seed=1", "bench.repeats=2"))
    (line,) = judging_cost(points)
    assert line.startswith(f"judging graded: calls: {2 * COUNT} (0 are answered already)")
    assert "USD (prices of today)" in line
    run_stage([points[0].config], Stage.judge)
    (line,) = judging_cost(points[1:])
    assert f"calls: {COUNT} ({COUNT} are answered already)" in line


def test_answers_that_do_not_exist_are_assumed_for_each_point_and_task(
    config: Compose, server: FakeServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("MMDPO_CACHE", str(tmp_path / "cache"))
    line = ["bench.tasks=[graded,text,presence]", "bench.split=test", "bench.items=4", "bench.max_new_tokens=400"]
    points = [point(config(server, *line, f"bench.seed={seed}")) for seed in (0, 1)]
    lines = list(judging_cost(points))
    assert [one.partition(":")[0] for one in lines] == ["judging graded", "judging text", "judging in total", "judging"]
    assert "calls: 4 (0" in lines[0]
    assert "calls: 8 (0" in lines[1]
    assert "calls: 12 (0" in lines[2]
    assert "12 answers do not exist yet" in lines[3]
    assert not (tmp_path / "cache" / "benchmark").exists()
    assert server.seen.total() == 0


def test_the_cost_of_a_task_without_its_files_is_unknown(config: Compose, server: FakeServer, tmp_path: Path):
    (tmp_path / "graded" / "questions.jsonl").unlink()
    (line,) = judging_cost([point(config(server))])
    assert "unknown" in line
    assert "bench.root" in line


@pytest.mark.parametrize(("stage", "told"), [(Stage.judge, True), (Stage.experiment, True), (Stage.evaluate, False)])
def test_a_dry_run_tells_the_cost_of_stages_that_judge(
    config: Compose, server: FakeServer, capsys: pytest.CaptureFixture[str], stage: Stage, told: bool
):
    (p,) = answered(config(server))
    capsys.readouterr()
    describe([p.config], stage)
    assert ("judging graded: calls: 4" in capsys.readouterr().out) is told
