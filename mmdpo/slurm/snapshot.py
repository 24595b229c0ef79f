"""The code that jobs run: a copy beside the study, so that edits after submission have no effect."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

from mmdpo.config.schema import CONF
from mmdpo.files import atomic_write, fingerprint, write_json

ROOT = CONF.parent
CODE = ("mmdpo", "hydra_plugins", "conf", "sweeps", "launch.py", "pyproject.toml", "constraints.txt")
"""The files and folders of a snapshot."""
NO_EFFECT_ON_RESULTS = (
    "analysis",
    "cli",
    "dashboard",
    "slurm",
    "sweep",
    "testing",
    "__main__.py",
    "console.py",
    "timings.py",
    "tracking.py",
    "wandb_service.py",
)
"""The files and folders of mmdpo/ on which no result depends."""


def take_snapshot(jobs: Path) -> str:
    """Copy the code into a folder below `jobs` that is named by its content, and return that name."""
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
    """Return the files of a snapshot with the SHA-256 of their content, cut to 16 digits."""
    return {str(path.relative_to(ROOT)): hashlib.sha256(path.read_bytes()).hexdigest()[:16] for path in _code()}


def _code() -> Iterator[Path]:
    for name in CODE:
        path = ROOT / name
        found = sorted(path.rglob("*")) if path.is_dir() else [path]
        yield from (file for file in found if file.is_file() and "__pycache__" not in file.parts)


def changed_code(old: dict[str, str], new: dict[str, str]) -> list[str]:
    """Return the files that differ between two snapshots and that results may depend on."""
    names = sorted(name for name in {*old, *new} if old.get(name) != new.get(name))
    return [name for name in names if _affects_results(Path(name).parts)]


def _affects_results(parts: tuple[str, ...]) -> bool:
    return parts[0] == "mmdpo" and len(parts) > 1 and parts[1] not in NO_EFFECT_ON_RESULTS


def _git(*arguments: str) -> str:
    """Return the output of a git command; empty outside a repository."""
    try:
        return subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError):
        return ""
