"""Simulated studies: the analysis claims nothing where nothing is, and the simulation notices if it does."""

from __future__ import annotations

import importlib
from pathlib import Path
from types import ModuleType

import pytest

from mmdpo.analysis import gains

BENCHMARKS = Path(__file__).resolve().parent.parent / "benchmarks"


@pytest.fixture
def null_studies(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    return importlib.import_module("null_studies")


def test_a_small_design_holds_and_one_without_correction_does_not(
    null_studies: ModuleType, monkeypatch: pytest.MonkeyPatch
):
    design = null_studies.StudyDesign("two benchmarks", null_studies.ALONE[:2], 1, 0.0)
    assert null_studies.simulate(design, 30).faults == []
    monkeypatch.setattr(gains, "holm", list)
    assert null_studies.simulate(design, 30).faults == ["claims"]


@pytest.mark.long
def test_all_designs_hold(null_studies: ModuleType, capsys: pytest.CaptureFixture[str]):
    assert null_studies.main(["--studies", "30"]) == 0, capsys.readouterr().out
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 1 + len(null_studies.DESIGNS)
    assert "beyond the limits" in lines[-1]
