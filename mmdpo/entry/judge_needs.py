"""Needs of the judges of a command, checked before its first point starts: a key, and a model that is still served."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import date

from mmdpo.clients.keys import api_key
from mmdpo.config.choices import CLIENTS, JudgePlace, Runner, Stage
from mmdpo.config.schema import Config, JudgeConfig
from mmdpo.console import print_line
from mmdpo.entry.bench_checks import uses_judge
from mmdpo.entry.judge_checks import shutdown_of
from mmdpo.errors import UserError
from mmdpo.evaluation.service_judge import JUDGE_GROUP

NEAR = 60  # days before a shutdown from which it is warned of


def require_judges(configs: Sequence[Config], stage: Stage, dry_run: bool = False) -> None:
    """Check the services that a command asks; print a warning for a model that ends soon.

    Points that are finished need no judge.

    Args:
        configs: The configs of the points, which share a cluster.
        stage: The stage to run.
        dry_run: Whether nothing is asked, so that no key is needed.

    Raises:
        UserError: A key is missing or a model is no longer served. The message names what to set or type.
    """
    problems: list[str] = []
    for judge in _unique(config.judge for config in configs if stage in (Stage.annotate, Stage.teacher)):
        for problem in _shutdown_problems(judge, "judge", date.today()):
            print_line(f"warning: {problem}")  # the data may be there already
    asked = [config for config in configs if stage in (Stage.judge, Stage.experiment) and uses_judge(config.bench)]
    for judge in _unique(config.bench.judge for config in asked):
        problems += _shutdown_problems(judge, JUDGE_GROUP, date.today())
    if not dry_run:
        for judge in _unique(config.bench.judge for config in asked if _asks_here(config, stage)):
            problems += _key_problems(judge, JUDGE_GROUP)
    if problems and not _all_done(configs, stage):
        raise UserError("\n".join(problems))


def _unique(judges: Iterable[JudgeConfig]) -> list[JudgeConfig]:
    return list({repr(judge): judge for judge in judges if judge.client in CLIENTS.names()}.values())


def _asks_here(config: Config, stage: Stage) -> bool:
    """Return whether this command asks the judge, and no job of SLURM or later command does."""
    cluster = config.cluster
    if cluster.runner is not Runner.slurm:
        return True
    return cluster.judge is JudgePlace.login and (stage is Stage.judge or cluster.wait)


def _key_problems(judge: JudgeConfig, key: str) -> Iterator[str]:
    try:
        api_key(judge.api_key, f"{key}={judge.name}", judge.base_url)
    except UserError as error:
        yield str(error)


def _shutdown_problems(judge: JudgeConfig, key: str, today: date) -> Iterator[str]:
    """Yield the problem of a model that is no longer served; print a warning for one that ends soon."""
    end = shutdown_of(judge)
    if end is None or judge.base_url is not None:
        return
    name = f"{key}.model={judge.model}"
    if end <= today:
        yield (
            f"{name}: the service ended this model on {end}; type another {key}.model= with its {key}.shutdown=null. "
            f"If the journal holds all its replies, {key}.shutdown=null alone reads them"
        )
    elif (end - today).days <= NEAR:
        print_line(
            f"warning: {name}: the service ends this model on {end}, in {(end - today).days} days; scores of another "
            "judge cannot be compared with its scores"
        )


def _all_done(configs: Sequence[Config], stage: Stage) -> bool:
    """Return whether all points are finished, so that no judge is asked."""
    from mmdpo.points.point import is_judged_again, points_of
    from mmdpo.points.status import is_done

    return all(is_done(p.folder) and not is_judged_again(p, stage) for p in points_of(configs))
