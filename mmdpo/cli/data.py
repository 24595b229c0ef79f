"""Commands for data and benchmarks: doctor."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from mmdpo.cli.arguments import Commands
from mmdpo.config.choices import TrainOn
from mmdpo.config.schema import BenchConfig, DataConfig, ModelConfig
from mmdpo.errors import UserError

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

if TYPE_CHECKING:
    from mmdpo.sources.doctor_report import Renderer


def doctor(options: argparse.Namespace) -> int:
    """Report which files of a data set or of benchmarks are there and usable.

    Returns:
        0, or 1 if something is missing or wrong.
    """
    from mmdpo.entry.compose import compose_bench, compose_data, compose_model

    directory = Path(options.config_dir) if options.config_dir else None
    words = [*(["--config-dir", options.config_dir] if directory else []), *options.overrides]
    of_bench = _name_group(options.overrides, "bench")
    of_data = not of_bench or _name_group(options.overrides, "data")
    bench = compose_bench(options.overrides, directory)[0] if of_bench else None
    good = [_examine_bench(bench, words)] if bench else []
    if of_data:
        data, judge, train_on = compose_data(options.overrides, directory)
        good.append(_examine_data(data, train_on, judge, words, compose_model(options.overrides, directory)))
        if bench and all(good):
            _examine_overlap(data, train_on, bench)
    return 0 if all(good) else 1


def _name_group(overrides: list[str], group: str) -> bool:
    """Return whether an override chooses this config group or changes one of its settings."""
    return any(word.lstrip("+~").startswith((f"{group}=", f"{group}.")) for word in overrides)


def _examine_bench(bench: BenchConfig, words: list[str]) -> bool:
    from mmdpo.console import make_console
    from mmdpo.evaluation.doctor_report import print_report

    return print_report(bench, words, make_console())


def _examine_data(data: DataConfig, train_on: TrainOn, judge: str, words: list[str], model: ModelConfig | None) -> bool:
    from mmdpo.console import make_console
    from mmdpo.sources.doctor_report import print_report

    return print_report(data, train_on, judge, words, make_console(), _renderer(model))


def _examine_overlap(data: DataConfig, train_on: TrainOn, bench: BenchConfig) -> None:
    """Print what the user's own training data, as the method reads them, share with the benchmarks."""
    from dataclasses import asdict

    from mmdpo.analysis.contamination_lines import overlap_line
    from mmdpo.console import print_line
    from mmdpo.evaluation.overlap import overlaps
    from mmdpo.evaluation.samples import sample_sets
    from mmdpo.pipeline.own_pairs import own_pairs

    sets = [one for one in sample_sets(bench, {}, "") if one.task.bench_files]
    if not data.is_own or not sets:
        return
    own = own_pairs(data, train_on)
    for task, found in overlaps(own.examples, own.image_root, sets).items():
        clean = f"contamination  {task}: none ({found.long_enough} of {found.items} items have 13 words or more)"
        print_line(overlap_line(task, asdict(found)) or clean)


def _renderer(model: ModelConfig | None) -> Renderer | None:
    """Return what renders a prompt by the model's chat template; None if the model is not on this disk."""
    from mmdpo.models.preview import chat_template, rendered_prompt
    from mmdpo.sources.doctor_report import Renderer

    try:
        if model is None or chat_template(model) is None:
            return None
    except (UserError, OSError, ValueError):  # a wrong path, or a damaged file: launch.py says so
        return None
    return Renderer(f"model={model.name}", lambda record: rendered_prompt(model, record))


def add_commands(commands: Commands[argparse.ArgumentParser]) -> None:
    """Add the command doctor."""
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
