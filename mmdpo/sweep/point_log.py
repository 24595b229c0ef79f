"""Logs of the points that run on this machine, under the names that `python -m mmdpo logs` looks for."""

from __future__ import annotations

import traceback
from collections.abc import Callable
from pathlib import Path

from mmdpo import __version__
from mmdpo.logs import copy_output, write_log
from mmdpo.points.point import Point
from mmdpo.points.status import Status, read_status


def log_file(folder: Path, attempt: int) -> Path:
    """Return the log of an attempt's only or first process."""
    return folder / "logs" / f"attempt-{attempt}-rank-0.log"


def with_log(work: Callable[[Point], object]) -> Callable[[Point], None]:
    """Return a function that does the work of a point and writes its output and its traceback to the point's log."""

    def logged(p: Point) -> None:
        status = read_status(p.work_folder)
        with copy_output(log_file(p.work_folder, status.attempts)):
            write_log(_head(p, status))
            try:
                work(p)
            except BaseException:
                write_log(traceback.format_exc())
                raise

    return logged


def _head(p: Point, status: Status) -> str:
    return f"{status.started}  {p.name}: attempt {status.attempts} on {status.host}, mmdpo {__version__}\n"
