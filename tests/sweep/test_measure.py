"""stage=measure on the miniature: its times are enough to predict a sweep."""

from __future__ import annotations

import pytest

from tests.support.program import launch

pytestmark = pytest.mark.exhaustive


def test_a_measurement_is_enough_to_predict_a_sweep(tmp_path):
    line = ["data.prompts=60", "bench.tasks=[text]", "bench.items=30", f"out={tmp_path}", "tracking=none"]
    cache = {"MMDPO_CACHE": str(tmp_path / "cache")}
    measured = launch("stage=measure", *line, real=True, **cache)  # imports of libraries are measured, too
    assert measured.returncode == 0, measured.stdout + measured.stderr
    planned = launch(*line, "dry_run=true", **cache)
    hours = [printed for printed in planned.stdout.splitlines() if printed.startswith("hours")]
    assert len(hours) == 1, planned.stdout + planned.stderr
    assert all(part in hours[0] for part in ("training", "start-up", "evaluation", "judging"))
    assert "stage=measure" not in planned.stdout
    assert not [*tmp_path.glob("*/probe*")]
