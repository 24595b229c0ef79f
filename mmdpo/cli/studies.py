"""Commands for studies: status, report, compare."""

from __future__ import annotations

import argparse

from mmdpo.analysis.find import find_point, find_study


def status(options: argparse.Namespace) -> int:
    """Print the table of a study, finished or not. Returns 1 if a point failed."""
    from mmdpo.analysis.table import print_table
    from mmdpo.console import make_console
    from mmdpo.slurm.study_status import read

    study = read(find_study(options.study))
    print_table(study, make_console())
    return 1 if study.failed else 0


def report(options: argparse.Namespace) -> int:
    """Write summary.csv, figures/ and report.html of a study."""
    from mmdpo.analysis.report import write_report

    write_report(find_study(options.study))
    return 0


def compare(options: argparse.Namespace) -> int:
    """Print the paired differences of two points."""
    from mmdpo.analysis.compare import compare as compare_points
    from mmdpo.analysis.compare import comparison_notes, comparison_table
    from mmdpo.console import make_console

    comparison = compare_points(find_point(options.a), find_point(options.b))
    console = make_console()
    console.print(comparison_table(comparison))
    for note in comparison_notes(comparison):
        console.print(note, style="dim", markup=False)
    return 0
