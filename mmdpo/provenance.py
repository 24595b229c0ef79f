"""Provenance of a result: package versions and the commit; and the number of threads of its process."""

from __future__ import annotations

import importlib.metadata
import platform
import subprocess
from pathlib import Path

from mmdpo import __version__

PACKAGES = (
    "torch",
    "transformers",
    "trl",
    "peft",
    "accelerate",
    "datasets",
    "numpy",
    "hydra-core",
    "wandb",
)


def versions() -> dict[str, str | None]:
    """Return the versions of Python, mmdpo and the packages that a result depends on; None if not installed."""
    return {"python": platform.python_version(), "mmdpo": __version__} | {name: _version(name) for name in PACKAGES}


def _version(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def git_commit() -> str | None:
    """Return the commit of this checkout, with `-dirty` if files differ; None outside git."""
    command = ["git", "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"]
    try:
        done = subprocess.run(command, cwd=Path(__file__).parent, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return None
    return done.stdout.strip()


def set_threads(threads: int | None) -> None:
    """Set torch's number of CPU threads; None keeps torch's choice."""
    import torch

    if threads is not None:
        torch.set_num_threads(threads)
