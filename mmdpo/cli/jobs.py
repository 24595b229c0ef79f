"""Commands for studies on SLURM: retry, cancel, logs."""

from __future__ import annotations

import argparse

from mmdpo.analysis.find import find_study
from mmdpo.cli.arguments import Commands, add_study
from mmdpo.console import print_line


def retry(options: argparse.Namespace) -> int:
    """Submit a study's failed and missing points again."""
    from mmdpo.slurm.commands import retry as submit_again

    named = [*filter(None, [options.study]), *options.words]
    first = named[:1] if named and "=" not in named[0] else []  # without STUDY an override comes first
    study = find_study(*first or [None])
    count = submit_again(study, named[len(first) :])
    print_line(f"{count} submitted; next: python -m mmdpo status {study}")
    return 0


def cancel(options: argparse.Namespace) -> int:
    """Cancel a study's jobs, or those of some of its points."""
    from mmdpo.slurm.commands import cancel as cancel_jobs

    study = find_study(options.study)
    count = cancel_jobs(study, options.words)
    print_line(f"{study}: {count} cancelled; checkpoints are kept")
    print_line(f"to continue: python -m mmdpo retry {study}")
    return 0


def logs(options: argparse.Namespace) -> int:
    """Print the log of a point's last attempt."""
    from mmdpo.slurm.commands import logs as print_logs

    print_logs(find_study(options.study), options.point, options.rank, options.follow)
    return 0


def add_commands(commands: Commands[argparse.ArgumentParser]) -> None:
    """Add the commands for studies that run on SLURM."""
    for run, word, text in (
        (retry, "OVERRIDE", "submit a study's failed and missing points again; takes overrides as cluster.mem=64G"),
        (cancel, "POINT", "cancel a study's jobs, or those of points with this part in their name"),
    ):
        command = commands.add_parser(run.__name__, help=text, description=text)
        add_study(command)
        command.add_argument("words", nargs="*", metavar=word)
        command.set_defaults(run=run)
    text = "print the log of a point's last attempt; without POINT, of the last failed or a running one"
    command = commands.add_parser("logs", help=text, description=text)
    add_study(command)
    command.add_argument("point", nargs="?", metavar="POINT", help="a part of its name")
    command.add_argument("--rank", type=int, help="only the log of this process")
    command.add_argument("--follow", action="store_true", help="print new lines until the point has ended")
    command.set_defaults(run=logs)
