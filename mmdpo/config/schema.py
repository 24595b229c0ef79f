"""The typed schema of everything in conf/. Checks between fields are in mmdpo/entry.

Every number that a run depends on is here or in the YAML files, with its unit and source. Ranges and choices stand
beside their fields. This module must not import torch: `launch.py --cfg job` loads it.
"""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

from annotated_types import Interval
from omegaconf import MISSING

from mmdpo.config.bench_settings import BenchConfig as BenchConfig
from mmdpo.config.bench_settings import ServerConfig as ServerConfig
from mmdpo.config.choices import (
    SAMPLERS,
    CutCompletions,
    PairRule,
    Resume,
    Stage,
    TrainOn,
    WandbMode,
    loss_types,
)
from mmdpo.config.cluster_settings import AttemptsConfig as AttemptsConfig
from mmdpo.config.cluster_settings import ClusterConfig as ClusterConfig
from mmdpo.config.data_settings import DataConfig as DataConfig
from mmdpo.config.data_settings import SamplingConfig as SamplingConfig
from mmdpo.config.data_settings import SourceConfig as SourceConfig
from mmdpo.config.judge_settings import JudgeConfig as JudgeConfig
from mmdpo.config.judge_settings import LimitsConfig as LimitsConfig
from mmdpo.config.judge_settings import PriceConfig as PriceConfig
from mmdpo.config.markers import AT_LEAST_ONE, NO_RESULT, POSITIVE, SEED, SEVERAL_LINES, SHARE, OneOf
from mmdpo.config.model_settings import LoraConfig as LoraConfig
from mmdpo.config.model_settings import ModelConfig as ModelConfig
from mmdpo.config.plan_settings import PlanConfig as PlanConfig
from mmdpo.config.search_settings import SearchConfig as SearchConfig
from mmdpo.config.train_settings import TrainConfig as TrainConfig

CONF = Path(__file__).resolve().parents[2] / "conf"
SWEEPS = CONF.parent / "sweeps"

AXES = ("beta", "lr", "logprob_avg", "data_scale", "data_limit", "label_noise", "seed")
"""Typed keys at the root of the config that a sweep varies. `method` is a group."""


@dataclass
class MethodConfig:
    """One alignment method. `axes` are the root keys that it uses."""

    name: Annotated[str, NO_RESULT] = MISSING  # a label
    train_on: TrainOn = MISSING
    loss_type: Annotated[str | None, OneOf(loss_types)] = None  # null for supervised fine-tuning
    axes: Annotated[list[str], OneOf(AXES), NO_RESULT] = MISSING
    # Defaults of the axes:
    beta: Annotated[float | None, NO_RESULT] = None
    lr: Annotated[float, POSITIVE, NO_RESULT] = MISSING
    logprob_avg: Annotated[bool | None, NO_RESULT] = None
    label_smoothing: Annotated[float, Interval(ge=0, lt=0.5)] = 0.0  # robust, exo_pair, aot, aot_unpaired
    fine_grained: bool = False  # weight the tokens in which chosen and rejected differ (RLHF-V, eq. 4)
    fine_grained_weight: Annotated[float, POSITIVE] = 5.0  # of those tokens; all others have weight 1 (RLHF-V's gamma)
    attributes: dict[str, int] = field(default_factory=dict)  # steerlm: the ratings to request, on the rubric's scale
    # Used by train=paper, as ${method.per_device_train_batch_size} and so on:
    per_device_train_batch_size: Annotated[int, AT_LEAST_ONE, NO_RESULT] = MISSING  # rows per device and step
    gradient_accumulation_steps: Annotated[int, AT_LEAST_ONE, NO_RESULT] = MISSING
    max_text_tokens: Annotated[int, AT_LEAST_ONE, NO_RESULT] = MISSING


@dataclass
class PairsConfig:
    """Selection of preference pairs from rated completions (paper, 3.2)."""

    aggregate: list[str] | None = None  # attributes whose sum ranks the completions; null: those of the rubric
    margin: Annotated[int, AT_LEAST_ONE] = 2  # least difference of the aggregates of chosen and rejected
    rule: PairRule = PairRule.random_worse
    cut: CutCompletions = CutCompletions.drop  # of all methods: completions that data.sampling.max_new_tokens cut


