"""Commands for studies on SLURM: retry, cancel, logs."""

from __future__ import annotations

import argparse

from mmdpo.analysis.find import find_study
from mmdpo.console import print_line


def retry(options: argparse.Namespace) -> int:
    """Submit a study's failed and missing points again."""
    from mmdpo.slurm.commands import retry as submit_again

    named = [*filter(None, [options.study]), *options.words]
    first = named[:1] if named and "=" not in named[0] else []  # without STUDY an override comes first
    study = find_study(*first or [None])
    count = submit_again(study, named[len(first) :])
    print_line(f"{count} submitted; next: python -m mmdpo status {study}")
    return 0


def cancel(options: argparse.Namespace) -> int:
    """Cancel a study's jobs, or those of some of its points."""
    from mmdpo.slurm.commands import cancel as cancel_jobs

    study = find_study(options.study)
    count = cancel_jobs(study, options.words)
    print_line(f"{study}: {count} cancelled; checkpoints are kept")
    print_line(f"to continue: python -m mmdpo retry {study}")
    return 0


def logs(options: argparse.Namespace) -> int:
    """Print the log of a point's last attempt."""
    from mmdpo.slurm.commands import logs as print_logs

    print_logs(find_study(options.study), options.point, options.rank, options.follow)
    return 0
