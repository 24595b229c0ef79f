"""The command that audits judges: audit."""

from __future__ import annotations

import argparse
from pathlib import Path

from mmdpo.cli.arguments import Commands
from mmdpo.console import print_line
from mmdpo.errors import UserError

AUDIT = """\
Audit a judge. Of a folder that stage=annotate has made: the distribution of ratings, the
judge's agreement with itself (judge.repeat) and with a second judge, the effect of the
order and of the length of answers, and the pairs that come out by margin. Of a study: the
same of its benchmark judgments. Writes audit.json, audit.md and pictures."""
AUDIT_EPILOG = """\
exit code: 0 done, 2 a folder or the command is wrong

examples:
  python -m mmdpo audit                               the newest study
  python -m mmdpo audit ANNOTATIONS                   the folder that stage=annotate prints
  python -m mmdpo audit ANNOTATIONS --with OTHER      two judges of the same completions
"""


def audit(options: argparse.Namespace) -> int:
    """Audit the ratings of a folder, or the judgments of a study."""
    from mmdpo.analysis.audit.annotations import is_annotations
    from mmdpo.analysis.audit.write import print_audit, write_annotations_audit, write_study_audit
    from mmdpo.analysis.find import find_study
    from mmdpo.analysis.study import read_study
    from mmdpo.console import make_console

    out = None if options.out is None else Path(options.out)
    named = Path(options.subject) if options.subject else None
    if named is not None and is_annotations(named):
        other = None if options.other is None else Path(options.other)
        found, place = write_annotations_audit(named, other, out)
    elif options.other is not None:
        raise UserError(f"--with {options.other}: compares two folders of stage=annotate; name the first one, too")
    else:
        study = read_study(find_study(options.subject))
        if not study.benchmarks:
            raise UserError(f"{study.folder}: no point has scores yet; type python -m mmdpo status {study.folder}")
        found, place = write_study_audit(study, out)
    print_audit(found, make_console())
    print_line(f"{place / 'audit.md'}")
    return 0


def add_commands(commands: Commands[argparse.ArgumentParser]) -> None:
    """Add the command audit."""
    command = commands.add_parser(
        "audit",
        help="audit a judge: distributions, agreement, order and length bias",
        description=AUDIT,
        epilog=AUDIT_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    text = "a study, or a folder of stage=annotate; default: the newest study"
    command.add_argument("subject", nargs="?", metavar="STUDY|ANNOTATIONS", help=text)
    text = "the ratings of the same completions by a second judge"
    command.add_argument("--with", dest="other", metavar="OTHER", help=text)
    command.add_argument("--out", metavar="DIR", help="folder of the files; default: audit/ in what is audited")
    command.set_defaults(run=audit)
