"""Checks of the models of a command, before its first point starts or anything is submitted."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from mmdpo.config.choices import Runner, Stage
from mmdpo.config.schema import Config
from mmdpo.console import print_line
from mmdpo.errors import UserError
from mmdpo.models.fingerprints import hub_failure
from mmdpo.models.model_files import causal_problems, model_problems
from mmdpo.points.point import takes_text_only, tasks_without_images

TRAINING_STAGES = (Stage.reference, Stage.measure, Stage.train, Stage.experiment)
BEFORE = "before_visual_tuning"
MODEL_STAGES = (*TRAINING_STAGES, Stage.sample, Stage.evaluate, Stage.export)


def require_models(configs: Sequence[Config], stage: Stage) -> None:
    """Check the models that a stage loads, as far as their files are on this machine.

    Of a hub model that is not in the cache, only metadata is read. One that is neither reachable nor cached is an
    error, except on SLURM, whose nodes may see more than this machine.

    Args:
        configs: The configs of the points, which share a cluster.
        stage: The stage to run.

    Raises:
        UserError: A model cannot be used. The message names every problem, each with the override.
    """
    if stage not in MODEL_STAGES:
        return
    uses = {(config.model.path, "path", not config.is_base) for config in configs if _uses_model(config, stage)}
    problems = list(dict.fromkeys(problem for use in sorted(uses) for problem in _problems(*use, stage)))
    unknown = [problem for path, key, _ in sorted(uses) if (problem := hub_failure(path, f"model.{key}"))]
    if stage is Stage.experiment:
        problems += _problems_before_visual_tuning(configs)
        unknown += filter(None, (_hub_failure_before(path) for path in _paths_before(configs)))
    if configs[0].cluster.runner is Runner.slurm:
        for problem in dict.fromkeys(unknown):
            print_line(f"{problem} The jobs will ask again.")
    else:
        problems += dict.fromkeys(unknown)
    if problems:
        raise UserError("\n".join(problems))


def _uses_model(config: Config, stage: Stage) -> bool:
    return stage is not Stage.sample or config.generator.sampler != "openai"


def _problems(path: str, key: str, trained: bool, stage: Stage) -> Iterator[str]:
    for problem in model_problems(path, trained and stage in TRAINING_STAGES):
        yield problem.replace("model.path=", f"model.{key}=")


def _paths_before(configs: Sequence[Config]) -> list[str]:
    """List the models from before visual tuning that some task can measure, in one order."""
    return sorted(
        {
            path
            for config in configs
            if (path := config.model.before_visual_tuning)
            and (not takes_text_only(path) or tasks_without_images(config))
        }
    )


def _problems_before_visual_tuning(configs: Sequence[Config]) -> list[str]:
    """Describe what is wrong with these models; say which tasks are left out for one that takes no images."""
    problems: list[str] = []
    for path in _paths_before(configs):
        if not takes_text_only(path):
            problems += _problems(path, BEFORE, False, Stage.experiment)
            continue
        problems += causal_problems(path, f"model.{BEFORE}")
        of_path = [config for config in configs if config.model.before_visual_tuning == path]
        tasks = dict.fromkeys(name for config in of_path for name in config.bench.tasks)
        measured = {name for config in of_path for name in tasks_without_images(config)}
        if left_out := [name for name in tasks if name not in measured]:
            print_line(f"model.{BEFORE}={path}: takes no images; it is not measured on {', '.join(left_out)}")
    return problems


def _hub_failure_before(path: str) -> str | None:
    failure = hub_failure(path, f"model.{BEFORE}")
    return failure and f"{failure}; or type model.{BEFORE}=null to leave it out."
