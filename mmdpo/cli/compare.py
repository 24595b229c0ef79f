"""The command that compares results over the same items: compare."""

from __future__ import annotations

import argparse

from mmdpo.cli.arguments import Commands

COMPARE = """\
Print the differences of results from the first one, over the same items, with intervals,
p values, and verdicts that are corrected for the number of scores shown.

A RESULT is a folder, a point's name, a part of names or a pattern, or a study.
Points that it names and that differ only in seed are one result: beta0.1 pools the seeds
of beta 0.1. STUDY/PART looks in one study, STUDY alone stands for all its results. The
first RESULT is the reference that the others are compared with; of a study it is the base.
Quote a pattern, or the shell makes several RESULTs of it."""
COMPARE_EPILOG = """\
exit code: 0 compared, 2 a name is wrong, or what it names cannot be compared

examples:
  python -m mmdpo compare nano/base nano/beta0.1           two results, with the parts of scores
  python -m mmdpo compare nano/beta0.1 nano/beta0.2 nano/beta0.3
  python -m mmdpo compare nano-seeds/data0.5 nano-seeds/data1.0
  python -m mmdpo compare nano/base nano 'other*/dpo-*'    several studies
"""


def compare(options: argparse.Namespace) -> int:
    """Print the paired differences of results from the first one."""
    from mmdpo.analysis.compare import compare as compare_results
    from mmdpo.analysis.compare_table import print_comparison
    from mmdpo.analysis.selection import select
    from mmdpo.console import make_console

    comparison = compare_results(select(options.results), True if options.parts else None)
    print_comparison(comparison, make_console())
    return 0


def add_commands(commands: Commands[argparse.ArgumentParser]) -> None:
    """Add the command compare."""
    command = commands.add_parser(
        "compare",
        help="print paired differences of results from the first one, with intervals and verdicts",
        description=COMPARE,
        epilog=COMPARE_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    command.add_argument("results", nargs="+", metavar="RESULT", help="a point, a part of names, a pattern or a study")
    text = "also compare the parts of scores; two results are always compared in parts"
    command.add_argument("--parts", action="store_true", help=text)
    command.set_defaults(run=compare)
