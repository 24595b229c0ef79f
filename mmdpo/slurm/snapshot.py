"""The code that jobs run: a copy beside the study, so that edits after submission change nothing."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

from mmdpo.config.schema import CONF, Config
from mmdpo.files import atomic_write, file_fingerprint, fingerprint, write_json
from mmdpo.models.paths import PACKAGE, resolve_path

ROOT = CONF.parent
CODE = ("mmdpo", "hydra_plugins", "conf", "sweeps", "launch.py", "pyproject.toml", "constraints.txt")
LOOKS = ("analysis", "cli", "slurm", "sweep", "testing", "__main__.py", "console.py", "tracking.py")
"""Of mmdpo/, what no number depends on."""

UNKNOWN = "not downloaded yet"
"""In place of the fingerprint of a model on the hub, of which any revision may come."""

LARGE = 1 << 26  # bytes; of larger files size and time of change stand for the content


def snapshot(jobs: Path) -> str:
    """Copy the code into a folder below `jobs`, named by its content, and return that name."""
    files = code_files()
    name = f"code-{fingerprint(files, length=10)}"
    if not (jobs / name).exists():
        with atomic_write(jobs / name) as aside:
            for file in files:
                target = aside / file
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(ROOT / file, target)
            write_json(aside / "files.json", files)
            (aside / "git.diff").write_text(_git("diff", "HEAD"), encoding="utf-8")
            (aside / "git.txt").write_text(_git("rev-parse", "HEAD"), encoding="utf-8")
    return name


def code_files() -> dict[str, str]:
    """The files of a snapshot and the digests of their content."""
    return {str(path.relative_to(ROOT)): hashlib.sha256(path.read_bytes()).hexdigest()[:16] for path in _code()}


def _code() -> Iterator[Path]:
    for name in CODE:
        path = ROOT / name
        found = sorted(path.rglob("*")) if path.is_dir() else [path]
        yield from (file for file in found if file.is_file() and "__pycache__" not in file.parts)


def changed_code(old: dict[str, str], new: dict[str, str]) -> list[str]:
    """The files that results may depend on and that differ between two snapshots."""
    names = sorted(name for name in {*old, *new} if old.get(name) != new.get(name))
    return [name for name in names if _counts(Path(name).parts)]


def _counts(parts: tuple[str, ...]) -> bool:
    return parts[0] == "mmdpo" and len(parts) > 1 and parts[1] not in LOOKS


def _git(*words: str) -> str:
    """What git says; nothing outside a repository."""
    try:
        return subprocess.run(["git", *words], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError):
        return ""


def inputs(config: Config) -> dict[str, str]:
    """Fingerprints of the data and the model that a config names, by the override that names them."""
    data = config.data
    named = {
        "data.path": data.path,
        **{f"data.sources.{key}.path": one.path for key, one in data.sources.items()},
    }
    found = {f"{key}={path}": _content(Path(path)) for key, path in named.items() if path is not None}
    model = config.model.path
    if not model.startswith(PACKAGE):  # which the code's snapshot holds
        found[f"model.path={model}"] = _model(model)
    return found


def _content(path: Path) -> str:
    """Of a file, or of a folder's files, by content where that is quick to read."""
    files = [path] if path.is_file() else sorted(file for file in path.rglob("*") if file.is_file())
    return fingerprint([[str(file.relative_to(path.parent)), _digest(file)] for file in files])


def _digest(file: Path) -> str:
    state = file.stat()
    return file_fingerprint(file) if state.st_size < LARGE else f"{state.st_size} {state.st_mtime_ns}"


def _model(path: str) -> str:
    folder = resolve_path(path)
    if Path(folder).is_dir():
        return _content(Path(folder))
    from huggingface_hub.constants import HF_HUB_CACHE

    revision = Path(HF_HUB_CACHE) / f"models--{folder.replace('/', '--')}" / "refs" / "main"
    return revision.read_text(encoding="utf-8").strip() if revision.exists() else UNKNOWN
