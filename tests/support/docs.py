"""The documentation as tests read it: its pages, its commands, and the examples of docs/extending.md."""

from __future__ import annotations

import importlib
import re
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from tests.support.program import ROOT

PAGES = [ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md")] + sorted(ROOT.glob("docs/*.md"))
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```", re.MULTILINE | re.DOTALL)
OWN = "DIR/"
"""How an example's place in a config directory of one's own begins."""


@cache
def examples() -> dict[str, str]:
    """Return the files of docs/extending.md by their place, which is the comment in their first line."""
    text = (ROOT / "docs" / "extending.md").read_text(encoding="utf-8")
    found = {}
    for language, block in BLOCK.findall(text):
        if language in ("yaml", "python"):
            first, _, rest = block.partition("\n")
            place = first.removeprefix("# ")
            assert place != first, f"docs/extending.md: {first!r} does not name a file"
            assert place not in found, f"docs/extending.md: {place} occurs twice"
            found[place] = rest
    return found


def write_presets(directory: Path) -> Path:
    """Write the presets of docs/extending.md to a config directory, and return it."""
    for place, text in examples().items():
        if place.startswith(OWN):
            file = directory / place.removeprefix(OWN)
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text, encoding="utf-8")
    return directory


def add_module(place: str, folder: Path, patch: pytest.MonkeyPatch) -> None:
    """Let the package find a Python example as if it lay at its place; it is written to `folder`.

    Args:
        place: The example's place, such as `mmdpo/training/losses/dpop.py`.
        folder: The folder to write to.
        patch: Undoes the change of the package at the end of the test.
    """
    path = Path(place)
    name = ".".join(path.parent.parts)
    package = importlib.import_module(name)
    (folder / name).mkdir(exist_ok=True)
    (folder / name / path.name).write_text(examples()[place], encoding="utf-8")
    patch.setattr(package, "__path__", [*package.__path__, str(folder / name)])
    module = f"{name}.{path.stem}"
    patch.setitem(sys.modules, module, None)  # type: ignore[arg-type]  # so that the end of the test removes it
    del sys.modules[module]


def commands(page: Path) -> Iterator[str]:
    """Yield the commands in the sh blocks of a page, without comments."""
    for language, block in BLOCK.findall(page.read_text(encoding="utf-8")):
        if language == "sh":
            lines = [re.split(r"\s#\s", line)[0].strip() for line in block.replace("\\\n", "").splitlines()]
            yield from (line for line in lines if line and not line.startswith("#"))
