"""From Hydra to a run: what a launch line's configs and their `stage` ask for."""

from __future__ import annotations

import gc
from collections.abc import Iterable
from pathlib import Path

from hydra.core.utils import JobReturn, JobStatus
from hydra.errors import CompactHydraException
from omegaconf import DictConfig

from mmdpo.config.choices import Runner, Stage
from mmdpo.config.schema import Config
from mmdpo.console import print_line
from mmdpo.entry.compose import typed
from mmdpo.errors import Stopped, UserError
from mmdpo.points.outcome import Outcome


class Refused(CompactHydraException):
    """A message without a traceback; Hydra prints it and exits non-zero."""


def make_study(folder: Path) -> None:
    """Make the folder of a study. Raises Refused where it cannot be."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        reason = f"out={folder.parent}: {folder} cannot be made ({error.strerror}); type out=FOLDER"
        raise Refused(reason) from None


def launch(configs: Iterable[Config], searching: bool = False) -> list[JobReturn]:
    """Run the points of a sweep; a JobReturn each, the failed ones holding their reason.

    `configs` may raise UserError where one is wrong. `searching`: the sweeper chooses further points by
    these scores.
    """
    gc.enable()  # launch.py put it off
    try:
        outcomes = _do([*configs], searching)
    except Stopped as stop:
        print_line(str(stop))
        raise SystemExit(stop.exit_code) from stop
    except UserError as error:
        raise Refused(str(error)) from error
    return [_job_return(outcome) for outcome in outcomes]


def run(composed: DictConfig) -> float | None:
    """Run one point; returns its objective."""
    results = launch(typed(config) for config in [composed])
    values = [result.return_value for result in results]  # raises where one failed
    return values[0] if values else None


def _do(configs: list[Config], searching: bool) -> list[Outcome]:
    stage, dry_run, cluster = configs[0].stage, configs[0].dry_run, configs[0].cluster
    if any((config.stage, config.dry_run) != (stage, dry_run) for config in configs):
        raise UserError("stage and dry_run cannot be swept: give each one value")
    if any(config.cluster != cluster for config in configs):
        raise UserError(
            "cluster and its settings cannot be swept: give each one value; one with commas is quoted for "
            "the shell and for Hydra, as in \"cluster.exclude='n1,n2'\""
        )
    if dry_run:
        _describe(configs, stage)
        raise SystemExit(0)  # a searching sweeper would ask for scores and go on
    for study in {Path(config.out, config.study) for config in configs}:
        make_study(study)
    if any(config.logprob_avg for config in configs):
        print_line(
            "logprob_avg=true: beta means something else now. It weighs the mean log-prob of a token and not "
            "the sum over an answer, so the same beta pulls less, by the answer's length"
        )
    if cluster.runner is Runner.slurm and stage is not Stage.report:
        return _on_slurm(configs, stage, searching)
    from mmdpo.sweep.local import run_stage, run_sweep

    return run_sweep(configs) if stage is Stage.experiment else run_stage(configs, stage)


def _describe(configs: list[Config], stage: Stage) -> None:
    from mmdpo.sweep.local import describe

    describe(configs, stage)
    if configs[0].cluster.runner is Runner.slurm and stage is not Stage.report:
        from mmdpo.slurm.launch import preview

        preview(configs, stage)


def _on_slurm(configs: list[Config], stage: Stage, searching: bool) -> list[Outcome]:
    from mmdpo.slurm.launch import launch as submit

    if searching and not configs[0].cluster.wait:
        raise UserError("cluster.wait=false: this sweeper chooses points by scores; type cluster.wait=true")
    outcomes = submit(configs, stage)
    if outcomes is None and searching:
        raise SystemExit(0)
    return outcomes or []


def _job_return(outcome: Outcome) -> JobReturn:
    status = JobStatus.FAILED if outcome.error else JobStatus.COMPLETED
    result = JobReturn(overrides=[outcome.point.name], status=status)
    reason = f"failed: {outcome.error}\nThe same line again tries it once more."
    result.return_value = Refused(reason) if outcome.error else outcome.objective
    return result
