"""Arguments that several commands share."""

from __future__ import annotations

import argparse

Commands = argparse._SubParsersAction
"""The commands of the parser, to which each file of mmdpo/cli adds its own."""


def add_study(command: argparse.ArgumentParser) -> None:
    """Add the optional name of a study."""
    command.add_argument("study", nargs="?", metavar="STUDY", help="folder or name; default: the newest")
