"""One registry for everything that is extended by adding a file: clients, rubrics, formats, tasks, losses, figures.

A kind of extension is a package and the name that each of its files defines at the top level. Names are listed
without importing the files, so that configs are checked quickly; a file is imported when its extension is used.
"""

from __future__ import annotations

import importlib
import importlib.util
import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

from mmdpo.errors import UserError
from mmdpo.files import file_fingerprint


@dataclass(frozen=True)
class Kind:
    """A kind of extension: the files of `package` that define `attribute`; `key` is the override that chooses one."""

    package: str
    attribute: str
    key: str

    def names(self) -> tuple[str, ...]:
        """List the extensions of this kind by file name, in alphabetical order."""
        return tuple(sorted(_files(tuple(_folders(self.package)), self.attribute)))

    def load(self, name: str) -> Any:
        """Return what the file `name` defines. Raises UserError naming the choices if there is no such file."""
        if name not in self.names():
            raise UserError(f"{self.key}={name}: unknown; allowed are {', '.join(self.names())}")
        return getattr(self._module(name), self.attribute)

    def fingerprint(self, name: str) -> str:
        """Return the digest of the file `name`, for caches of what it makes. Raises UserError as `load` does."""
        return file_fingerprint(self.file(name))

    def file(self, name: str) -> Path:
        """Return the path of the file `name`. Raises UserError as `load` does."""
        if name not in self.names():
            self.load(name)
        files = (Path(folder) / f"{name}.py" for folder in _folders(self.package))
        return next(file for file in files if file.is_file())

    def _module(self, name: str) -> ModuleType:
        return importlib.import_module(f"{self.package}.{name}")


def _folders(package: str) -> list[str]:
    """List a package's folders; the tests add one to `__path__`."""
    module = importlib.import_module(package)
    return [str(folder) for folder in module.__path__]


@cache
def _files(folders: tuple[str, ...], attribute: str) -> frozenset[str]:
    """Find the files that define an attribute at their top level."""
    defines = re.compile(rf"^(?:def\s+|class\s+)?{re.escape(attribute)}\b\s*[(:=]", re.MULTILINE)
    files = [file for folder in folders for file in Path(folder).glob("*.py")]
    return frozenset(file.stem for file in files if defines.search(file.read_text(encoding="utf-8")))
