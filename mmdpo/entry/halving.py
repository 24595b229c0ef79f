"""search=halving on the command line: the dev split, what it is not combined with, and the best result at the end."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from mmdpo.config.choices import Runner, SearchKind, Split, Stage
from mmdpo.config.presets import preset_values
from mmdpo.config.schema import Config
from mmdpo.config.search_settings import SearchConfig
from mmdpo.console import print_line
from mmdpo.entry.search import SPLIT, command_on_test, typed_value
from mmdpo.errors import UserError
from mmdpo.points.rungs import rung_name

if TYPE_CHECKING:
    from hydra.core.utils import JobReturn

KEY = "search"
BATCHES = "hydra.sweeper.max_batch_size"


def halving_overrides(overrides: Sequence[str]) -> list[str]:
    """Return the split that a halving search adds to the typed overrides: its points are compared on dev.

    Raises UserError if the points would come in batches, of which each would be ranked before the next one begins.
    """
    chosen = typed_value(overrides, KEY)
    kind = (preset_values(KEY, chosen) or {}).get("kind") if chosen else None
    if kind != SearchKind.halving.value:
        return []
    if (size := typed_value(overrides, BATCHES)) not in (None, "null"):
        raise UserError(f"{BATCHES}={size}: {KEY}={chosen} ranks all points of a command together; drop it")
    return [f"{SPLIT}=dev"] if typed_value(overrides, SPLIT) is None else []


def search_problems(search: SearchConfig) -> Iterator[str]:
    """Describe what is wrong with the settings of a search, with the override to type."""
    if search.kind is SearchKind.none:
        return
    if not search.rungs or sorted(set(search.rungs)) != search.rungs:
        yield f"search.rungs={search.rungs}: must rise, as in search.rungs=[0.25,0.5]"
    elif len({rung_name(share) for share in search.rungs}) < len(search.rungs):
        yield f"search.rungs={search.rungs}: two of them are almost the same; type search.rungs=[0.25,0.5]"


def check_halving(configs: Sequence[Config], stage: Stage, searching: bool, processes: int) -> None:
    """Check a halving search against the rest of its command.

    Args:
        configs: The config of each point.
        stage: The stage of the command.
        searching: Whether the sweeper chooses points by their scores.
        processes: The number of processes that run the command together.

    Raises:
        UserError: The search differs between points, or cannot be combined with the sweeper, or with several processes,
            or the score has no scale.
    """
    from mmdpo.sweep.rung_decisions import scale_of

    search = configs[0].search
    if any(config.search != search or config.objective != configs[0].objective for config in configs):
        raise UserError("search, its settings and objective cannot be swept: give each one value")
    if search.kind is SearchKind.none or stage not in (Stage.experiment, Stage.train):
        return
    if searching:
        raise UserError("search=halving: a searching sweeper prunes by itself; drop search= or hydra/sweeper=")
    scale_of(configs[0].objective)
    if processes > 1 and configs[0].cluster.runner is not Runner.slurm:
        raise UserError("search=halving: torchrun and srun run one point; type cluster=slurm, or search=none")


def without_pruned(configs: list[Config], stage: Stage) -> list[Config]:
    """Leave out the points that a halving search has pruned, of a stage that needs the end of a training."""
    if configs[0].search.kind is SearchKind.none or stage not in (Stage.evaluate, Stage.judge):
        return configs
    from mmdpo.points.point import points_of
    from mmdpo.sweep.halving import not_pruned

    points = points_of(configs)
    left = {p.folder for p in not_pruned(points)}
    found = [config for config, p in zip(configs, points, strict=True) if p.folder in left]
    if len(found) < len(configs):
        print_line(f"{len(configs) - len(found)} pruned points are left out; search=none trains them to the end")
    return found or configs


def check_halving_split(configs: Sequence[Config], points: Sequence[Sequence[str]]) -> None:
    """Raise UserError if a search that a file chooses would end on the test split without having been asked to.

    Args:
        configs: The config of each point.
        points: The overrides of each point.
    """
    from mmdpo.sweep.halving import is_halved

    for config, overrides in zip(configs, points, strict=False):
        halves = is_halved(config, config.stage)
        if halves and config.bench.split is Split.test and typed_value(overrides, SPLIT) is None:
            raise UserError(
                f"search={config.search.name}: prunes by {SPLIT}=dev, and its best result would be chosen by {SPLIT}="
                f"test; type {SPLIT}=dev, or {SPLIT}=test to choose by it anyway"
            )


def print_best_result(configs: Sequence[Config], points: Sequence[Sequence[str]], results: Sequence[JobReturn]) -> None:
    """Print the best result of a halving search over its seeds, and the command that measures it on the test split.

    Args:
        configs: The config of each point.
        points: The overrides of each point.
        results: What became of each point; a pruned one has no value.
    """
    from hydra.core.utils import JobStatus

    from mmdpo.analysis.labels import sign

    if not configs or configs[0].search.kind is SearchKind.none or configs[0].stage is not Stage.experiment:
        return
    values: dict[tuple[str, ...], list[tuple[Config, float]]] = {}
    for config, overrides, result in zip(configs, points, results, strict=False):
        if result.status is JobStatus.COMPLETED and result.return_value is not None:
            key = tuple(text for text in overrides if not text.startswith("seed="))
            values.setdefault(key, []).append((config, float(result.return_value)))
    if not values:
        return
    objective, split = configs[0].objective, configs[0].bench.split.value
    means = {key: sum(value for _, value in found) / len(found) for key, found in values.items()}
    best = max(means, key=lambda key: sign(objective) * means[key])
    seeds = sorted({config.seed for config, _ in values[best]})
    ended = f"best result ({len(values)} trained to the end)"
    print_line(f"{ended}: {' '.join(best)}: {objective} {means[best]:.4g} ({SPLIT}={split})")
    if split == "dev":
        command = command_on_test(best, configs[0].study, seeds)
        print_line(f"measure it on the test split: {command}")
