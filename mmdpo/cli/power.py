"""Command for the gains that a study can see: power."""

from __future__ import annotations

import argparse
import math

from mmdpo.analysis.find import find_study
from mmdpo.cli.arguments import Commands, add_study
from mmdpo.console import print_line
from mmdpo.errors import UserError

TEXT = """\
Print the smallest gain over the base that a study sees on each benchmark, with 80 % power and corrected for the number
of its comparisons, and how many seeds or items a gain needs. `launch.py ... dry_run=true` prints the same of a study
that is planned.
"""


def power(options: argparse.Namespace) -> int:
    """Print which gains a study sees. Returns 1 if it has no gain to measure them by."""
    from mmdpo.analysis.gains import study_gains
    from mmdpo.analysis.groups import groups
    from mmdpo.analysis.label_lines import label_of_row
    from mmdpo.analysis.study import read_study
    from mmdpo.analysis.variances import variances_of
    from mmdpo.evaluation.power import Design
    from mmdpo.pipeline.power_lines import ASSUMED, sees

    study = read_study(find_study(options.study))
    gains = study_gains(study)
    wanted = dict(map(_gain, options.gain))
    if unknown := [name for name in wanted if name not in study.benchmarks]:
        raise UserError(f"--gain {unknown[0]}=...: {study.folder} has {', '.join(study.benchmarks) or 'no scores'}")
    done = assumed = False
    for key in list(wanted) or study.benchmarks:
        found = [(group, gain.estimate) for group in groups(study) if (gain := gains.of(group, key)) and gain.verdict]
        split = str(label_of_row(found[0][0].rows[0], key).get("split", "")) if found else ""
        if not found or (variances := variances_of(study, key, split)) is None:
            print_line(f"{key}: no result has a gain with an interval")
            continue
        seeds = options.seeds or min(estimate.seeds for _, estimate in found)
        design = Design(found[0][1].clusters, seeds, gains.comparisons, 1 - study.confidence)
        print_line(f"{key}: {sees(variances, design, key, wanted.get(key))}")
        assumed = assumed or (seeds > 1 and not variances.with_seeds)
        done = True
    if assumed:
        print_line(ASSUMED)
    return 0 if done else 1


def _gain(text: str) -> tuple[str, float]:
    """Read TASK=SIZE."""
    name, _, size = text.partition("=")
    try:
        value = float(size)
    except ValueError:
        value = math.nan
    if not 0 < value < math.inf:
        raise UserError(f"--gain {text}: allowed is TASK=SIZE with a size above 0, such as text=0.2")
    return name, value


def _count(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r}; allowed: 1 and more")
    return int(text)


def add_commands(commands: Commands[argparse.ArgumentParser]) -> None:
    """Add the command."""
    command = commands.add_parser("power", help="print which gains a study can see, and what others need")
    command.description = TEXT
    add_study(command)
    command.add_argument(
        "--gain", action="append", default=[], metavar="TASK=SIZE", help="a gain whose needs are printed; repeatable"
    )
    command.add_argument("--seeds", type=_count, help="the number of seeds of a result; default: as in the study")
    command.set_defaults(run=power)
