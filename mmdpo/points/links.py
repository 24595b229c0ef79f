"""Links to the finished points of other studies, so that points of equal identity are computed once."""

from __future__ import annotations

import os
import shutil
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

from mmdpo.console import print_line
from mmdpo.files import atomic_write
from mmdpo.points.naming import SUFFIX
from mmdpo.points.point import Point
from mmdpo.points.processes import is_trained_alike
from mmdpo.points.records import point_folders, read_record
from mmdpo.points.results import read_training
from mmdpo.points.status import SHARES, State, is_done, is_process_gone, read_status

STATUS = "status.json"
NOT_COPIED = shutil.ignore_patterns(STATUS, "checkpoints", "wandb", "merged", "logs", SHARES, ".*")


def known_elsewhere(points: Sequence[Point]) -> dict[Path, Path]:
    """Find the finished points of the same identity in the other studies below the same `out`.

    Args:
        points: Points that are not done in their own study.

    Returns:
        The other point's folder by the own folder, for those that are known.
    """
    wanted: dict[Path, dict[str, dict[str, Point]]] = defaultdict(lambda: defaultdict(dict))
    for p in points:
        own = p.identity.hex
        wanted[p.study][own[:SUFFIX]][own] = p
    found: dict[Path, Path] = {}
    for study, by_suffix in wanted.items():
        for folder in _folders_beside(study):
            if candidates := by_suffix.get(folder.name.rpartition("-")[2][:SUFFIX]):
                record = read_record(folder)
                own_point = candidates.get(record.identity) if record else None
                if own_point is None or own_point.folder in found or not is_done(folder):
                    continue
                if is_trained_alike(read_training(folder) or {}, own_point.identity.settings):
                    found[own_point.folder] = folder.resolve()
    return found


def link(folder: Path, target: Path) -> None:
    """Make a point's folder a link to a finished point; if there is a folder already, copy into it.

    A point that is being run keeps its folder as it is. So does the target: nothing of it is moved.
    """
    remove_dangling(folder)
    if folder.exists():
        status = read_status(folder)
        if status.state is not State.running or status.pid is None or is_process_gone(status.pid, status.host):
            _copy_point(target, folder)
        return
    folder.parent.mkdir(parents=True, exist_ok=True)
    try:
        folder.symlink_to(os.path.relpath(target, folder.parent.resolve()), target_is_directory=True)
    except OSError:  # a file system without links
        _copy_point(target, folder)


def _copy_point(target: Path, folder: Path) -> None:
    """Copy a finished point, its status last: after a kill in between, the copy is not done."""
    shutil.copytree(target, folder, ignore=NOT_COPIED, copy_function=_copy, dirs_exist_ok=True)
    _copy(target / STATUS, folder / STATUS)


def _copy(source: str | Path, target: str | Path) -> None:
    """Copy a file; what was there is replaced and not written to, whatever it is."""
    with atomic_write(Path(target)) as aside:
        shutil.copy2(source, aside)


def link_known(points: Sequence[Point]) -> None:
    """Link those of the points that are not done here and are finished in another study; print from which."""
    known = known_elsewhere([p for p in points if not is_done(p.folder)])
    for folder, target in known.items():
        link(folder, target)
    if known:
        studies = ", ".join(sorted({target.parent.name for target in known.values()}))
        print_line(f"{len(known)} points are known from {studies}")


def remove_dangling(folder: Path) -> None:
    """Remove a link without a target; its point is no longer done."""
    if folder.is_symlink() and not folder.exists():
        folder.unlink(missing_ok=True)


def counts_line(points: int, done: int, known: Sequence[Path], missing: int, pruned: int = 0) -> str:
    """Return how many points are done, known from other studies, pruned, and to be run, in one line.

    Args:
        points: All points of a command.
        done: Those that are done in their study.
        known: The folders of those that other studies have.
        missing: Those that are to be run.
        pruned: Those that a search has pruned.
    """
    studies = ", ".join(sorted({folder.parent.name for folder in known}))
    from_others = f"{len(known)} known from {studies}, " if known else ""
    stopped = f"{pruned} pruned, " if pruned else ""
    return f"{points} points: {done} done, {from_others}{stopped}{missing} to run"


def _folders_beside(study: Path) -> list[Path]:
    """List the folders that may be points of the other studies below the same folder."""
    try:
        others = [path for path in sorted(study.parent.iterdir()) if path.is_dir() and path.name != study.name]
    except OSError:
        return []
    return [folder for other in others if not other.name.startswith(".") for folder in point_folders(other)]
