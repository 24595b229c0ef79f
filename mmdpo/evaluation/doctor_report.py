"""Printed report of `python -m mmdpo doctor bench=NAME`: what `mmdpo.evaluation.doctor` finds, and the next command."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from mmdpo.config.schema import BenchConfig
from mmdpo.console import print_wrapped
from mmdpo.evaluation.bench_files import UNKNOWN
from mmdpo.evaluation.doctor import (
    FOUND,
    OPTIONAL,
    FileFinding,
    ImagesFinding,
    TaskFinding,
    examine,
    known_editions,
)

INDENT = 4


def print_report(bench: BenchConfig, overrides: Sequence[str], console: Console) -> bool:
    """Print a table per task while its files are read.

    Args:
        bench: The settings of the benchmarks.
        overrides: Overrides as typed, for the next command.
        console: The console to print to.

    Returns:
        Whether all tasks could run.
    """
    findings: list[TaskFinding] = []
    shown: dict[str, str] = {}
    for finding in examine(bench):
        findings.append(finding)
        _print_task(console, finding, bench, shown)
        console.print()
    bad = [finding for finding in findings if not finding.good]
    if not bad:
        _print_command(
            console, f"bench={bench.name}: complete. Next:", ["python", "launch.py"], overrides, "dry_run=true"
        )
        return True
    missing = {one.file.key for finding in bad for one in finding.wrong}
    unnamed = missing - bench.files.keys()
    print_wrapped(console, f"bench={bench.name}: {', '.join(one.name for one in bad)} cannot run yet.")
    count = "1 file or folder is" if len(missing) == 1 else f"{len(missing)} files or folders are"
    if missing and not unnamed:
        keys = ", ".join(f"bench.files.{key}" for key in sorted(missing))
        text = f"{count} missing or wrong: {keys}. Correct the path. Then:"
        _print_command(console, text, ["python", "-m", "mmdpo", "doctor"], overrides)
    elif missing:
        print_wrapped(console, f"{count} missing or wrong. Files that are not named are expected below")
        print_wrapped(console, f"  {Path(bench.root).expanduser().absolute()}")
        text = "Put them there, choose another folder, or name single files. Then:"
        command = [word for word in overrides if not word.startswith("bench.root=")]
        _print_command(console, text, ["python", "-m", "mmdpo", "doctor"], command, "bench.root=DIR")
    else:
        _print_command(console, "Correct what is wrong. Then:", ["python", "-m", "mmdpo", "doctor"], overrides)
    good = [finding.name for finding in findings if finding.good]
    if good:
        typed = [word for word in overrides if not word.startswith("bench.tasks=")]
        words = [f"bench.tasks=[{','.join(good)}]", "dry_run=true"]
        _print_command(console, "Or run what is complete:", ["python", "launch.py"], typed, *words)
    return False


def _print_task(console: Console, finding: TaskFinding, bench: BenchConfig, shown: dict[str, str]) -> None:
    print_wrapped(console, f"{finding.name}: {finding.task.label}", style="bold")
    images = finding.images
    folder = [images.folder] if images and images.folder else []
    if not finding.files and not folder:
        print_wrapped(console, "needs no files: its items are generated", indent=2)
    lines = [*finding.files, *folder]
    key_width = max((len(one.file.key) for one in lines), default=0)
    rows_width = max((len(_rows(one)) for one in lines), default=0)
    for one in lines:
        _print_file(console, one, (key_width, rows_width), shown, finding.name)
    if images is not None and lines:
        _print_images(console, images)
    if finding.samples is not None and finding.files:
        chosen = f"split={bench.split}" + (f" subset={bench.subset}" if bench.subset < 1 else "")
        print_wrapped(console, f"  {finding.measured:,} of {finding.samples:,} questions are measured (bench.{chosen})")
    if finding.prompt:
        owner, _, digest = finding.prompt.partition(" ")
        whose = f"{owner}'s prompt (sha256 {digest})" if digest else "a prompt of mmdpo's own"
        print_wrapped(console, f"  the judge is asked by {whose}")
    if finding.problem:
        print_wrapped(console, "  wrong", style="red")
        for line in finding.problem.splitlines():
            print_wrapped(console, line, indent=INDENT)


def _print_file(console: Console, one: FileFinding, widths: tuple[int, int], shown: dict[str, str], task: str) -> None:
    key, path = f"  {one.file.key:<{widths[0]}}", one.path
    if shown.setdefault(one.file.key, task) != task:
        print_wrapped(console, f"{key}  {one.state}, as for {shown[one.file.key]}", style=_style(one))
        return
    digest = f"sha256 {one.sha256}" if one.sha256 else ""
    line = f"{key}  {one.state:<9}  {_rows(one):<{widths[1]}}  {digest}  {one.edition}"
    print_wrapped(console, line.rstrip(), style=_style(one))
    print_wrapped(console, f"    {path}")
    print_wrapped(console, f"{one.file.licence}; {one.file.origin}", indent=INDENT, style="dim")
    editions = known_editions(one.file)
    if editions and (one.state != FOUND or one.edition == UNKNOWN):
        print_wrapped(console, f"known editions by sha256: {', '.join(editions)}", indent=INDENT, style="dim")
    if one.wrong or one.state == OPTIONAL:
        optional = "" if one.wrong else "not required; "
        print_wrapped(console, f"{optional}put it there, or type +bench.files.{one.file.key}=PATH", indent=INDENT)


def _style(one: FileFinding) -> str:
    if one.wrong:
        return "red"
    if one.edition == UNKNOWN or one.rows != (one.file.rows or one.rows):
        return "yellow"
    return "green" if one.state == FOUND else ""


def _rows(one: FileFinding) -> str:
    expected = one.file.rows
    if one.file.name.endswith("/"):
        return "" if one.rows is None else f"{one.rows:,} entries"
    if one.rows is None:
        return "" if expected is None else f"{expected:,} rows expected"
    return f"{one.rows:,} rows" if expected in (None, one.rows) else f"{one.rows:,} of {expected:,} rows"


def _print_images(console: Console, images: ImagesFinding) -> None:
    if images.folder is None:
        print_wrapped(console, f"  {images.named:,} images, made from these files", style="green")
    elif images.named:
        style = "red" if images.first else "green"
        text = f"  {images.usable:,} of {images.named:,} images that the questions name can be used"
        print_wrapped(console, text, style=style)
        if images.first:
            print_wrapped(console, f"first: {images.first}", indent=INDENT)


def _print_command(console: Console, text: str, command: Sequence[str], overrides: Sequence[str], *more: str) -> None:
    print_wrapped(console, text)
    words = [*command, *(word for word in overrides if word not in more), *more]
    print_wrapped(console, f"  {shlex.join(words)}", style="bold")