@dataclass
class GeneratorConfig:
    """The sampler that answers the training prompts: the model in this process, or a server of it."""

    name: Annotated[str, NO_RESULT] = MISSING  # a label
    sampler: Annotated[str, OneOf(SAMPLERS)] = MISSING
    adapter: str | None = None  # sampler=model and server: a folder in PEFT format, for a second round
    model: str | None = None  # sampler=openai: the server's name for the model
    base_url: str | None = None  # sampler=openai: the address of the server
    # sampler=server: the command that starts it, as in bench.server.command
    command: Annotated[str | None, SEVERAL_LINES, NO_RESULT] = None
    start_timeout: Annotated[float, POSITIVE, NO_RESULT] = 1800.0  # sampler=server: seconds until it must answer
    api_key: Annotated[list[str], NO_RESULT] = field(default_factory=list)  # environment variables that may hold it
    concurrency: Annotated[int, AT_LEAST_ONE, NO_RESULT] = 8  # simultaneous requests
    timeout: Annotated[float, POSITIVE, NO_RESULT] = 300.0  # seconds per request


@dataclass
class TrackingConfig:
    """Weights & Biases, a mirror of the files in the run folder."""

    name: str = MISSING  # a label
    mode: WandbMode = WandbMode.auto
    project: str = "mmdpo"
    entity: str | None = None
    tags: list[str] = field(default_factory=list)
    host: bool = True  # record the git commit, the host, the packages and system metrics
    workspace: bool = False  # at the end of a sweep, upload the study and build its workspace and report


@dataclass
class Config:
    """The whole config of one point, as `launch.py` composes it."""

    stage: Annotated[Stage, NO_RESULT] = Stage.experiment
    dry_run: Annotated[bool, NO_RESULT] = False
    resume: Annotated[Resume, NO_RESULT] = Resume.same
    out: Annotated[str, NO_RESULT] = "outputs"
    study: Annotated[str, NO_RESULT] = MISSING
    objective: Annotated[str, NO_RESULT] = "text"  # the score that a searching sweeper such as Optuna maximizes
    beta: Annotated[float | None, POSITIVE] = None
    lr: Annotated[float, POSITIVE] = MISSING
    logprob_avg: bool | None = None
    data_scale: Annotated[float, SHARE] = 1.0
    data_limit: Annotated[int | None, AT_LEAST_ONE] = None  # the largest number of examples, before data_scale
    label_noise: Annotated[float, SHARE] = 0.0
    seed: Annotated[int, SEED] = 0
    method: MethodConfig = field(default_factory=MethodConfig)
    model: ModelConfig = field(default_factory=ModelConfig)
    data: DataConfig = field(default_factory=DataConfig)
    generator: GeneratorConfig = field(default_factory=GeneratorConfig)
    judge: JudgeConfig = field(default_factory=JudgeConfig)
    pairs: PairsConfig = field(default_factory=PairsConfig)
    bench: BenchConfig = field(default_factory=BenchConfig)
    train: TrainConfig = field(default_factory=TrainConfig)
    cluster: Annotated[ClusterConfig, NO_RESULT] = field(default_factory=ClusterConfig)
    tracking: Annotated[TrackingConfig, NO_RESULT] = field(default_factory=TrackingConfig)
    plan: Annotated[PlanConfig, NO_RESULT] = field(default_factory=PlanConfig)
    search: Annotated[SearchConfig, NO_RESULT] = field(default_factory=SearchConfig)

    @property
    def is_base(self) -> bool:
        """True for a point without data: the untouched model, evaluated and not trained."""
        return self.data_scale == 0


GROUPS: dict[str, type] = {
    "method": MethodConfig,
    "model": ModelConfig,
    "data": DataConfig,
    "generator": GeneratorConfig,
    "judge": JudgeConfig,
    "bench": BenchConfig,
    "train": TrainConfig,
    "cluster": ClusterConfig,
    "tracking": TrackingConfig,
    "search": SearchConfig,
}


def options(group: str) -> list[str]:
    """List the built-in presets of a group; a user's config directory may hold more."""
    return sorted(path.stem for path in (CONF / group).glob("*.yaml"))


def methods_using(axis: str) -> list[str]:
    """List the built-in methods that use an axis."""
    import yaml

    return [
        name
        for name in options("method")
        if axis in yaml.safe_load((CONF / "method" / f"{name}.yaml").read_text(encoding="utf-8"))["axes"]
    ]
