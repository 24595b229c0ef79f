"""Check of the benchmarks' files of a command, before its first point starts or anything is submitted."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path

from mmdpo.config.choices import Stage
from mmdpo.config.schema import Config
from mmdpo.errors import UserError
from mmdpo.evaluation.file_checks import check_file_keys, file_problems
from mmdpo.leftovers import temporary_prefix
from mmdpo.training.distributed import rank

STAGES = (Stage.evaluate, Stage.judge, Stage.experiment)


def require_bench_files(configs: Sequence[Config], stage: Stage, dry_run: bool = False) -> None:
    """Check the files of the benchmarks that a stage measures. Judging needs no images of most tasks.

    Args:
        configs: The configs of the points.
        stage: The stage to run.
        dry_run: Whether nothing may be written, not even to the cache.

    Raises:
        UserError: A file is missing or wrong, or images that it names are missing. The message names every problem and
            the command that looks at all files.
    """
    if stage not in STAGES or rank() != 0:
        return
    benches = {repr(config.bench): config.bench for config in configs}.values()
    problems: list[str] = []
    with tempfile.TemporaryDirectory(prefix=temporary_prefix()) as folder:
        for bench in benches:
            check_file_keys(bench)
            problems += file_problems(bench, stage is not Stage.judge, Path(folder) if dry_run else None)
    if problems:
        first = configs[0].bench
        command = f"python -m mmdpo doctor bench={first.name} bench.root={first.root}"
        raise UserError("\n".join([*dict.fromkeys(problems), f"To see all files: {command}"]))
