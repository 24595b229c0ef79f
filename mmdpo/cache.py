"""The cache of the data stages: one folder per artifact, named by what it depends on, complete or absent.

Several processes may ask for the same artifact at once: one makes it, the others wait. The lock is the operating
system's, so the death of a process frees it. An artifact has the digests of its files beside them; one whose files have
changed is made again.
"""

from __future__ import annotations

import ast
import functools
import importlib.resources
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from mmdpo.activity import report_saved
from mmdpo.console import print_line
from mmdpo.files import atomic_write, file_fingerprint, fingerprint, read_json, write_json
from mmdpo.locks import hold_lock
from mmdpo.storage import cache_root, translate_storage_errors

KEY, DIGESTS = "key.json", "digests.json"
SHOWN = 3  # changed files that a message names

_verified: dict[Path, list[list[Any]]] = {}
"""States of the top files of the artifacts that this process has verified."""


def cached_path(kind: str, key: Mapping[str, Any]) -> Path:
    """Return the folder of the artifact of this kind and key, whether or not it exists."""
    return cache_root() / kind / fingerprint(key)


def cached(
    kind: str,
    key: Mapping[str, Any],
    make: Callable[[Path], None],
    remake: bool = False,
) -> Path:
    """Return the folder of an artifact; make it first if it is absent or damaged.

    Args:
        kind: The kind of artifact; a subfolder of the cache.
        key: What the artifact depends on. JSON-able; stored beside the content as `key.json`. The digests of all files
            are stored as `digests.json`.
        make: Fills the folder that it is given. That folder is moved into place when `make` returns, so an
            incomplete artifact is never seen.
        remake: Make the artifact again and replace the existing one.

    Returns:
        The folder.

    Raises:
        UserError: The cache cannot be written. The message names MMDPO_CACHE.
    """
    path = cached_path(kind, key)
    if remake or not is_as_made(path):
        with translate_storage_errors():
            path.parent.mkdir(parents=True, exist_ok=True)
        lock = path.with_name(f".{path.name}.lock")
        with translate_storage_errors(), hold_lock(lock, f"makes the same {kind}"):
            changed = _changed_files(path) if path.exists() else []
            if changed and not remake:
                more = f" and {len(changed) - SHOWN} more" if len(changed) > SHOWN else ""
                print_line(f"{path}: changed since it was made ({', '.join(changed[:SHOWN])}{more}); making it again")
            if remake or changed or not path.exists():
                for incomplete in path.parent.glob(f".{path.name}.*.tmp"):  # of a process that was killed
                    shutil.rmtree(incomplete, ignore_errors=True)
                with atomic_write(path) as aside:
                    aside.mkdir()
                    make(aside)
                    write_json(aside / KEY, key)
                    write_digests(aside)
                report_saved(f"{kind}/{path.name}", 1)
    return path


def read_memo(path: Path, kind: type[Any]) -> Any:
    """Read a value of a type that was computed before; None if it is absent, damaged or of another type."""
    try:
        value = read_json(path)
    except (OSError, ValueError):
        return None
    return value if isinstance(value, kind) else None


def write_memo(path: Path, value: Any) -> None:
    """Keep a value that can be computed again; where the cache cannot be written, it is not kept."""
    with suppress(OSError):
        write_json(path, value)


def is_as_made(path: Path) -> bool:
    """Return whether an artifact exists and has the content with which it was made."""
    return path.exists() and not _changed_files(path)


def write_digests(path: Path) -> None:
    """Write the digest and the state of each file of an artifact."""
    write_json(path / DIGESTS, {name: [file_fingerprint(file, 64), *_state(file)] for name, file in _files(path)})


def _changed_files(path: Path) -> list[str]:
    """List the files of an artifact that are missing or have another content than it was made with.

    All files are compared once per process, later only the states of those at the top. The artifacts of earlier
    versions have no digests and are taken as they are.
    """
    states = [[file.name, *_state(file)] for file in sorted(path.iterdir()) if file.is_file()]
    if _verified.get(path) == states or not (path / DIGESTS).exists():
        return []
    try:
        stored = {str(name): list(values) for name, values in read_json(path / DIGESTS).items()}
    except (OSError, ValueError, TypeError, AttributeError):
        return [DIGESTS]
    files = dict(_files(path))
    changed = []
    for name, (digest, *state) in stored.items():
        file = files.get(name)
        if file is None or (_state(file) != state and file_fingerprint(file, 64) != digest):
            changed.append(name)
    if not changed:
        _verified[path] = states
    return changed


def _files(path: Path) -> Iterator[tuple[str, Path]]:
    """Yield the files of an artifact with their names below it."""
    for folder, _, names in os.walk(path):
        for name in names:
            file = Path(folder, name)
            if name != DIGESTS and file.is_file():
                yield file.relative_to(path).as_posix(), file


def _state(file: Path) -> list[int]:
    """Return size and times of a file; the time of its change cannot be set back."""
    state = file.stat()
    return [state.st_size, state.st_mtime_ns, state.st_ctime_ns]


@functools.cache
def source_fingerprint(package: str) -> str:
    """Fingerprint of a package's Python files, subpackages included, without comments and docstrings.

    Generated data depends on it besides its settings. A change of prose keeps it.
    """
    root = Path(str(importlib.resources.files(package)))
    return fingerprint({path.relative_to(root).as_posix(): code_fingerprint(path) for path in root.rglob("*.py")})


def code_fingerprint(path: Path) -> str:
    """Fingerprint of one file: Python code without comments and docstrings, any other file as it is."""
    if path.suffix != ".py":
        return file_fingerprint(path)
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            node.body = [line for line in node.body if not _is_text(line)] or [ast.Pass()]
    return fingerprint(ast.dump(tree))


def _is_text(line: ast.stmt) -> bool:
    """Return whether a statement is a bare string, such as a docstring."""
    return isinstance(line, ast.Expr) and isinstance(line.value, ast.Constant) and isinstance(line.value.value, str)
