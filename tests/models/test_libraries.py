"""Imports of libraries, which are excluded from garbage collection and timed once per process."""

from __future__ import annotations

import gc
import sys
import weakref
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


def test_libraries_are_excluded_from_collections_and_nothing_dead_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Node:
        other: Node

    (tmp_path / "heavy.py").write_text("objects = [{} for _ in range(1000)]\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "heavy", raising=False)
    one, before = Node(), gc.get_freeze_count()
    one.other = one
    dead = weakref.ref(one)
    del one
    import_libraries("heavy")
    objects = sys.modules["heavy"].objects
    monkeypatch.delitem(sys.modules, "heavy")
    assert dead() is None
    assert gc.get_freeze_count() > before
    assert not any(found is objects for found in gc.get_objects())


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
