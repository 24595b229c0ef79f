"""Estimates of a study that were computed before, kept beside its results so that tables come quickly."""

from __future__ import annotations

import contextlib
import json
import math
from collections.abc import Callable, Sequence
from dataclasses import asdict
from functools import cache, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mmdpo.analysis.study import Row
from mmdpo.files import Unreadable, file_fingerprint, fingerprint, read_json, write_json

if TYPE_CHECKING:
    from mmdpo.evaluation.crossed import Estimate

FILE = ".gains.json"
FORMAT = 2


class GainCache:
    """Estimates by what they compare; one is used while its files and the code are the same."""

    def __init__(self, study: Path, file: str = FILE) -> None:
        """Read the estimates that a file of a study's folder keeps."""
        self._study, self._file = study, file
        self._changed = False
        self._entries: dict[str, Any] = {}
        with contextlib.suppress(OSError, ValueError, Unreadable):
            found = read_json(study / file)
            self._entries = found if isinstance(found, dict) and found.pop("format", None) == FORMAT else {}

    def get_or_make(
        self, rows: Sequence[Row], settings: list[Any], compute: Callable[[], Estimate | None]
    ) -> Estimate | None:
        """Return the estimate over the judged items of points; compute it if it is not there.

        Args:
            rows: The points.
            settings: What else the estimate depends on; the key of the score comes first.
            compute: Compute the estimate.
        """
        from mmdpo.evaluation.crossed import Estimate

        name = json.dumps([*settings, [row.folder.name for row in rows]])
        tasks = str(settings[0]).split("/minus_")  # of a difference of two tasks, both
        states = [_state(row.folder, task.partition("/")[0]) for row in rows for task in tasks]
        state = fingerprint([states, _code()])
        with contextlib.suppress(KeyError, TypeError):
            entry = dict(self._entries[name])
            if entry.pop("state") == state:
                return Estimate(**entry)
        estimate = compute()
        if estimate is not None and not any(map(math.isnan, asdict(estimate).values())):  # JSON has no NaN
            self._entries[name] = {"state": state, **asdict(estimate)}
            self._changed = True
        return estimate

    def save(self) -> None:
        """Write the estimates if there are new ones, without those of points that are gone.

        Nothing is written where the folder is not there or cannot be written to.
        """
        if not self._changed or not self._study.is_dir():
            return
        with contextlib.suppress(OSError, ValueError):
            there = {path.name for path in self._study.iterdir()}
            kept = [name for name in self._entries if there.issuperset(json.loads(name)[-1])]
            self._entries = {name: self._entries[name] for name in kept}
            write_json(self._study / self._file, {"format": FORMAT, **self._entries})
            self._changed = False


@lru_cache(maxsize=64)
def cache_of(study: Path) -> GainCache:
    """Return the estimates of a study's folder, read once per process."""
    return GainCache(study)


def _state(folder: Path, task: str) -> list[Any]:
    """Return what tells whether the judged items of a point have changed."""
    found: list[Any] = []
    for name in ("judgments", "answers"):
        with contextlib.suppress(OSError):
            status = (folder / name / f"{task}.jsonl").stat()
            found.append([name, status.st_size, status.st_mtime_ns])
    return found


@cache
def _code() -> str:
    from mmdpo import analysis, evaluation

    folders = [*analysis.__path__, *evaluation.__path__]
    return fingerprint([file_fingerprint(file) for folder in folders for file in sorted(Path(folder).rglob("*.py"))])
