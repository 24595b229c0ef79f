"""`python -m mmdpo`: looks at studies, their jobs and data, and never computes."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from mmdpo.analysis.find import find_point, find_study
from mmdpo.errors import UserError

EPILOG = """\
STUDY is a folder, or a name under outputs/; without it, the newest study there.
POINT is a folder, a point's name or any piece of it that only one point has;
STUDY/PIECE looks in one study.

examples:
  python -m mmdpo status
  python -m mmdpo report nano-data_scaling
  python -m mmdpo compare nano/base nano/beta0.1
  python -m mmdpo doctor data=paper
  python -m mmdpo retry cluster.mem=128G
  python -m mmdpo logs nano beta0.1 --follow
  python -m mmdpo cancel nano beta0.3
"""

DOCTOR = """\
Looks for the files and folders that a data set needs, reads every row once, and says
what is there, what is missing, how many rows are of use and why others are not."""
DOCTOR_EPILOG = """\
exit code: 0 all there, 1 something is missing or wrong, 2 the command is wrong

examples:
  python -m mmdpo doctor data=paper                   files under $MMDPO_DATA, else ./data
  python -m mmdpo doctor data=paper data.sources.lrv.path=FILE
  python -m mmdpo doctor data=pairs data.path=FILE data.image_root=DIR
  python -m mmdpo doctor data=prompts data.sources.prompts.path=FILE
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit code: 0, 1 (a failed point, missing data) or 2 (wrong command)."""
    options = _parser().parse_args(arguments)
    try:
        return int(options.run(options))
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except BrokenPipeError:  # `| head`
        sys.stderr.close()
        return 0


def status(options: argparse.Namespace) -> int:
    """Print a study's table as it stands; 1 if a point failed."""
    from rich.console import Console

    from mmdpo.analysis.table import print_table
    from mmdpo.slurm.study_status import read

    study = read(find_study(options.study))
    print_table(study, Console(highlight=False))
    return 1 if study.failed else 0


def report(options: argparse.Namespace) -> int:
    """Write summary.csv, figures/ and report.html anew."""
    from mmdpo.analysis.report import write_report

    write_report(find_study(options.study))
    return 0


def compare(options: argparse.Namespace) -> int:
    """Print the paired differences of two points."""
    from rich.console import Console

    from mmdpo.analysis.compare import compare as compare_points
    from mmdpo.analysis.compare import comparison_notes, comparison_table

    comparison = compare_points(find_point(options.a), find_point(options.b))
    console = Console(highlight=False)
    console.print(comparison_table(comparison))
    for note in comparison_notes(comparison):
        console.print(note, style="dim", markup=False)
    return 0


def retry(options: argparse.Namespace) -> int:
    """Submit failed and missing points again."""
    from mmdpo.slurm.commands import retry as submit_again

    named = [*filter(None, [options.study]), *options.words]
    first = named[:1] if named and "=" not in named[0] else []  # without STUDY an override comes first
    study = find_study(*first or [None])
    count = submit_again(study, named[len(first) :])
    print(f"{count} submitted; next: python -m mmdpo status {study}")
    return 0


def cancel(options: argparse.Namespace) -> int:
    """Cancel a study's jobs."""
    from mmdpo.slurm.commands import cancel as cancel_jobs

    study = find_study(options.study)
    count = cancel_jobs(study, options.words)
    print(f"{study}: {count} cancelled; what is saved stays")
    print(f"next: python -m mmdpo retry {study} goes on from there")
    return 0


def logs(options: argparse.Namespace) -> int:
    """Print logs of a point's last attempt."""
    from mmdpo.slurm.commands import logs as print_logs

    print_logs(find_study(options.study), options.point, options.rank, options.follow)
    return 0


def doctor(options: argparse.Namespace) -> int:
    """Say what of the data is there; 1 if something is missing or wrong."""
    from rich.console import Console

    from mmdpo.entry.compose import compose_data
    from mmdpo.sources.doctor_report import report as print_report

    data, judge = compose_data(options.overrides)
    return 0 if print_report(data, judge, options.overrides, Console(highlight=False)) else 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m mmdpo",
        description="Look at results, jobs and data. Nothing is computed here; `launch.py` does that.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for run, text in (
        (status, "the table of a study, also while it runs; exit code 1 if a point failed"),
        (report, "write summary.csv, figures/ and report.html anew"),
    ):
        command = commands.add_parser(run.__name__, help=text, description=text)
        command.add_argument("study", nargs="?", metavar="STUDY", help="folder or name; default: the newest")
        command.set_defaults(run=run)
    text = "paired differences of two points' scores, B minus A, with intervals"
    command = commands.add_parser("compare", help=text, description=text)
    for name in ("a", "b"):
        command.add_argument(name, metavar=f"POINT_{name.upper()}", help="folder, or a unique piece of the name")
    command.set_defaults(run=compare)
    _add_doctor(commands)
    _add_jobs(commands)
    return parser


def _add_jobs(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """The commands for studies that run on SLURM."""
    for run, word, text in (
        (retry, "OVERRIDE", "submit a study's failed and missing points again; cluster.mem=64G and such"),
        (cancel, "POINT", "cancel a study's jobs, or those of points with this piece in their name"),
    ):
        command = commands.add_parser(run.__name__, help=text, description=text)
        command.add_argument("study", nargs="?", metavar="STUDY", help="folder or name; default: the newest")
        command.add_argument("words", nargs="*", metavar=word)
        command.set_defaults(run=run)
    text = "the log of a point's last attempt; without POINT, of what failed last or runs"
    command = commands.add_parser("logs", help=text, description=text)
    command.add_argument("study", nargs="?", metavar="STUDY", help="folder or name; default: the newest")
    command.add_argument("point", nargs="?", metavar="POINT", help="a piece of its name")
    command.add_argument("--rank", type=int, help="of one process alone")
    command.add_argument("--follow", action="store_true", help="print what is added until Ctrl-C")
    command.set_defaults(run=logs)


def _add_doctor(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    text = "what a data set needs and what of it is there; exit code 1 if something is missing or wrong"
    command = commands.add_parser(
        "doctor",
        help=text,
        description=DOCTOR,
        epilog=DOCTOR_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    command.add_argument("overrides", nargs="*", metavar="OVERRIDE", help="as launch.py takes them")
    command.set_defaults(run=doctor)


if __name__ == "__main__":
    sys.exit(main())
