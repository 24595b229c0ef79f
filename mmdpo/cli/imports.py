"""The command that adds answers of another program to a study: import."""

from __future__ import annotations

import argparse
import shlex
from pathlib import Path
from typing import TYPE_CHECKING

from mmdpo.cli.arguments import Commands
from mmdpo.config.choices import BENCHMARKS, Split
from mmdpo.config.schema import CONF, BenchConfig
from mmdpo.console import print_line
from mmdpo.errors import UserError

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

if TYPE_CHECKING:
    from mmdpo.evaluation.import_row import Import
    from mmdpo.evaluation.imported_rows import ImportedRow

READ = ("bench", "out")
NOT_READ = tuple(
    f"bench.{name}"
    for name in ("tasks", "judge", "engine", "server", "shard", "batch_size", "max_new_tokens", "repeats")
)
"""Beginnings of the keys that an import reads, and of those among them that only answering and judging read."""
EXAMPLES = ("bench.root=", "+bench.files.NAME=", "bench.references=", "bench.split=", "bench.subset=")

NEW_STUDY = "imported"
"""The study of a first import."""


def import_task(options: argparse.Namespace) -> int:
    """Add a file of answers to one task, and judgments of them, to a row of a study."""
    from mmdpo.env_secrets import refuse_secret_words
    from mmdpo.evaluation.import_row import read_import
    from mmdpo.evaluation.imported_rows import ImportedRow
    from mmdpo.points import commands

    refuse_secret_words(options.overrides)
    directory = Path(options.config_dir) if options.config_dir else None
    bench, out = _compose(options.task, options.overrides, directory)
    row = ImportedRow(_study(options.study, out), _checked_name(options.name))
    found = read_import(options.task, Path(options.answers), [*map(Path, options.judgments or ())], bench)
    commands.begin(row.study)
    found.write(row, bench)
    _report(row.name, found)
    if found.scores is None:
        print_line(f"not judged yet; next: {_judging(row, options.task, options.overrides)}")
    else:
        print_line(f"next: python -m mmdpo report {row.study}")
    return 0


def _compose(task: str, overrides: list[str], directory: Path | None) -> tuple[BenchConfig, Path]:
    """Return the settings of a task: those of its preset, and all its items unless a split is typed."""
    from mmdpo.entry.compose import compose_bench
    from mmdpo.evaluation.task import load_task

    keys = [word.partition("=")[0].lstrip("+~") for word in overrides]
    for key in keys:
        if not key.startswith(READ) or key.startswith(NOT_READ):
            raise UserError(f"{key}=: import does not read it; leave it out. It reads out= and {', '.join(EXAMPLES)}")
    if task not in BENCHMARKS.names():
        BENCHMARKS.load(task)  # names the choices
    words = [f"bench.tasks=[{task}]"]
    if load_task(task).bench_files:
        if (CONF / "bench" / f"{task}.yaml").is_file():
            words.insert(0, f"bench={task}")
        words.append(f"bench.split={Split.all}")
    return compose_bench([*(word for word in words if word.partition("=")[0] not in keys), *overrides], directory)


def _study(name: str | None, out: Path) -> Path:
    """Return the folder of a study: a path, a name below `out`, or by default the one that changed last."""
    from mmdpo.analysis.find import find_study, list_studies

    if name is None:
        return find_study(None, out) if list_studies(out) else out / NEW_STUDY
    if not name.strip() or name in (".", ".."):
        raise UserError(f"--study {name!r}: type the name of a study, or its folder")
    return Path(name) if Path(name).name != name else out / name


def _checked_name(name: str) -> str:
    """Return the name of a row. Raises UserError for one that no table can show."""
    from mmdpo.config.field_checks import unusable_character

    if not any(map(str.isalnum, name)):
        raise UserError(f"--name {name!r}: holds no letter and no digit; type --name NAME")
    if (character := unusable_character(name)) is not None:
        raise UserError(f"--name {name!r}: {character!r} is no character of a name; type --name NAME")
    return name.strip()


def _report(name: str, found: Import) -> None:
    """Print what was imported, and its score."""
    task = found.answers.samples.name
    print_line(f"{task}: {found.answers.counts.text()}")
    if found.answers.own_samples:
        print_line("questions and right answers are those of this file: the benchmark's own files are not there")
    if found.replayed is not None:
        print_line(f"judgments that belong to these answers: {found.replayed.verification}")
        if found.replayed.is_verified is False:
            print_line(
                "warning: these judgments may belong to other answers, or to another edition of the references and "
                "judge prompts; the row says so"
            )
    if found.scores is None:
        return
    main = found.scores.scores[task]
    unscored = f", {main.unscored} unscored" if main.unscored else ""
    printed = found.scores.upstream.get(task)
    upstream = "" if printed is None else f"; upstream's script prints {printed:.7g}"
    print_line(f"{name}: {task} {main.value:.4g} (n = {main.n}{unscored}){upstream}")


def _judging(row: ImportedRow, task: str, overrides: list[str]) -> str:
    """Return the command that judges a row's answers."""
    out = [] if row.study.parent == Path("outputs") else [f"out={row.study.parent}"]
    typed = [word for word in overrides if word.startswith("bench.") and not word.startswith("bench.split=")]
    words = ["stage=judge", *out, f"study={row.study.name}", f"bench={task}", *typed, "bench.judge=gemini"]
    return shlex.join(["python", "launch.py", *words])


def add_commands(commands: Commands[argparse.ArgumentParser]) -> None:
    """Add the command import."""
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
