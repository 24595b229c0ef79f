"""Checks of the models of a command, before its first point starts or anything is submitted."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from mmdpo.config.choices import Runner, Stage
from mmdpo.config.schema import Config
from mmdpo.console import print_line
from mmdpo.errors import UserError
from mmdpo.models.fingerprints import hub_failure
from mmdpo.models.model_files import model_problems

TRAINING_STAGES = (Stage.reference, Stage.train, Stage.experiment)
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
    if stage is Stage.experiment:
        before = {config.model.before_visual_tuning for config in configs}
        uses |= {(path, "before_visual_tuning", False) for path in before if path}
    problems = list(dict.fromkeys(problem for use in sorted(uses) for problem in _problems(*use, stage)))
    unknown = [problem for path, key, _ in sorted(uses) if (problem := hub_failure(path, f"model.{key}"))]
    if configs[0].cluster.runner is Runner.slurm:
        for problem in dict.fromkeys(unknown):
            print_line(f"{problem} The jobs will ask again.")
    else:
        problems += dict.fromkeys(unknown)
    if problems:
        raise UserError("\n".join(problems))


def _uses_model(config: Config, stage: Stage) -> bool:
    return stage is not Stage.sample or config.generator.sampler == "model"


def _problems(path: str, key: str, trained: bool, stage: Stage) -> Iterator[str]:
    for problem in model_problems(path, trained and stage in TRAINING_STAGES):
        yield problem.replace("model.path=", f"model.{key}=")
