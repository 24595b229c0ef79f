"""Locations of models and chat templates. Imports no torch: configs are checked with it."""

from __future__ import annotations

import importlib.util
from pathlib import Path

from mmdpo.errors import UserError

PACKAGE = "pkg://"
TEMPLATES = Path(__file__).parent / "templates"


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

    `pkg://package/folder` is a folder inside an installed package. Raises UserError if the folder does not exist.
    """
    if path.startswith(PACKAGE):
        package, _, inside = path.removeprefix(PACKAGE).partition("/")
        spec = importlib.util.find_spec(package) if package.isidentifier() else None
        for root in (spec.submodule_search_locations or []) if spec else []:
            if (Path(root) / inside).is_dir():
                return str(Path(root) / inside)
        raise UserError(f"model.path={path}: there is no folder {inside!r} in the package {package!r}.")
    folder = Path(path).expanduser()
    if folder.is_dir():
        return str(folder.resolve())
    if path.startswith((".", "/", "~")) or path.count("/") != 1 or path.endswith("/"):
        raise UserError(
            f"model.path={path}: there is no such folder. Type model.path=FOLDER with an existing folder, "
            "or a hub id such as model.path=llava-hf/llava-1.5-7b-hf."
        )
    return path
