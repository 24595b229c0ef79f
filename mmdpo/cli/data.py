"""Commands for data: doctor."""

from __future__ import annotations

import argparse
from pathlib import Path


def doctor(options: argparse.Namespace) -> int:
    """Report which files of a data set are there and usable. Returns 1 if something is missing or wrong."""
    from mmdpo.console import make_console
    from mmdpo.entry.compose import compose_data
    from mmdpo.sources.doctor_report import print_report

    directory = Path(options.config_dir) if options.config_dir else None
    data, judge = compose_data(options.overrides, directory)
    words = [*(["--config-dir", options.config_dir] if directory else []), *options.overrides]
    return 0 if print_report(data, judge, words, make_console()) else 1
