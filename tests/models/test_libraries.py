"""Imports without garbage collection, timed once per process."""

from __future__ import annotations

import gc
import sys
from pathlib import Path

import pytest

from mmdpo import timings
from mmdpo.models.libraries import import_libraries
from mmdpo.timings import ANY_MODEL, LIBRARIES, read_timings, timings_of


@pytest.mark.parametrize("broken", [False, True])
def test_nothing_is_collected_during_an_import(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, broken: bool) -> None:
    (tmp_path / "heavy.py").write_text(f"import gc\nenabled = gc.isenabled()\n{'1 / 0' if broken else ''}\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "heavy", raising=False)
    if broken:
        with pytest.raises(ZeroDivisionError):
            import_libraries("heavy")
    else:
        import_libraries("heavy")
        assert sys.modules["heavy"].enabled is False
        monkeypatch.delitem(sys.modules, "heavy")
    assert gc.isenabled()


def test_the_first_import_is_timed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MMDPO_CACHE", str(tmp_path))
    monkeypatch.setattr(timings, "_completed", set())
    monkeypatch.syspath_prepend(tmp_path)
    with timings_of("shape", "study"):
        for name in ("first_library", "second_library", "first_library"):
            (tmp_path / f"{name}.py").write_text("")
            import_libraries(name)
    monkeypatch.delitem(sys.modules, "first_library")
    monkeypatch.delitem(sys.modules, "second_library")
    assert [(one.kind, one.amounts["processes"]) for one in read_timings(ANY_MODEL)] == [(LIBRARIES, 1)]
