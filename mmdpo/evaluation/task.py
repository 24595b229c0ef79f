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
from mmdpo.evaluation.bench_files import BenchFile, files_of_identity
from mmdpo.evaluation.bench_images import UserImages
from mmdpo.evaluation.detectable import Detectable
from mmdpo.evaluation.judge_requests import JudgeReply, JudgeRequest
from mmdpo.files import file_fingerprint, fingerprint
from mmdpo.models.requests import GenerationRequest
from mmdpo.records import Completion, Prompt, Rating, Turn, Unscored

WITHOUT_REQUEST = "without_request"
"""The second phrasing of a task for a model that is asked for ratings: without them."""

Statistic = Callable[..., Any]
"""A function of one array [..., N] per column and a keyword `axis`; it returns an array [...]."""


class Cluster(StrEnum):
    """Feature that items of a task share; intervals resample whole clusters."""

    item = "item"  # each item stands alone
    image = "image"
    question = "question"


class JudgeUse(StrEnum):
    """Need of a task for `bench.judge`."""

    no = "no"  # nothing: fixed rules score the answers
    rated = "rated"  # ratings by a rubric of mmdpo/judge/rubrics, from rules or a service
    asked = "asked"  # replies of a service to the task's own prompts


TURNS = "turns"
"""Key of `Prompt.facts`: all turns of the user, for `conversation`; the first is the prompt's question."""
CLUSTER = "cluster"
"""Key of `Prompt.facts`: the name of the item's question for `Cluster.question`, where its text does not tell."""
TURN_IMAGES = "turn_images"
"""Key of `Prompt.facts`: the image before each turn after the first, for `conversation`."""


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
        finish_reason: As in `Completion`: `length` for an answer that the limit of tokens cut.
    """

    id: str
    question: str
    answer: str
    category: str = ""
    history: tuple[Turn, ...] = ()
    values: dict[str, float] = field(default_factory=dict)
    finish_reason: str = ""

    @property
    def answers(self) -> tuple[str, ...]:
        """All answers of the model, oldest first."""
        return (*(turn.answer for turn in self.history), self.answer)


@dataclass(frozen=True)
class Verdict:
    """A scorer's result for one item: a score and named parts of it, or the reason why there is none.

    Attributes:
        score: The score on the scale of the task's main metric; None for an unscored item.
        parts: Further values of the item by name. A metric leaves out the items that lack one of its columns.
        reason: The reason why an item is unscored.
        upstream: Values that only the task's `Upstream.scores` reads.
        sample: The id of the sample; empty if verdicts and samples are in the same order, one per sample.
        part: The name of the judged part where a sample has several items, such as `turn_1`.
        groups: The names of groups by kind, in addition to the sample's; those of the kind "" are shown without it.
        answer: The text whose length counts; None for the response's answer.
    """

    score: float | None
    parts: Mapping[str, float] = field(default_factory=dict)
    reason: str = ""
    upstream: Mapping[str, float] = field(default_factory=dict)
    sample: str = ""
    part: str = ""
    groups: Mapping[str, str | list[str]] = field(default_factory=dict)
    answer: str | None = None


@dataclass(frozen=True)
class Judgment:
    """A verdict as it is stored, with what metrics and comparisons need to know of the item.

    Attributes:
        id: The sample's id; with the part behind a slash where a sample has several items.
        score: The score on the scale of the task's main metric; None for an unscored item.
        parts: Further values of the item, by the names that the task's metrics use.
        words: The number of words in the answer.
        groups: The item's groups by kind of group, such as {"category": "math"}; a list if it is in several.
        cluster: The name of the cluster that the item belongs to.
        reason: The reason why an item is unscored.
        upstream: Values that only the task's `Upstream.scores` reads.
        replies: The raw replies of a judge to the requests about the item, for readers; empty for fixed rules.
    """

    id: str
    score: float | None
    parts: dict[str, float]
    words: int
    groups: dict[str, str | list[str]] = field(default_factory=dict)
    cluster: str = ""
    reason: str = ""
    upstream: dict[str, float] = field(default_factory=dict)
    replies: list[str] = field(default_factory=list)


class Inference(Protocol):
    """Whatever answers the samples of a task, as a solver uses it."""

    def generate(self, requests: Sequence[GenerationRequest]) -> list[Completion]:
        """Return one answer per request, in their order."""
        ...


class Judge(Protocol):
    """A source of judgments as a scorer uses it: fixed rules, or a service that is paid per call."""

    def rate(self, items: Sequence[tuple[Prompt, str]]) -> Sequence[Rating | Unscored]:
        """Rate one answer per prompt, in their order. Raises Stopped if a limit of the service ends the run."""
        ...

    def ask(self, requests: Sequence[JudgeRequest]) -> Sequence[JudgeReply]:
        """Return one reply per request, in their order. Raises Stopped if a limit of the service ends the run."""
        ...


Item = tuple[Prompt, Response]
Samples = Callable[[BenchConfig, Path], list[Prompt]]
Solver = Callable[[Inference, Sequence[Prompt]], list[Response]]
Scorer = Callable[[Sequence[Item], Judge, BenchConfig], Sequence[Verdict]]


@dataclass(frozen=True)
class StoredReply:
    """A judge's reply in a file of upstream's.

    Attributes:
        sample: The id of the sample.
        part: As in `JudgeRequest`.
        repeat: As in `JudgeRequest`.
        text: The raw reply; None where upstream stored a failure.
        request: The user's message of the request if the file holds it, to verify that the reply belongs to the answer.
        judge: The name of the judge; empty if unknown.
        value: What upstream has read from the reply; it stands for a reply whose text the file does not hold.
        contains: Texts that the request must contain where the file does not hold the request itself.
        answer_id: Upstream's id of the answer that was judged, for `Upstream.answer_ids`; empty if the file has none.
    """

    sample: str
    part: str
    repeat: int
    text: str | None
    request: str | None = None
    judge: str = ""
    value: Any | None = None
    contains: tuple[str, ...] = ()
    answer_id: str = ""


@dataclass(frozen=True)
class Upstream:
    """The ties of a task with the program that defined it.

    Attributes:
        scores: Compute what upstream's script prints from all judgments of a task, bit for bit, by part; the name of
            the headline is empty.
        write_answers: Write answers in upstream's format below a folder, for others' tools. Takes the folder, the
            items and the model's name, and returns the files.
        read_answers: Read a file of answers of upstream's or of VLMEvalKit's. Takes the file, the samples and the
            settings, and returns responses of these samples; `mmdpo.evaluation.importing` counts missing ones.
        read_judgments: Read a file of upstream's judgments. Takes the file, the samples and the model's name, which
            chooses among the models of the file; if the name is empty, the file must hold one model only. None for
            tasks without a judge.
        read_model: Return the model's name in a file of answers; empty if the format has none.
        answer_ids: Read upstream's ids of the answers in a file, by sample, to verify judgments that were stored
            without their request: they belong to the answers if `StoredReply.answer_id` is the same.
        samples_of_answers: Make the samples from a file of answers that holds questions and right answers as well,
            for users who lack the benchmark's own files.
        readings: Return the values of the single replies of `Judgment.upstream`, in the order of repeats, to measure
            the judge's agreement with itself. They are named "", or `first` and `second` after the place at which a
            pairwise judge is shown the answer.
    """

    scores: Callable[[Sequence[Judgment]], Mapping[str, float]]
    write_answers: Callable[[Path, Sequence[Item], str], list[Path]] | None = None
    read_answers: Callable[[Path, Sequence[Prompt], BenchConfig], list[Response]] | None = None
    read_judgments: Callable[[Path, Sequence[Prompt], str], list[StoredReply]] | None = None
    read_model: Callable[[Path], str] | None = None
    answer_ids: Callable[[Path], Mapping[str, str]] | None = None
    samples_of_answers: Callable[[Path], list[Prompt]] | None = None
    readings: Callable[[Mapping[str, float]], Mapping[str, list[float]]] | None = None


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
        groups: Kinds of groups whose scores are shown apart: `category`, names of the samples' facts, or kinds that
            the verdicts name. Groups of the kind "" are shown without it.
        group_metrics: Names of the metrics that are computed for each group in addition to the main metric.
        cluster: What the items share; intervals resample whole clusters.
        one_item_per_cluster: Whether the scorer returns one verdict for all samples of a cluster, such as the rotations
            of a question.
        files: List the files that the samples are read from; their content is part of the task's identity.
        bench_files: The files of the user that the task needs, for `doctor`; they are files of the identity, too.
        image_folder: The folder of the user that the samples' images are relative to; None for images that `samples`
            writes. `samples` does not look whether they are there.
        reads: Settings of `bench` that only some tasks read, such as `noise`; of others they change no identity.
        judge_use: What the task needs of `bench.judge`.
        rubric: Name whose prompt the judge gets where the task asks a service, for labels: `upstream` or `own`.
        text_only: Whether no sample has an image, so that a model without images can be measured, too.
        upstream: The ties with the program that defined the task.
        detectable: The difference of two models that is just visible, as others measured it; None if it is unknown.
        minus: The task of the same items whose scores are subtracted, as `<task>/minus_<other>`; empty for none.
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
    group_metrics: tuple[str, ...] = ()
    cluster: Cluster = Cluster.item
    one_item_per_cluster: bool = False
    files: Callable[[BenchConfig], Sequence[Path]] = lambda bench: ()
    bench_files: tuple[BenchFile, ...] = ()
    image_folder: BenchFile | None = None
    reads: tuple[str, ...] = ()
    judge_use: JudgeUse = JudgeUse.no
    rubric: Callable[[BenchConfig], str] | None = None
    text_only: bool = False
    upstream: Upstream | None = None
    detectable: Detectable | None = None
    minus: str = ""
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
            Cluster.question: str(prompt.facts.get(CLUSTER, prompt.question)),
        }
        return names[self.cluster]

    def fingerprint(self, bench: BenchConfig) -> str:
        """Fingerprint what the task's scores depend on besides the settings: its version and its files' content."""
        files = [*self.files(bench), *files_of_identity(bench, self.bench_files)]
        return fingerprint([self.version, *map(file_fingerprint, files)])

    def images(self, bench: BenchConfig) -> UserImages | None:
        """Return the user's images; None for a task that writes its images or has none."""
        return UserImages.below(self.image_folder, bench, self.samples) if self.image_folder else None


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
