"""Commands for studies: status, report."""

from __future__ import annotations

import argparse
import shlex

from mmdpo.analysis.find import find_study
from mmdpo.cli.arguments import Commands, add_study
from mmdpo.console import print_line
from mmdpo.points.commands import last_launch
from mmdpo.points.status import State


def status(options: argparse.Namespace) -> int:
    """Print the table of a study, finished or not. Returns 1 if a point failed."""
    from mmdpo.analysis.table import print_table
    from mmdpo.console import make_console
    from mmdpo.slurm.study_status import read
    from mmdpo.slurm.submission import lock_holder

    study = read(find_study(options.study))
    print_table(study, make_console(), options.seeds)
    if holder := lock_holder(study.folder):
        print_line(f"{holder} submits jobs of this study now")
    if any(row.state != State.done for row in study.rows) and (typed := last_launch(study.folder)):
        print_line(f"last command: {shlex.join(typed)}")
    return 1 if study.failed else 0


def report(options: argparse.Namespace) -> int:
    """Write summary.csv, results.csv, figures/ and report.html of a study."""
    from mmdpo.analysis.report import write_report

    write_report(find_study(options.study), options.seeds)
    return 0


def add_commands(commands: Commands[argparse.ArgumentParser]) -> None:
    """Add the commands for studies."""
    text = "print the table of a study, also while it runs; exit code 1 if a point failed"
    command = commands.add_parser("status", help=text, description=text)
    add_study(command)
    _add_seeds(command)
    command.set_defaults(run=status)
    text = "write summary.csv, results.csv, figures/ and report.html of a study"
    command = commands.add_parser("report", help=text, description=text)
    add_study(command)
    _add_seeds(command)
    command.set_defaults(run=report)


def _add_seeds(command: argparse.ArgumentParser) -> None:
    text = "show a row for each seed; by default the seeds of a result share one"
    command.add_argument("--seeds", action="store_true", help=text)
