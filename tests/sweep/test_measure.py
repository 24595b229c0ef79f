"""stage=measure on the miniature: its times are enough to predict a sweep."""

from __future__ import annotations

import dataclasses

import pytest

from mmdpo.config.choices import Stage
from mmdpo.entry.compose import compose_config
from mmdpo.points.point import baselines, point
from mmdpo.sweep import measure as measuring
from mmdpo.sweep.hours import hours_lines

pytestmark = pytest.mark.exhaustive


def test_a_measurement_is_enough_to_predict_a_sweep(tmp_path, monkeypatch):
    monkeypatch.setenv("MMDPO_CACHE", str(tmp_path / "cache"))
    short = [dataclasses.replace(probe, seconds=probe.seconds / 20) for probe in measuring.PROBES]
    monkeypatch.setattr(measuring, "PROBES", short)
    line = ["data.prompts=60", "bench.tasks=[text]", "bench.items=30", f"out={tmp_path}", "tracking=none"]
    config = compose_config(line)
    measuring.measure([config])
    lines = [*hours_lines([*baselines(config), point(config)], Stage.experiment)]
    assert len(lines) == 1, lines
    assert all(part in lines[0] for part in ("training", "start-up", "evaluation", "judging"))
    assert not [*tmp_path.glob("probe*")]
