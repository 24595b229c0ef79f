"""Locations of models and chat templates. Imports no torch: configs are checked with it."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path

from mmdpo.errors import UserError

PACKAGE = "pkg://"
TEMPLATES = Path(__file__).parent / "templates"
HUB_ID = re.compile(r"\w[\w.-]{,95}(?<=\w)/\w[\w.-]{,95}(?<=\w)", re.ASCII)


def templates() -> list[str]:
    """List the names that `model.chat_template` takes."""
    return sorted(path.stem for path in TEMPLATES.glob("*.jinja"))


def template(name: str) -> str:
    """Read the chat template that `model.chat_template` names. Raises UserError if there is none."""
    if name not in templates():
        raise UserError(f"model.chat_template={name}: unknown; allowed are {', '.join(templates())}, or null")
    return (TEMPLATES / f"{name}.jinja").read_text(encoding="utf-8")


def resolve_path(path: str) -> str:
    """Resolve `model.path` to a folder; a hub id is returned unchanged.

    `pkg://package/folder` is a folder inside an installed package. Raises UserError if the folder does not exist, if
    it lies outside its package, or if the path is neither a folder nor a hub id.
    """
    if path.startswith(PACKAGE):
        return _package_folder(path)
    try:
        folder = Path(path).expanduser()
        if folder.is_dir():
            return str(folder.resolve())
        is_file = folder.exists()
    except (OSError, ValueError, RuntimeError) as error:  # too long, a NUL byte, an unknown user after ~
        raise UserError(f"model.path={path}: not a path ({error}); type model.path=FOLDER") from error
    if is_file:
        raise UserError(f"model.path={path}: is a file; type model.path=FOLDER with the folder of the model")
    if not is_hub_id(path):
        raise UserError(
            f"model.path={path}: there is no such folder. Type model.path=FOLDER with an existing folder, "
            "or a hub id such as model.path=llava-hf/llava-1.5-7b-hf."
        )
    return path


def is_hub_id(path: str) -> bool:
    """Return whether a path has the form of a hub id, OWNER/NAME, by the hub's rules."""
    return bool(HUB_ID.fullmatch(path)) and "--" not in path and ".." not in path and not path.endswith(".git")


def _package_folder(path: str) -> str:
    package, _, inside = path.removeprefix(PACKAGE).partition("/")
    spec = importlib.util.find_spec(package) if package.isidentifier() else None
    for root in map(Path, (spec.submodule_search_locations or []) if spec else []):
        try:
            folder = (root / inside).resolve()
            found = folder.is_dir()
        except (OSError, ValueError, RuntimeError):
            continue
        if not folder.is_relative_to(root.resolve()):
            raise UserError(f"model.path={path}: leads out of the package {package!r}; type model.path=FOLDER instead.")
        if found:
            return str(root / inside)
    raise UserError(f"model.path={path}: there is no folder {inside!r} in the package {package!r}.")
