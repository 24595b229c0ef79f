"""Examination of the benchmarks' files: whether they are there, of which edition, and usable, before anything runs.

Problems are returned as findings, never raised. `doctor_report.py` prints them.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mmdpo.config.schema import BenchConfig
from mmdpo.console import progress
from mmdpo.errors import UserError
from mmdpo.evaluation.bench_files import BenchFile, edition_of, find_file, wanted_path
from mmdpo.evaluation.file_checks import check_file_keys
from mmdpo.evaluation.selection import select
from mmdpo.evaluation.task import JudgeUse, Task, load_task
from mmdpo.files import Unreadable, file_fingerprint, read_json
from mmdpo.images import check_image, inside
from mmdpo.leftovers import temporary_prefix
from mmdpo.records import Prompt

FOUND, MISSING, EMPTY, OPTIONAL = "found", "missing", "empty", "not there"
SHOWN = 12  # digits of a sha256


@dataclass(frozen=True)
class FileFinding:
    """Findings on one file or folder.

    Attributes:
        file: The file.
        path: Where it was found, or where it is expected.
        state: A short description: `found`, `missing`, `empty`, `not there` for one that is not required, or the kind
            of thing that stands in its place.
        wrong: Whether the task cannot run with it.
        rows: The number of its rows, or of a folder's entries; None where they are not counted.
        sha256: The start of its digest; empty for folders.
        edition: The name of its edition; empty for a file without known editions.
    """

    file: BenchFile
    path: Path
    state: str
    wrong: bool = False
    rows: int | None = None
    sha256: str = ""
    edition: str = ""


@dataclass
class ImagesFinding:
    """Findings on the images that the samples name.

    Attributes:
        folder: The finding of their folder; None for images that the task writes itself.
        named: The number of images that the samples name.
        usable: How many of them are there and can be decoded.
        first: What is wrong with the first other one.
    """

    folder: FileFinding | None
    named: int
    usable: int = 0
    first: str = ""


@dataclass
class TaskFinding:
    """Result for one task.

    Attributes:
        name: The task's name.
        task: The task.
        files: Its files.
        images: Its images; None for a task without images, or whose samples cannot be made.
        samples: The number of samples; None if they cannot be made.
        measured: How many of them `bench.split` and `bench.subset` choose.
        prompt: Whose prompt the judge gets, where that depends on a file.
        problem: The error message of a run with these files.
    """

    name: str
    task: Task
    files: list[FileFinding] = field(default_factory=list)
    images: ImagesFinding | None = None
    samples: int | None = None
    measured: int = 0
    prompt: str = ""
    problem: str = ""

    @property
    def wrong(self) -> list[FileFinding]:
        """Return the files and folders that the task needs and cannot use."""
        folder = [self.images.folder] if self.images and self.images.folder else []
        return [one for one in (*self.files, *folder) if one.wrong]

    @property
    def good(self) -> bool:
        """Return whether the task could run with these files."""
        return not self.wrong and not self.problem and (self.images is None or not self.images.first)


def examine(bench: BenchConfig) -> Iterator[TaskFinding]:
    """Yield a finding per task of `bench.tasks`; each image is decoded.

    Raises:
        UserError: `bench.files` names a file that no task has.
    """
    check_file_keys(bench)
    checked: dict[tuple[Path, str], str] = {}
    for name in bench.tasks:
        yield _examine(name, load_task(name), bench, checked)


def _examine(name: str, task: Task, bench: BenchConfig, checked: dict[tuple[Path, str], str]) -> TaskFinding:
    used = [file for file in task.bench_files if file.used(bench)]
    finding = TaskFinding(name, task, [examine_file(file, bench) for file in used])
    folder = examine_file(task.image_folder, bench) if task.image_folder else None
    if finding.wrong:
        finding.images = ImagesFinding(folder, 0) if folder else None
        return finding
    try:
        if task.judge_use is JudgeUse.asked and task.rubric:
            finding.prompt = task.rubric(bench)
        with tempfile.TemporaryDirectory(prefix=temporary_prefix()) as own:
            prompts = task.samples(bench, Path(own))
            finding.samples, finding.measured = len(prompts), len(select(task, prompts, bench))
            finding.images = _images(prompts, folder, Path(own), checked)
    except (UserError, OSError) as error:
        finding.problem = str(error)
        finding.images = ImagesFinding(folder, 0) if folder else None
    return finding


def known_editions(file: BenchFile) -> list[str]:
    """Return the known editions of a file, each after the start of its sha256."""
    return [f"{digest[:SHOWN]} {name}" for digest, name in file.editions.items()]


def examine_file(file: BenchFile, bench: BenchConfig) -> FileFinding:
    """Return what is known of a file or folder."""
    path = find_file(bench, file)
    if path is None:
        return FileFinding(file, wanted_path(bench, file), MISSING if file.required else OPTIONAL, wrong=file.required)
    folder = file.name.endswith("/")
    if path.is_dir() is not folder:
        return FileFinding(file, path, "a file, not a folder" if folder else "a folder, not a file", wrong=True)
    try:
        if folder:
            entries = sum(1 for _ in path.iterdir())
            return FileFinding(file, path, FOUND if entries else EMPTY, wrong=not entries, rows=entries)
        if path.stat().st_size == 0:
            return FileFinding(file, path, EMPTY, wrong=True)
        known = edition_of(path, file) if file.editions or file.recognize else ""
        return FileFinding(file, path, FOUND, False, _rows(path, file), file_fingerprint(path, SHOWN), known)
    except (OSError, Unreadable) as error:
        reason = getattr(error, "strerror", None) or error
        return FileFinding(file, path, f"not readable ({reason})", wrong=True)


def _rows(path: Path, file: BenchFile) -> int | None:
    """Return the number of rows of a file; None if it has none that can be counted.

    Of a JSON object whose rows are known the entries count; where it has a single one, as MM-Vet's, those of that
    entry.
    """
    from mmdpo.sources import tables

    if path.suffix.lower() not in tables.SUFFIXES:
        return None
    try:
        if path.suffix.lower() == ".json" and isinstance(content := _whole(path), dict):
            values = list(content.values())
            entries = values[0] if len(values) == 1 and isinstance(values[0], dict | list) else values
            return None if file.rows is None else len(entries)
        return sum(1 for _ in tables.rows(path, "file"))
    except (UserError, OSError):
        return None


def _whole(path: Path) -> Any:
    """Return the content of a JSON file; None for JSON lines."""
    try:
        return read_json(path)
    except ValueError:
        return None


def _images(
    prompts: Sequence[Prompt], folder: FileFinding | None, own: Path, checked: dict[tuple[Path, str], str]
) -> ImagesFinding | None:
    names = list(dict.fromkeys(name for prompt in prompts for name in prompt.images))
    if folder is None and not names:
        return None
    finding = ImagesFinding(folder, len(names))
    if folder is None:  # made by the task, which checks them
        finding.usable = len(names)
    elif not folder.wrong:
        faults = []
        with progress("images", len(names)) as advance:
            for name in names:
                faults.append(_fault(folder.path, name, checked))
                advance(1)
        finding.usable = faults.count("")
        finding.first = next(filter(None, faults), "")
    return finding


def _fault(root: Path, name: str, checked: dict[tuple[Path, str], str]) -> str:
    """Return what is wrong with an image; empty for one that can be decoded. Tasks share folders."""
    if (root, name) not in checked:
        checked[root, name] = _message(lambda: check_image(inside(root, name)))
    return checked[root, name]


def _message(check: Callable[[], None]) -> str:
    try:
        check()
    except (UserError, OSError) as error:
        return str(error)
    return ""
