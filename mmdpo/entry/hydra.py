"""Start a run from Hydra: dispatch the configs of a command by their stage and cluster."""

from __future__ import annotations

import gc
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from hydra.core.hydra_config import HydraConfig
from hydra.core.utils import JobReturn, JobStatus
from hydra.errors import CompactHydraException
from hydra.types import RunMode
from omegaconf import DictConfig

from mmdpo.config.choices import AdapterUse, JudgePlace, Runner, Stage
from mmdpo.config.judging_place import is_judged_apart
from mmdpo.config.schema import Config
from mmdpo.console import print_line, printable
from mmdpo.entry.bench_file_checks import require_bench_files
from mmdpo.entry.compose_points import compose_points
from mmdpo.entry.halving import check_halving, without_pruned
from mmdpo.entry.judge_needs import require_judges
from mmdpo.entry.library_checks import require_libraries
from mmdpo.entry.model_checks import require_models
from mmdpo.entry.plan_checks import check_plans
from mmdpo.entry.plan_record import record_plans
from mmdpo.entry.typed_keys import TypedKeys
from mmdpo.errors import Stopped, UserError
from mmdpo.leftovers import remove_leftovers, use_own_temporary_folder
from mmdpo.models.adapter_files import check_adapter_header
from mmdpo.models.adapter_match import start_mismatch
from mmdpo.points import commands
from mmdpo.points.outcome import Outcome
from mmdpo.points.point import Point
from mmdpo.points.rounds import last_rounds, with_rounds
from mmdpo.signals import Interrupted, listening
from mmdpo.storage import translate_storage_errors
from mmdpo.training.distributed import rank, world_size

if TYPE_CHECKING:
    from mmdpo.sweep.local import Prune


class Refused(CompactHydraException):
    """An error whose message Hydra prints without a traceback, with a non-zero exit code."""

    def __init__(self, message: str) -> None:
        """Make the message printable: it may quote a file or a server."""
        super().__init__(printable(message))


def make_study(folder: Path) -> None:
    """Create the folder of a study. Raises Refused if that fails."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        reason = f"out={folder.parent}: {folder} cannot be made ({error.strerror}); type out=FOLDER"
        raise Refused(reason) from None


def launch(configs: Iterable[Config], searching: bool = False, prune: Prune | None = None) -> list[JobReturn]:
    """Run the points of a sweep.

    Args:
        configs: The config of each point. Iterating may raise UserError if one is wrong.
        searching: Whether the sweeper chooses further points by the scores of these.
        prune: Function that trains points to rungs first; None to train each to the end.

    Returns:
        One JobReturn per point with its objective; failed ones hold their reason, and pruned ones nothing.

    Raises:
        Refused: A config is wrong, or the points cannot run. The message says which override to type.
    """
    gc.enable()  # launch.py disabled it
    try:
        with translate_storage_errors():
            asked = [*configs]
            outcomes = _of_last_rounds(asked, _dispatch_noted(with_rounds(asked), searching, prune))
    except Stopped as stop:
        print_line(str(stop))
        raise SystemExit(stop.exit_code) from stop
    except UserError as error:
        raise Refused(str(error)) from error
    return [_job_return(outcome, searching) for outcome in outcomes]


def _of_last_rounds(configs: Sequence[Config], outcomes: list[Outcome]) -> list[Outcome]:
    """Return the outcome of each config's last round; other stages than `experiment` have an outcome per point."""
    if configs[0].stage is not Stage.experiment or len(outcomes) < len(with_rounds(configs)):
        return outcomes
    return last_rounds(configs, outcomes)


