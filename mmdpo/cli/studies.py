"""Commands for studies: status, report, compare."""

from __future__ import annotations

import argparse
import shlex

from mmdpo.analysis.find import find_point, find_study
from mmdpo.cli.arguments import Commands, add_study
from mmdpo.console import print_line, printable
from mmdpo.points.commands import last_launch
from mmdpo.points.status import State


def status(options: argparse.Namespace) -> int:
    """Print the table of a study, finished or not. Returns 1 if a point failed."""
    from mmdpo.analysis.table import print_table
    from mmdpo.console import make_console
    from mmdpo.slurm.study_status import read
    from mmdpo.slurm.submission import lock_holder

    study = read(find_study(options.study))
    print_table(study, make_console())
    if holder := lock_holder(study.folder):
        print_line(f"{holder} submits jobs of this study now")
    if any(row.state != State.done for row in study.rows) and (typed := last_launch(study.folder)):
        print_line(f"last command: {shlex.join(typed)}")
    return 1 if study.failed else 0


def report(options: argparse.Namespace) -> int:
    """Write summary.csv, figures/ and report.html of a study."""
    from mmdpo.analysis.report import write_report

    write_report(find_study(options.study))
    return 0


def compare(options: argparse.Namespace) -> int:
    """Print the paired differences of two points."""
    from mmdpo.analysis.compare import compare as compare_points
    from mmdpo.analysis.compare import comparison_notes, comparison_table
    from mmdpo.console import make_console

    comparison = compare_points(find_point(options.a), find_point(options.b))
    console = make_console()
    console.print(comparison_table(comparison))
    for note in comparison_notes(comparison):
        console.print(printable(note), style="dim", markup=False)
    return 0


def add_commands(commands: Commands[argparse.ArgumentParser]) -> None:
    """Add the commands for studies."""
    text = "print the table of a study, also while it runs; exit code 1 if a point failed"
    command = commands.add_parser("status", help=text, description=text)
    add_study(command)
    command.set_defaults(run=status)
    text = "write summary.csv, figures/ and report.html of a study"
    command = commands.add_parser("report", help=text, description=text)
    add_study(command)
    command.set_defaults(run=report)
    text = "print paired differences of two points' scores, B minus A, with intervals"
    command = commands.add_parser("compare", help=text, description=text)
    for name in ("a", "b"):
        command.add_argument(name, metavar=f"POINT_{name.upper()}", help="folder, or a unique part of the name")
    command.set_defaults(run=compare)
