"""Checks of a study's plan: of each point's config, and of all points of a command together."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from mmdpo.config.choices import Split, Stage
from mmdpo.config.field_checks import unknown_choice
from mmdpo.config.plan_settings import PlanConfig
from mmdpo.config.schema import AXES, Config
from mmdpo.errors import UserError

COMPARABLE_AXES = ("method", *(axis for axis in AXES if axis != "seed"))
TRAINING = (Stage.experiment, Stage.train)
"""Stages that train points."""


def plan_problems(config: Config) -> Iterator[str]:
    """Describe what is wrong with a plan, with the override to type."""
    plan = config.plan
    if plan.primary is None:
        if plan != PlanConfig():
            named = next(iter(config.bench.tasks), "NAME")
            yield f"plan.primary: a plan names the benchmark that decides; type plan.primary={named}"
        return
    if plan.primary not in config.bench.tasks:
        yield unknown_choice("plan.primary", plan.primary, config.bench.tasks)
    if not (plan.hypothesis or "").strip():
        yield "plan.hypothesis: say what is expected, as in \"plan.hypothesis='DPO recovers text skill'\""
    if len(set(plan.seeds)) < len(plan.seeds):
        yield f"plan.seeds={plan.seeds}: names a seed twice"
    for key, values in (("compared", plan.compared), ("against", plan.against)):
        for axis, value in values.items():
            if axis not in COMPARABLE_AXES:
                yield unknown_choice(f"plan.{key}", axis, COMPARABLE_AXES)
            elif isinstance(value, list | dict):
                yield f"plan.{key}.{axis}={value}: must be one value, as in plan.{key}={{{axis}:VALUE}}"


def check_plans(configs: Sequence[Config], stage: Stage, searching: bool) -> None:
    """Check the plan of a command.

    Args:
        configs: The config of each point.
        stage: The stage of the command.
        searching: Whether the sweeper chooses points by their scores.

    Raises:
        UserError: The plan differs between points, its seeds are not those that are swept, or it is to be confirmed on
            the split that a search selects on.
    """
    plan = configs[0].plan
    if any(config.plan != plan for config in configs):
        raise UserError("plan cannot be swept: a command has one plan")
    if plan.primary is None:
        return
    from mmdpo.sweep.halving import is_halved

    splits = {config.bench.split for config in configs}
    selected = splits if searching else {Split.dev} if is_halved(configs[0], stage) else set()
    if selected & ({plan.split} if plan.split else splits):
        chosen = ", ".join(sorted(split.value for split in selected))
        raise UserError(
            f"plan.split={plan.split.value if plan.split else chosen}: this search selects points on "
            f"bench.split={chosen}, and a comparison on the same split would flatter them; type bench.split=dev for "
            "the search and plan.split=test for the plan"
        )
    swept = sorted({config.seed for config in configs if not config.is_base})
    if stage in TRAINING and not searching and plan.seeds and swept and sorted(plan.seeds) != swept:
        typed = ",".join(map(str, sorted(plan.seeds)))
        raise UserError(
            f"plan.seeds={sorted(plan.seeds)}: the seeds that are swept are {swept}; type seed={typed}, or "
            f"plan.seeds=[{','.join(map(str, swept))}]"
        )
