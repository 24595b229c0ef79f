"""Advice for disks that are full or cannot be written."""

from __future__ import annotations

import errno
import os
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from platformdirs import user_cache_path

from mmdpo.errors import UserError

FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
NOT_WRITABLE = (errno.EROFS, errno.EACCES, errno.EPERM, errno.ENOTDIR, errno.ENOENT)


def cache_root() -> Path:
    """Return `$MMDPO_CACHE`, else the user's cache folder."""
    return Path(os.environ["MMDPO_CACHE"]) if os.environ.get("MMDPO_CACHE") else user_cache_path("mmdpo")


@contextmanager
def translate_storage_errors() -> Iterator[None]:
    """Turn a full disk, or a cache or disk that cannot be written, into a UserError that says what to type."""
    try:
        yield
    except (OSError, sqlite3.Error) as error:
        if (advice := storage_advice(error)) is None:
            raise
        raise UserError(advice) from error


def storage_advice(error: BaseException) -> str | None:
    """Return what is wrong with a disk and what to type; None for an error of another kind."""
    if isinstance(error, sqlite3.Error):
        return _full(None, str(error)) if "disk is full" in str(error) else None
    if isinstance(error, shutil.Error):  # of a folder that was copied: a list of texts
        return next((_full(None, os.strerror(one)) for one in FULL if os.strerror(one) in str(error)), None)
    if not isinstance(error, OSError):
        return None
    place = os.fsdecode(error.filename) if isinstance(error.filename, str | bytes) else None
    reason = error.strerror or str(error)
    if error.errno in FULL:
        return _full(place, reason)
    if place is not None and error.errno in NOT_WRITABLE and _is_in_cache(place):
        return f"the cache {cache_root()} cannot be written ({reason}): set MMDPO_CACHE=FOLDER to a folder that can"
    if error.errno == errno.EROFS:
        return f"{place or 'a folder'} cannot be written ({reason}): type out=FOLDER with a folder that can"
    return None


def _full(place: str | None, reason: str) -> str:
    where = f"{place}: " if place else ""
    if place is not None and _is_in_cache(place):
        return f"{where}the disk is full ({reason}). Free space, or set MMDPO_CACHE=FOLDER to a folder on another disk"
    return (
        f"{where}the disk is full ({reason}). Free space and rerun the same command, or type out=FOLDER on another "
        f"disk; the cache is {cache_root()}, set MMDPO_CACHE=FOLDER to move it"
    )


def _is_in_cache(place: str) -> bool:
    root = os.path.abspath(cache_root())
    return os.path.abspath(place) == root or os.path.abspath(place).startswith(root + os.sep)
