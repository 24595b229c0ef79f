"""A judge's key and its model's shutdown, looked at before the first point."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, timedelta
from pathlib import Path

import pytest

from mmdpo.config.choices import Stage
from mmdpo.config.schema import Config
from mmdpo.entry.compose import compose_config
from mmdpo.entry.judge_needs import NEAR, require_judges
from mmdpo.errors import UserError
from mmdpo.files import write_json
from mmdpo.points import status
from mmdpo.points.point import point
from tests.support.graded import graded_task

KEYS = ("GEMINI_API_KEY", "GOOGLE_API_KEY")


@pytest.fixture(autouse=True)
def _task(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for name in KEYS:
        monkeypatch.delenv(name, raising=False)
    with graded_task(tmp_path, 2):
        yield


@pytest.fixture
def line(tmp_path: Path) -> list[str]:
    return ["data_scale=0", "bench.tasks=[graded]", "bench.split=all", f"bench.root={tmp_path}", f"out={tmp_path}"]


@pytest.fixture
def config(line: list[str]) -> Config:
    return compose_config([*line, "bench.judge=gemini", "model.before_visual_tuning=null"])


@pytest.mark.parametrize("stage", [Stage.judge, Stage.experiment])
def test_a_missing_key_is_found_before_the_first_point(config: Config, stage: Stage, monkeypatch: pytest.MonkeyPatch):
    with pytest.raises(UserError, match=r"bench\.judge=gemini needs a key.*GEMINI_API_KEY"):
        require_judges([config], stage)
    require_judges([config], stage, dry_run=True)
    monkeypatch.setenv(KEYS[0], "sk-0123456789abcdef")
    require_judges([config], stage)


def test_no_key_is_needed_where_nothing_is_asked(config: Config, line: list[str]):
    require_judges([config], Stage.evaluate)
    require_judges([compose_config(["bench.judge=gemini", "bench.tasks=[presence]"])], Stage.experiment)
    slurm = [*line, "bench.judge=gemini", "cluster=slurm"]
    for later in ("cluster.judge=job", "cluster.wait=false"):
        require_judges([compose_config([*slurm, later])], Stage.experiment)
    with pytest.raises(UserError, match="GEMINI_API_KEY"):
        require_judges([compose_config(slurm)], Stage.experiment)
    folder = point(config).folder
    write_json(folder / "result.json", {"scores": {"graded": {"value": 1.0, "unscored": 0}}})
    status.finish(folder)
    require_judges([config], Stage.judge)


@pytest.mark.parametrize(("days", "told"), [(NEAR, True), (NEAR + 1, False)])
def test_a_model_that_ends_soon_is_warned_of(
    line: list[str], days: int, told: bool, capsys: pytest.CaptureFixture[str]
):
    end = date.today() + timedelta(days=days)
    config = compose_config([*line, "bench.judge=gemini", f"bench.judge.shutdown='{end}'"])
    require_judges([config], Stage.experiment, dry_run=True)
    found = " ".join(capsys.readouterr().out.split())
    assert (str(end) in found and "bench.judge.model" in found) is told


def test_a_model_that_is_no_longer_served_is_refused_unless_another_server_has_it(line: list[str]):
    past = [*line, "bench.judge=gemini", "bench.judge.shutdown='2026-01-31'"]
    with pytest.raises(UserError, match=r"2026-01-31; type another bench\.judge\.model="):
        require_judges([compose_config(past)], Stage.judge, dry_run=True)
    require_judges([compose_config([*past, "bench.judge.base_url=http://localhost:1"])], Stage.judge)
