"""Removal of what killed processes have left behind: incomplete files of `atomic_write`, and temporary files."""

from __future__ import annotations

import atexit
import os
import re
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from mmdpo.files import process_space

OLD_SECONDS = 24 * 3600.0
"""After so long without a change, an incomplete file of another machine counts as left behind."""

INCOMPLETE = re.compile(r"\..+\.(?:(?P<space>[0-9a-f]{6})-)?(?P<pid>\d+)\.tmp")
NOT_ENTERED = ("wandb", "merged")
TEMPORARY = re.compile(r"mmdpo-(?P<space>[0-9a-f]{6})-(?P<pid>\d+)-\w+")
LONGEST = 48
"""The longest folder for temporary files: W&B's sockets are below it, and their paths have at most 107 characters."""


def remove_leftovers(folder: Path) -> None:
    """Remove incomplete files and folders below a folder whose process has ended; what cannot be removed stays.

    Args:
        folder: The folder of a study or of a point. Links in it are not followed.
    """
    for path in _incomplete(folder):
        if is_left_behind(path):
            with suppress(OSError):
                if path.is_dir() and not path.is_symlink():
                    shutil.rmtree(path, ignore_errors=True)
                else:
                    path.unlink()


def is_left_behind(path: Path) -> bool:
    """Return whether the process that writes an incomplete file or folder has ended.

    A process on another machine cannot be asked: its file counts as left behind once it has not changed for a day.
    """
    found = INCOMPLETE.fullmatch(path.name)
    if found is None:
        return False
    if found["space"] == process_space():
        return not _is_running(int(found["pid"]))
    return time.time() - _last_change(path) > OLD_SECONDS


def use_own_temporary_folder() -> None:
    """Give this process and its children a folder for temporary files that is removed when this process ends.

    Libraries leave theirs behind if they are killed. So first, such folders of processes that have ended are removed.
    A folder that was inherited from another process is not used: it vanishes when that process ends.
    """
    base = Path(tempfile.gettempdir())
    if inherited := TEMPORARY.fullmatch(base.name):
        if inherited["pid"] == str(os.getpid()):
            return
        base = base.parent
    for path in base.glob("mmdpo-*"):
        found = TEMPORARY.fullmatch(path.name)
        if found and found["space"] == process_space() and not _is_running(int(found["pid"])) and _is_own(path):
            shutil.rmtree(path, ignore_errors=True)
    if len(str(base)) > LONGEST:
        return
    try:
        own = tempfile.mkdtemp(prefix=temporary_prefix(), dir=base)
    except OSError:  # the libraries report what they cannot write
        return
    os.environ.setdefault("TORCHINDUCTOR_CACHE_DIR", str(base / f"torchinductor_{os.getuid()}"))  # is to stay
    os.environ["TMPDIR"] = tempfile.tempdir = own
    atexit.register(_remove_own, own, os.getpid())


def temporary_prefix() -> str:
    """Return the prefix of this process's folders for temporary files."""
    return f"mmdpo-{process_space()}-{os.getpid()}-"


def _remove_own(folder: str, pid: int) -> None:
    if os.getpid() == pid:  # and not a fork
        shutil.rmtree(folder, ignore_errors=True)


def _is_own(path: Path) -> bool:
    try:
        return path.lstat().st_uid == os.getuid() and not path.is_symlink()
    except OSError:
        return False


def _incomplete(folder: Path) -> Iterator[Path]:
    """Yield incomplete files and folders below a folder; none is entered."""
    for parent, folders, files in os.walk(folder):
        found = [name for name in (*folders, *files) if INCOMPLETE.fullmatch(name)]
        yield from (Path(parent, name) for name in found)
        folders[:] = [name for name in folders if name not in found and name not in NOT_ENTERED]


def _is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except OSError:  # another user's
        return True
    return True


def _last_change(path: Path) -> float:
    """Return the time of the last change of a file, or of anything in a folder; now if it cannot be seen."""
    try:
        return max(one.lstat().st_mtime for one in (path, *path.rglob("*")))
    except OSError:
        return time.time()
