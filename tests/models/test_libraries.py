"""Imports without garbage collection."""

from __future__ import annotations

import gc
import sys
from pathlib import Path

import pytest

from mmdpo.models.libraries import import_libraries


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
