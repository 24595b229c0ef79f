"""The cache of the data stages: one folder per artifact, named by what it depends on, complete or absent.

Several processes may ask for the same artifact at once: one makes it, the others wait. The lock is the operating
system's, so the death of a process frees it.
"""

from __future__ import annotations

import ast
import functools
import importlib.resources
import shutil
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from mmdpo.activity import report_saved
from mmdpo.console import print_line
from mmdpo.files import atomic_write, file_fingerprint, fingerprint, read_json, write_json
from mmdpo.locks import hold_lock
from mmdpo.storage import cache_root, translate_storage_errors


def cached_path(kind: str, key: Mapping[str, Any]) -> Path:
    """Return the folder of the artifact of this kind and key, whether or not it exists."""
    return cache_root() / kind / fingerprint(key)


def cached(
    kind: str,
    key: Mapping[str, Any],
    make: Callable[[Path], None],
    remake: bool = False,
    is_whole: Callable[[Path], bool] = Path.is_dir,
) -> Path:
    """Return the folder of an artifact; make it first if it is absent or damaged.

    Args:
        kind: The kind of artifact; a subfolder of the cache.
        key: What the artifact depends on. JSON-able; stored beside the content as `key.json`.
        make: Fills the folder that it is given. That folder is moved into place when `make` returns, so an
            incomplete artifact is never seen.
        remake: Make the artifact again and replace the existing one.
        is_whole: Returns whether an existing folder is as it was made.

    Returns:
        The folder.

    Raises:
        UserError: The cache cannot be written. The message names MMDPO_CACHE.
    """
    path = cached_path(kind, key)
    if remake or not path.exists() or not is_whole(path):
        with translate_storage_errors():
            path.parent.mkdir(parents=True, exist_ok=True)
        lock = path.with_name(f".{path.name}.lock")
        with translate_storage_errors(), hold_lock(lock, f"makes the same {kind}"):
            if remake or not path.exists() or not is_whole(path):
                if path.exists() and not remake:
                    print_line(f"{path} is damaged and is made again")
                for incomplete in path.parent.glob(f".{path.name}.*.tmp"):  # of a process that was killed
                    shutil.rmtree(incomplete, ignore_errors=True)
                with atomic_write(path) as aside:
                    aside.mkdir()
                    make(aside)
                    write_json(aside / "key.json", key)
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
