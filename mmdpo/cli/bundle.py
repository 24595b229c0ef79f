"""Commands that move a study to another machine: bundle, open."""

from __future__ import annotations

import argparse
import shlex
from pathlib import Path
from typing import TYPE_CHECKING

from mmdpo.analysis.find import OUTPUTS, find_study
from mmdpo.cli.arguments import Commands
from mmdpo.console import print_line

if TYPE_CHECKING:
    from mmdpo.analysis.bundle_file import Manifest

BUNDLE = """\
Write a study to one file (zip) that opens on a machine without its model, benchmarks,
GPU or network: configs, states, answers, judgments, results, metrics, fingerprints,
commands, and the questions, reference answers and images behind the items. Points that
are links to other studies are written with their content. The file shows what these
files show, such as paths, host names and the questions of benchmarks: mind their
licences before you pass it on. Equal studies give equal bytes."""
OPEN = """\
Verify the file of a bundle by its manifest, and unpack it to a study. An existing folder
is never overwritten. Nothing of the file is run."""


def bundle(options: argparse.Namespace) -> int:
    """Write a study to one file."""
    from mmdpo.analysis.bundle import write_bundle

    file = Path(options.file)
    manifest = write_bundle(find_study(options.study), file, options.adapters)
    _report(file, manifest)
    print_line(f"next, on another machine: {shlex.join(['python', '-m', 'mmdpo', 'open', file.name])}")
    return 0


def open_(options: argparse.Namespace) -> int:
    """Verify and unpack a bundle."""
    from mmdpo.analysis.bundle import open_bundle

    file = Path(options.file)
    folder, manifest = open_bundle(file, Path(options.to) if options.to else None)
    _report(file, manifest)
    name = folder.name if folder.parent == OUTPUTS else str(folder)
    print_line(f"{folder}  ·  next: {shlex.join(['python', '-m', 'mmdpo', 'report', name])}")
    return 0


def _report(file: Path, manifest: Manifest) -> None:
    size = file.stat().st_size
    adapters = " and their adapters" if manifest.adapters else ""
    points = f"{manifest.points} point{'s'[: manifest.points > 1]}"
    print_line(f"{file}: study {manifest.study}, {points}{adapters}, {len(manifest.files)} files, {size / 1e6:.1f} MB")
    for line in manifest.left_out:
        print_line(f"not in it: {line}")


def add_commands(commands: Commands[argparse.ArgumentParser]) -> None:
    """Add the commands that move studies."""
    form = argparse.RawDescriptionHelpFormatter
    text = "write a study to one file that opens on any machine"
    command = commands.add_parser("bundle", help=text, description=BUNDLE, formatter_class=form)
    command.add_argument("study", metavar="STUDY", help="folder or name")
    command.add_argument("file", metavar="FILE", help="the file to write, such as study.zip")
    command.add_argument("--adapters", action="store_true", help="take the trained adapters along")
    command.set_defaults(run=bundle)
    text = "verify a bundle and unpack it to a study"
    command = commands.add_parser("open", help=text, description=OPEN, formatter_class=form)
    command.add_argument("file", metavar="FILE", help="the file that bundle has written")
    command.add_argument("--to", metavar="DIR", help="the study's folder; default: its name under outputs/")
    command.set_defaults(run=open_)
