"""The arguments of `python -m mmdpo` and its help."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from mmdpo.registry import Kind

COMMANDS = Kind("mmdpo.cli", "add_commands", "command")
"""The files of mmdpo/cli that define `add_commands`, which adds one or more commands to the parser."""

EPILOG = """\
STUDY is a folder, or a name under outputs/. The default is the newest study there.
POINT is a folder, a point's name, or a part of it; RESULT may also be a pattern or a study.
STUDY/PART looks in one study.

examples:
  python -m mmdpo status
  python -m mmdpo report nano-data_scaling
  python -m mmdpo compare nano/base nano/beta0.1 nano/beta0.2
  python -m mmdpo power nano --gain text=0.2
  python -m mmdpo paper nano-data_scaling --plain
  python -m mmdpo find beta=0.1 model=llava_1_5_13b 'text>7.5'
  python -m mmdpo bundle nano nano.zip
  python -m mmdpo open nano.zip
  python -m mmdpo audit nano
  python -m mmdpo wandb nano-data_scaling
  python -m mmdpo doctor data=paper
  python -m mmdpo doctor bench=paper
  python -m mmdpo import pope --answers FILE --name llava-v1.5-13b --study STUDY
  python -m mmdpo retry cluster.mem=128G
  python -m mmdpo logs nano beta0.1 --follow
  python -m mmdpo cancel nano beta0.3
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
    for name in COMMANDS.names():
        COMMANDS.load(name)(commands)
    return parser
