"""Files of benchmarks, which the user downloads: where they belong, where they come from, and their editions."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from mmdpo.config.schema import BenchConfig
from mmdpo.errors import UserError
from mmdpo.files import file_fingerprint

UNKNOWN = "unknown edition"


@dataclass(frozen=True)
class BenchFile:
    """A file or folder that a task needs.

    Attributes:
        key: Its name in `bench.files` and in `doctor`, unique among all tasks.
        name: Its path below `bench.root`; a folder ends with a slash. Settings of `bench` may stand in braces, as in
            `reference_answer/{references}.jsonl`; `name_of` fills them in.
        origin: Where it comes from: repository and path, or the data set's name.
        licence: Its licence, as upstream states it.
        rows: The number of rows that upstream's file has; None for folders and texts.
        editions: Names of the known editions by sha256.
        recognize: Name the edition by the content where the sha256 is not known; empty if that cannot be told.
        required: Whether the task cannot run without it.
        also: Other paths below `bench.root` under which it is found.
        used: Whether the settings need it. A file that they do not need is not looked for.
        in_identity: Whether its content is part of the identity of points. A file that only adds a number of
            upstream's is not, or it would make finished points again.
    """

    key: str
    name: str
    origin: str
    licence: str
    rows: int | None = None
    editions: Mapping[str, str] = field(default_factory=dict)
    recognize: Callable[[Path], str] | None = None
    required: bool = True
    also: tuple[str, ...] = ()
    used: Callable[[BenchConfig], bool] = lambda bench: True
    in_identity: bool = True


def name_of(bench: BenchConfig, file: BenchFile) -> str:
    """Return the path of a file below `bench.root`, with the settings that it names."""
    return file.name.format_map(vars(bench)) if "{" in file.name else file.name


def find_file(bench: BenchConfig, file: BenchFile) -> Path | None:
    """Return the path of a file or folder; None if it is not there.

    `bench.files` names another path, relative to `bench.root` or absolute.
    """
    names = [named] if (named := bench.files.get(file.key)) else [name_of(bench, file), *file.also]
    return next((path for name in names if (path := Path(bench.root, name).expanduser()).exists()), None)


def wanted_path(bench: BenchConfig, file: BenchFile) -> Path:
    """Return the path at which a missing file or folder belongs."""
    return Path(bench.root, bench.files.get(file.key) or name_of(bench, file))


def require_file(bench: BenchConfig, file: BenchFile) -> Path:
    """Return the path of a file or folder. Raises UserError naming it and the override if it is not there."""
    if (path := find_file(bench, file)) is not None:
        return path
    kind = "folder" if file.name.endswith("/") else "file"
    raise UserError(
        f"{wanted_path(bench, file)}: no such {kind}. It comes from {file.origin}. Put it there, or type "
        f"+bench.files.{file.key}=PATH or bench.root=FOLDER; python -m mmdpo doctor bench=NAME lists all files"
    )


def files_of_identity(bench: BenchConfig, files: Sequence[BenchFile]) -> list[Path]:
    """List the files whose content is part of a task's identity, as far as they are there; no folders."""
    used = [file for file in files if file.used(bench) and file.in_identity]
    return [found for file in used if (found := find_file(bench, file)) and found.is_file()]


def edition_of(path: Path, file: BenchFile) -> str:
    """Name the edition of a file by its content."""
    known = file.editions.get(file_fingerprint(path, length=64))
    return known or (file.recognize(path) if file.recognize else "") or UNKNOWN


def prompt_owner(file: BenchFile) -> Callable[[BenchConfig], str]:
    """Return the `Task.rubric` of a task whose judge is asked by this file, or by our own prompt where it is not there.

    The file is named with the start of its sha256, because its content is the user's.
    """

    def rubric(bench: BenchConfig) -> str:
        path = find_file(bench, file)
        return "own" if path is None else f"upstream {file_fingerprint(path, length=8)}"

    return rubric