def _dispatch_noted(configs: list[Config], searching: bool, prune: Prune | None) -> list[Outcome]:
    """Dispatch the points, and note in commands.jsonl of their studies how the command ended."""
    try:
        outcomes = dispatch(configs, searching, prune)
    except BaseException as error:
        interrupted = isinstance(error, KeyboardInterrupt | Interrupted)
        submitted = isinstance(error, SystemExit) and not error.code
        reason = str(error) or type(error).__name__
        commands.end("interrupted" if interrupted else "submitted" if submitted else f"stopped: {reason}")
        raise
    failed = sum(one.error is not None for one in outcomes)
    waits = configs[0].cluster.runner is not Runner.slurm or configs[0].stage is Stage.report or bool(outcomes)
    commands.end(f"{failed} points failed" if failed else "done" if waits else "submitted")
    return outcomes


def run(composed: DictConfig) -> float | None:
    """Run one point and return its objective.

    Raises Refused in a sweep, whose points mmdpo's launcher runs together.
    """
    if HydraConfig.get().mode is RunMode.MULTIRUN:
        raise Refused("hydra/launcher: another launcher would run each point as if it were alone; drop it")
    overrides = list(HydraConfig.get().overrides.task)
    results = launch(compose_points(lambda _: composed, [overrides], TypedKeys()))
    values = [result.return_value for result in results]  # raises if one failed
    return values[0] if values else None


def dispatch(configs: list[Config], searching: bool, prune: Prune | None = None) -> list[Outcome]:
    """Describe the points, run them on this machine, or submit them to SLURM, as their shared settings say.

    Args:
        configs: The config of each point, checked.
        searching: Whether the sweeper needs the points' scores.
        prune: Function that trains points to rungs first; None to train each to the end.

    Returns:
        The outcome of each point; none for points that were submitted and are not waited for.

    Raises:
        UserError: Settings that all points must share differ, or the points cannot run.
    """
    stage, dry_run, cluster = configs[0].stage, configs[0].dry_run, configs[0].cluster
    if any((config.stage, config.dry_run) != (stage, dry_run) for config in configs):
        raise UserError("stage and dry_run cannot be swept: give each one value")
    if any(config.cluster != cluster for config in configs):
        raise UserError(
            "cluster and its settings cannot be swept: give each one value; one with commas is quoted for "
            "the shell and for Hydra, as in \"cluster.exclude='n1,n2'\""
        )
    check_plans(configs, stage, searching)
    check_halving(configs, stage, searching, world_size())
    configs = without_pruned(configs, stage)
    require_libraries(configs)
    require_models(configs, stage)
    _check_adapters(configs)
    require_bench_files(configs, stage, dry_run)
    require_judges(configs, stage, dry_run)
    if dry_run:
        _check_own_data(configs, stage)
        _describe(configs, stage)
        raise SystemExit(0)  # a searching sweeper would ask for scores and continue
    for study in {Path(config.out, config.study) for config in configs}:
        make_study(study)
        if rank() == 0:
            remove_leftovers(study)
    if rank() == 0:
        record_plans(configs, stage, searching)
    if any(config.logprob_avg for config in configs):
        print_line("With logprob_avg=true the loss uses the mean log-prob per token; use a larger beta.")
    if cluster.runner is Runner.slurm and stage is not Stage.report and not _judged_here(configs, stage):
        _check_own_data(configs, stage)
        return _on_slurm(configs, stage, searching)
    from mmdpo.sweep.local import run_stage, run_sweep

    use_own_temporary_folder()  # not before jobs are submitted: they inherit this process's environment
    with listening():
        return run_sweep(configs, prune) if stage is Stage.experiment else run_stage(configs, stage)


def _judged_here(configs: list[Config], stage: Stage) -> bool:
    """Return whether a service judges answers from this machine: nodes often have no network."""
    apart = is_judged_apart(configs[0].bench.judge.client, configs[0].cluster.runner)
    return apart and stage is Stage.judge and configs[0].cluster.judge is JudgePlace.login


def _check_own_data(configs: list[Config], stage: Stage) -> None:
    """Raise UserError for wrong rows of the user's own data, before a point is planned or submitted."""
    from mmdpo.pipeline.training_sets import check_own_data
    from mmdpo.points.point import points_of
    from mmdpo.points.status import is_done

    if stage in (Stage.experiment, Stage.train):
        own = [config for config in configs if config.data.is_own]
        check_own_data(p.config for p in (points_of(own) if own else []) if not is_done(p.folder))


