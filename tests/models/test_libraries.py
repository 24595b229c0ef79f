"""The import of libraries, timed once per process."""

from __future__ import annotations

from mmdpo.models import libraries
from mmdpo.timings import ANY_MODEL, LIBRARIES, read_timings, timings_of


def test_libraries_are_imported_and_timed_once(tmp_path, monkeypatch):
    monkeypatch.setenv("MMDPO_CACHE", str(tmp_path))
    libraries._import.cache_clear()
    with timings_of("shape", "study"):
        libraries.import_libraries(None)
        libraries.import_libraries(None)
    assert [(one.kind, one.amounts["processes"]) for one in read_timings(ANY_MODEL)] == [(LIBRARIES, 1)]
