"""Points in this process, one after another."""

from __future__ import annotations

from pathlib import Path

import pytest

from mmdpo.config.choices import Stage
from mmdpo.entry.compose import compose_config
from mmdpo.models import loading
from mmdpo.pipeline import point_stages as stages
from mmdpo.points.point import Point, point
from mmdpo.sweep import local


@pytest.mark.parametrize(("processes", "loads"), [(1, 1), (2, 2)])
def test_the_model_stays_in_memory_from_point_to_point_of_a_process_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, processes: int, loads: int
) -> None:
    read = []
    real = loading._load
    monkeypatch.setattr(loading, "_load", lambda path, kind: read.append(path) or real(path, kind))
    monkeypatch.setattr(local, "world_size", lambda: processes)

    def measured(p: Point) -> None:
        loading.load_model(p.config.model.path, p.config.model.dtype)

    monkeypatch.setattr(stages, "experiment", measured)
    line = [f"out={tmp_path}", "study=s", "data_scale=0"]
    points = [point(compose_config([*line, f"bench.seed={seed}"])) for seed in range(2)]
    assert len({p.folder for p in points}) == 2
    assert local._run_all(points, Stage.experiment) == {}
    assert len(read) == loads
