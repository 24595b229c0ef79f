"""The command that searches for points in all studies: find."""

from __future__ import annotations

import argparse
from pathlib import Path

from mmdpo.analysis.find import OUTPUTS
from mmdpo.cli.arguments import Commands
from mmdpo.console import print_line

FIND = """\
Search for points in all studies below a folder, by settings, states and scores. A point
must match all terms.

  KEY=VALUE     an axis (beta, method, ...), a group by its name (model, data, bench.judge,
                ...), any other key of the config (train.num_train_epochs), or study, point,
                role, state. VALUE may be a comma list, a pattern (llava*), or null
  KEY!=VALUE    another value
  'KEY>NUMBER'  also <, >=, <=: a number of the config, or a score (text, text/math, pope),
                quoted because of the shell

The table shows main scores and their gains over the base; points that differ only in
their seed are one row, unless seed is a key of the search."""
FIND_EPILOG = """\
exit code: 0 found, 1 nothing matches, 2 a key is unknown

examples:
  python -m mmdpo find beta=0.1 model=llava_1_5_13b
  python -m mmdpo find method=dpo,ipo 'lr<=1e-5' 'text>7.5'
  python -m mmdpo find state=failed study='nano*'
"""


def find(options: argparse.Namespace) -> int:
    """Print the points that match all terms. Returns 1 if there are none."""
    from mmdpo.analysis.search_points import nothing_found, print_matches, search_points
    from mmdpo.analysis.search_terms import read_term
    from mmdpo.console import make_console

    terms, outputs = [read_term(text) for text in options.terms], Path(options.out)
    matches = search_points(outputs, terms)
    if not matches:
        print_line(nothing_found(outputs, terms))
        return 1
    print_matches(matches, terms, make_console())
    return 0


def add_commands(commands: Commands[argparse.ArgumentParser]) -> None:
    """Add the command find."""
    text = "search for points in all studies by settings and scores; exit code 1 if nothing matches"
    command = commands.add_parser(
        "find", help=text, description=FIND, epilog=FIND_EPILOG, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    command.add_argument("terms", nargs="+", metavar="TERM", help="KEY=VALUE, KEY!=VALUE, 'KEY>NUMBER', ...")
    command.add_argument("--out", default=str(OUTPUTS), metavar="DIR", help="folder of the studies; default: outputs")
    command.set_defaults(run=find)
