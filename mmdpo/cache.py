"""The cache of what the stages make: one folder a thing, named by what it depends on, complete or absent.

Several processes may ask for the same thing at once: one makes it, the others wait. The lock is the
operating system's, so that a killed maker frees it.
"""

from __future__ import annotations

import importlib.resources
import os
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from filelock import FileLock
from platformdirs import user_cache_path

from mmdpo.files import atomic_write, file_fingerprint, fingerprint, write_json


def cache_root() -> Path:
    """`$MMDPO_CACHE`, else the user's cache folder."""
    return Path(os.environ["MMDPO_CACHE"]) if os.environ.get("MMDPO_CACHE") else user_cache_path("mmdpo")


def cached_path(kind: str, key: Mapping[str, Any]) -> Path:
    """Where the thing of this kind and key lies, or will lie."""
    return cache_root() / kind / fingerprint(key)


def cached(kind: str, key: Mapping[str, Any], make: Callable[[Path], None], anew: bool = False) -> Path:
    """The folder of the thing that depends on `key`; where it is absent, `make(folder)` fills it.

    `anew` makes it once more and puts it in the place of the old one.

    `key` holds JSON-able values only and is kept beside the content as `key.json`. `make` gets a
    folder aside, which is moved into place when it returns: a half-made thing is never seen.
    """
    path = cached_path(kind, key)
    if anew or not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(path.with_name(f".{path.name}.lock")):
            if anew or not path.exists():
                for torn in path.parent.glob(f".{path.name}.*.tmp"):  # of a maker that was killed
                    shutil.rmtree(torn)
                with atomic_write(path) as aside:
                    aside.mkdir()
                    make(aside)
                    write_json(aside / "key.json", key)
    return path


def source_fingerprint(package: str) -> str:
    """Of the Python files of a package: what generated data depends on besides its settings."""
    root = Path(str(importlib.resources.files(package)))
    return fingerprint({path.name: file_fingerprint(path) for path in sorted(root.glob("*.py"))})