def _check_adapters(configs: list[Config]) -> None:
    """Raise UserError for a damaged `generator.adapter` or `model.adapter`, before a GPU is asked for.

    So does a `model.adapter` that is to be trained further and has other settings than the LoRA.
    """
    given = {("generator.adapter", config.generator.adapter) for config in configs}
    given |= {("model.adapter", config.model.adapter) for config in configs}
    for key, adapter in sorted((key, adapter) for key, adapter in given if adapter):
        try:
            check_adapter_header(Path(adapter))
        except UserError as error:
            raise UserError(f"{key}={adapter}: {error}; type {key}=STUDY/POINT/adapter") from error
    for config in configs:
        model = config.model
        if model.adapter is None or config.round > 1 or config.is_base or model.adapter_use is not AdapterUse.train:
            continue
        if mismatch := start_mismatch(Path(model.adapter), model):
            raise UserError(mismatch)


def _describe(configs: list[Config], stage: Stage) -> None:
    from mmdpo.sweep.local import describe

    describe(configs, stage)
    if configs[0].cluster.runner is Runner.slurm and stage is not Stage.report and not _judged_here(configs, stage):
        from mmdpo.points.point import points_of
        from mmdpo.points.status import is_stage_done
        from mmdpo.slurm.preview import preview
        from mmdpo.sweep.hours import hours_lines

        preview([config for config in configs if config.round == 1], stage, hours_lines)
        if later := [config for config in configs if config.round > 1]:
            last = max(config.round for config in later)
            rounds = "round 2" if last == 2 else f"rounds 2 to {last}"
            print_line(f"{rounds}: submitted by this command when the round before has ended")
            missing = [p for p in points_of(later) if not is_stage_done(p.folder, stage, p.config.bench.tasks)]
            for line in [] if configs[0].cluster.minutes_per_point else hours_lines(missing, stage):
                print_line(f"{rounds}: {line}")


def _on_slurm(configs: list[Config], stage: Stage, searching: bool) -> list[Outcome]:
    from mmdpo.pipeline.evaluating import close_batch_jobs
    from mmdpo.pipeline.point_stages import run_data_stage
    from mmdpo.slurm.launch import submit_and_watch
    from mmdpo.slurm.rounds import require_waiting, submit_rounds
    from mmdpo.sweep.run_point import run_point

    if searching and not configs[0].cluster.wait:
        raise UserError("cluster.wait=false: this sweeper chooses points by scores; type cluster.wait=true")

    def submit(some: Sequence[Config], of_stage: Stage) -> list[Outcome] | None:
        return submit_and_watch(some, of_stage, lambda p: run_point(p, Stage.judge), _judge_rung)

    if any(config.round > 1 for config in configs):
        require_waiting(configs[0])
        outcomes = submit_rounds(configs, stage, submit, lambda config: run_data_stage(config, Stage.annotate))
    else:
        outcomes = submit(configs, stage)
    if outcomes is not None:
        close_batch_jobs(configs)
    if outcomes is None and searching:
        raise SystemExit(0)
    return outcomes or []


def _judge_rung(p: Point, share: float) -> None:
    from mmdpo.pipeline.rungs import judge_rung

    with listening():
        judge_rung(p, share)


def _job_return(outcome: Outcome, searching: bool) -> JobReturn:
    error = outcome.error
    if searching and error is None and outcome.objective is None and outcome.pruned is None:
        error = f"objective={outcome.point.config.objective}: the point has no such score; name another"
    result = JobReturn(overrides=[outcome.point.name], status=JobStatus.FAILED if error else JobStatus.COMPLETED)
    reason = f"failed: {error}\nRerun the same command to retry."
    result.return_value = Refused(reason) if error else outcome.objective
    return result
