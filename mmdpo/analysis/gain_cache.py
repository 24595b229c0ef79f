"""Estimates of a study that were computed before, kept beside its results so that tables come quickly."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Iterable
from dataclasses import asdict
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mmdpo.analysis.study import Row
from mmdpo.files import Unreadable, file_fingerprint, fingerprint, read_json, write_json

if TYPE_CHECKING:
    from mmdpo.evaluation.crossed import Estimate

FILE = ".gains.json"


class GainCache:
    """Estimates by the files that they were computed from; an entry is used while these and the code are the same."""

    def __init__(self, study: Path, file: str = FILE) -> None:
        """Read the estimates that a file of a study's folder keeps."""
        self._path = study / file
        self._used: dict[str, Any] = {}
        self._found: dict[str, Any] = {}
        with contextlib.suppress(OSError, ValueError, Unreadable):
            found = read_json(self._path)
            self._found = found if isinstance(found, dict) else {}

    def get_or_make(
        self, rows: Iterable[Row], settings: list[Any], compute: Callable[[], Estimate | None]
    ) -> Estimate | None:
        """Return the estimate over the judged items of points; compute it if it is not there.

        Args:
            rows: The points.
            settings: What else the estimate depends on; the key of the score comes first.
            compute: Compute the estimate.
        """
        from mmdpo.evaluation.crossed import Estimate

        task = str(settings[0]).partition("/")[0]
        name = fingerprint([settings, [_state(row.folder, task) for row in rows], _code()])
        try:
            estimate = Estimate(**self._found[name])
        except (KeyError, TypeError):
            made = compute()
            if made is None or any(map(math.isnan, asdict(made).values())):  # JSON has no NaN
                return made
            estimate = made
        self._used[name] = asdict(estimate)
        return estimate

    def save(self) -> None:
        """Write the estimates that were used, if they changed and the folder can be written to."""
        if self._used != self._found:
            with contextlib.suppress(OSError):
                write_json(self._path, self._used)


def _state(folder: Path, task: str) -> list[Any]:
    """Return what tells whether the judged items of a point have changed."""
    found: list[Any] = [folder.name]
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
