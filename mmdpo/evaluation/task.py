"""A benchmark as data: samples, a solver that answers them, a scorer for the answers, and metrics over the scores.

Tables, figures and reports read labels, scales and the order of benchmarks from here. This module and the files in
`tasks/` import no torch: the commands that only look at results load them too.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cache
from pathlib import Path
from typing import Any, Protocol

from mmdpo.config.choices import BENCHMARKS
from mmdpo.config.schema import BenchConfig
from mmdpo.files import file_fingerprint, fingerprint
from mmdpo.records import Prompt, Rating, Turn, Unscored

WITHOUT_REQUEST = "without_request"
"""The second phrasing of a task for a model that is asked for ratings: without them."""

Statistic = Callable[..., Any]
"""A function of one array [..., N] per column and a keyword `axis`; it returns an array [...]."""


class Cluster(StrEnum):
    """Feature that items of a task share; intervals resample whole clusters."""

    item = "item"  # each item stands alone
    image = "image"
    question = "question"


@dataclass(frozen=True)
class Response:
    """A model's answer to one sample.

    Attributes:
        id: The sample's id.
        question: The question as the sample holds it, without what a method adds to it.
        answer: The last text that the model generated.
        category: The sample's category.
        history: Turns before the last one that the model answered itself, for solvers with several turns.
        values: Numbers that a solver reads in addition to the text, such as probabilities of first tokens.
    """

    id: str
    question: str
    answer: str
    category: str = ""
    history: tuple[Turn, ...] = ()
    values: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Verdict:
    """A scorer's result for one response: a score and named parts of it, or the reason why there is none."""

    score: float | None
    parts: Mapping[str, float] = field(default_factory=dict)
    reason: str = ""


@dataclass(frozen=True)
class Judgment:
    """A verdict as it is stored, with what metrics and comparisons need to know of the item.

    Attributes:
        id: The sample's id.
        score: The score on the scale of the task's main metric; None for an unscored item.
        parts: Further values of the item, by the names that the task's metrics use.
        words: The number of words in the answer.
        groups: The item's group by kind of group, such as {"category": "math"}.
        cluster: The name of the cluster that the item belongs to.
        reason: The reason why an item is unscored.
    """

    id: str
    score: float | None
    parts: dict[str, float]
    words: int
    groups: dict[str, str] = field(default_factory=dict)
    cluster: str = ""
    reason: str = ""


class Inference(Protocol):
    """A loaded model as a solver uses it."""

    def generate(self, prompts: Sequence[Prompt]) -> list[str]:
        """Generate one greedy answer per prompt, in their order."""
        ...


class Judge(Protocol):
    """A source of ratings as a scorer uses it: fixed rules, or a service that is paid per call."""

    def rate(self, items: Sequence[tuple[Prompt, str]]) -> Sequence[Rating | Unscored]:
        """Rate one answer per prompt, in their order. Raises Stopped if a limit of the service ends the run."""
        ...


Samples = Callable[[BenchConfig, Path], list[Prompt]]
Solver = Callable[[Inference, Sequence[Prompt]], list[Response]]
Scorer = Callable[[Sequence[tuple[Prompt, Response]], Judge], Sequence[Verdict]]


@dataclass(frozen=True)
class Metric:
    """A statistic over the scored items of a task.

    Attributes:
        name: The metric's name in score keys, as in `scores.<task>/<name>`.
        columns: The values of a judgment that the statistic takes: `score`, `words` or names of parts.
        statistic: The function of these columns; None is the mean of a single column.
        label: The heading in tables and figures; empty for the name.
        scale: The lowest and highest possible value; None for a metric without limits.
        higher_is_better: Whether a higher value is better; None for a metric that only describes.
    """

    name: str
    columns: tuple[str, ...]
    statistic: Statistic | None = None
    label: str = ""
    scale: tuple[float, float] | None = None
    higher_is_better: bool | None = True


@dataclass(frozen=True)
class Task:
    """One benchmark. Its name is the name of the file that defines it.

    Attributes:
        label: The heading of the benchmark in figures and reports.
        samples: Make the samples; images are written below the folder that it is given.
        solver: Answer the samples with a model.
        scorer: Score the answers, with a judge's ratings where the task needs them.
        metrics: The statistics over the scored items, in the order of tables.
        main_metric: The name of the metric whose value is the score of the task.
        groups: Kinds of groups whose scores are shown apart: `category`, or names of the samples' facts.
        cluster: What the items share; intervals resample whole clusters.
        files: List the files that the samples are read from; their content is part of the task's identity.
        version: A number to raise when samples or scores change for the same settings and files.
        order: The place among the benchmarks in tables, figures and reports; lower comes first.
        package: The package whose code makes the samples; a change of it makes cached samples again.
    """

    label: str
    samples: Samples
    solver: Solver
    scorer: Scorer
    metrics: tuple[Metric, ...]
    main_metric: str
    groups: tuple[str, ...] = ()
    cluster: Cluster = Cluster.item
    files: Callable[[BenchConfig], Sequence[Path]] = lambda bench: ()
    version: int = 1
    order: int = 100
    package: str | None = None

    def __post_init__(self) -> None:
        """Refuse a main metric that the task does not have."""
        if self.metric(self.main_metric) is None:
            names = ", ".join(metric.name for metric in self.metrics)
            raise ValueError(f"main_metric={self.main_metric!r}: the task's metrics are {names}")

    @property
    def main(self) -> Metric:
        """The main metric."""
        return next(metric for metric in self.metrics if metric.name == self.main_metric)

    @property
    def scale(self) -> tuple[float, float] | None:
        """The lowest and highest possible score; None for scores without limits."""
        return self.main.scale

    @property
    def higher_is_better(self) -> bool:
        """True if a higher score is better."""
        return self.main.higher_is_better is not False

    def metric(self, name: str) -> Metric | None:
        """Return the metric of this name; None if the task has none."""
        return next((metric for metric in self.metrics if metric.name == name), None)

    def cluster_of(self, prompt: Prompt) -> str:
        """Name the cluster of an item; an item without an image is its own cluster of `image`."""
        names = {
            Cluster.item: prompt.id,
            Cluster.image: "\n".join(prompt.images) or prompt.id,
            Cluster.question: prompt.question,
        }
        return names[self.cluster]

    def fingerprint(self, bench: BenchConfig) -> str:
        """Fingerprint what the task's scores depend on besides the settings: its version and its files' content."""
        return fingerprint([self.version, *map(file_fingerprint, self.files(bench))])


@cache
def load_task(name: str) -> Task:
    """Return the task that `bench.tasks` names. Raises UserError naming the choices for an unknown one."""
    task: Task = BENCHMARKS.load(name)
    return task


def find_task(name: str) -> Task | None:
    """Return the task of this name; None for one that this version does not have."""
    return load_task(name) if name in BENCHMARKS.names() else None


def in_order(names: Sequence[str]) -> list[str]:
    """Sort names of tasks by the order that the tasks declare; unknown ones come last, as they were."""
    known = {name: task for name in names if (task := find_task(name)) is not None}
    return [*sorted(known, key=lambda name: known[name].order), *(name for name in names if name not in known)]
