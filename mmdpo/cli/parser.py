"""The arguments of `python -m mmdpo` and its help."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from mmdpo.cli.data import doctor
from mmdpo.cli.imports import import_task
from mmdpo.cli.jobs import cancel, logs, retry
from mmdpo.cli.studies import compare, report, status

Commands = argparse._SubParsersAction

EPILOG = """\
STUDY is a folder, or a name under outputs/. The default is the newest study there.
POINT is a folder, a point's name, or a part of it that only one point has.
STUDY/PART looks in one study.

examples:
  python -m mmdpo status
  python -m mmdpo report nano-data_scaling
  python -m mmdpo compare nano/base nano/beta0.1
  python -m mmdpo doctor data=paper
  python -m mmdpo doctor bench=paper
  python -m mmdpo import pope --answers FILE --name llava-v1.5-13b --study STUDY
  python -m mmdpo retry cluster.mem=128G
  python -m mmdpo logs nano beta0.1 --follow
  python -m mmdpo cancel nano beta0.3
"""
DOCTOR = """\
Look for the files and folders of a data set, read every row once, and report what is
there, what is missing, how many rows are usable, and why the others are not. With bench=
or bench.KEY=, the same for the files of benchmarks: where each one comes from, its
licence, rows, sha256 and edition, and whether all images that its questions name are there."""
DOCTOR_EPILOG = """\
exit code: 0 all there, 1 something is missing or wrong, 2 the command is wrong

examples:
  python -m mmdpo doctor data=paper                   files under $MMDPO_DATA, else ./data
  python -m mmdpo doctor data=paper data.sources.lrv.path=FILE
  python -m mmdpo doctor data=pairs data.path=FILE data.image_root=DIR
  python -m mmdpo doctor data=prompts data.sources.prompts.path=FILE
  python -m mmdpo doctor bench=paper                  files under $MMDPO_DATA/bench
  python -m mmdpo doctor bench=pope bench.root=DIR +bench.files.pope_images=DIR
"""
IMPORT = """\
Add answers that another program has written to a study, as a row beside its points. The
answers are scored by the same rules as those of points. Judgments of another program are
verified: their requests are built again from question, answer, reference and template.
Files are those of FastChat, LLaVA, MM-Vet, alpaca_eval and VLMEvalKit, as .jsonl, .json,
.csv, .tsv or .xlsx. Importing another task under the same name adds to the row."""
IMPORT_EPILOG = """\
exit code: 0 imported, also if judgments could not be verified, 2 a file or the command is wrong

examples:
  python -m mmdpo import pope --answers FILE --name llava-v1.5-13b bench.root=DIR
  python -m mmdpo import mt_bench --answers FILE --judgments FILE --name vicuna-13b
  python launch.py stage=judge study=STUDY bench=mt_bench bench.judge=gemini    today's judge
"""


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Parse a command line; overrides may also stand behind options, where argparse does not expect them."""
    parser = make_parser()
    options, others = parser.parse_known_args(arguments)
    if others and not (hasattr(options, "overrides") and all("=" in word and word[0] != "-" for word in others)):
        parser.error(f"unrecognized arguments: {' '.join(others)}")
    if others:
        options.overrides = [*options.overrides, *others]
    return options


def make_parser() -> argparse.ArgumentParser:
    """Return the parser; the parsed `run` is the function of the command."""
    parser = argparse.ArgumentParser(
        prog="python -m mmdpo",
        description="Look at results, jobs and data. `launch.py` computes; this command does not.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    _add_studies(commands)
    _add_doctor(commands)
    _add_import(commands)
    _add_jobs(commands)
    return parser


def _add_studies(commands: Commands[argparse.ArgumentParser]) -> None:
    """Add the commands for studies."""
    text = "print the table of a study, also while it runs; exit code 1 if a point failed"
    command = commands.add_parser("status", help=text, description=text)
    _add_study(command)
    command.set_defaults(run=status)
    text = "write summary.csv, figures/ and report.html of a study"
    command = commands.add_parser("report", help=text, description=text)
    _add_study(command)
    command.set_defaults(run=report)
    text = "print paired differences of two points' scores, B minus A, with intervals"
    command = commands.add_parser("compare", help=text, description=text)
    for name in ("a", "b"):
        command.add_argument(name, metavar=f"POINT_{name.upper()}", help="folder, or a unique part of the name")
    command.set_defaults(run=compare)


def _add_study(command: argparse.ArgumentParser) -> None:
    command.add_argument("study", nargs="?", metavar="STUDY", help="folder or name; default: the newest")


def _add_jobs(commands: Commands[argparse.ArgumentParser]) -> None:
    """Add the commands for studies that run on SLURM."""
    for run, word, text in (
        (retry, "OVERRIDE", "submit a study's failed and missing points again; takes overrides as cluster.mem=64G"),
        (cancel, "POINT", "cancel a study's jobs, or those of points with this part in their name"),
    ):
        command = commands.add_parser(run.__name__, help=text, description=text)
        _add_study(command)
        command.add_argument("words", nargs="*", metavar=word)
        command.set_defaults(run=run)
    text = "print the log of a point's last attempt; without POINT, of the last failed or a running one"
    command = commands.add_parser("logs", help=text, description=text)
    _add_study(command)
    command.add_argument("point", nargs="?", metavar="POINT", help="a part of its name")
    command.add_argument("--rank", type=int, help="only the log of this process")
    command.add_argument("--follow", action="store_true", help="print new lines until the point has ended")
    command.set_defaults(run=logs)


def _add_doctor(commands: Commands[argparse.ArgumentParser]) -> None:
    text = "report what data or benchmarks need and what of it is there; exit code 1 if something is missing or wrong"
    command = commands.add_parser(
        "doctor",
        help=text,
        description=DOCTOR,
        epilog=DOCTOR_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    command.add_argument("--config-dir", "-cd", metavar="DIR", help="your own config directory, as for launch.py")
    command.add_argument("overrides", nargs="*", metavar="OVERRIDE", help="as for launch.py")
    command.set_defaults(run=doctor)


def _add_import(commands: Commands[argparse.ArgumentParser]) -> None:
    text = "add answers of another program to a study, as a row beside its points"
    command = commands.add_parser(
        "import",
        help=text,
        description=IMPORT,
        epilog=IMPORT_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    command.add_argument("task", metavar="TASK", help="a benchmark, as in bench.tasks")
    command.add_argument("--answers", required=True, metavar="FILE", help="the answers of one model")
    text = "upstream's judgments of these answers; again for each repetition of the judging"
    command.add_argument("--judgments", action="append", metavar="FILE", help=text)
    command.add_argument("--name", required=True, metavar="NAME", help="the row's name in tables and figures")
    command.add_argument("--study", metavar="STUDY", help="folder or name; default: the newest, or `imported`")
    command.add_argument("--config-dir", "-cd", metavar="DIR", help="your own config directory, as for launch.py")
    command.add_argument("overrides", nargs="*", metavar="OVERRIDE", help="as for launch.py, such as bench.root=DIR")
    command.set_defaults(run=import_task)
