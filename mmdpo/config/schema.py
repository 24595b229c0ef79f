"""The typed schema of everything in conf/; checks.py holds the checks between its fields.

Numbers that a run depends on live here or in the YAML, with unit and source. This module imports
neither torch nor anything that does: it is on the path of `launch.py --cfg job`.
"""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

from annotated_types import Ge, Interval
from omegaconf import MISSING

from mmdpo.config.choices import (
    DTYPES,
    LOSSES,
    SCHEDULERS,
    ZERO_STAGES,
    OnBadRow,
    PairRule,
    Resume,
    Runner,
    Split,
    Stage,
    TooLong,
    TrainOn,
    WandbMode,
)
from mmdpo.config.markers import AT_LEAST_ONE, NO_RESULT, NOT_NEGATIVE, POSITIVE, SEED, SHARE, OneOf

CONF = Path(__file__).resolve().parents[2] / "conf"
SWEEPS = CONF.parent / "sweeps"

AXES = ("beta", "lr", "logprob_avg", "data_scale", "data_limit", "label_noise", "seed")
"""Typed keys at the root of the config that a sweep varies; `method` is a group."""


@dataclass
class MethodConfig:
    """One alignment method; `axes` are the root keys that it uses."""

    name: Annotated[str, NO_RESULT] = MISSING
    train_on: TrainOn = MISSING
    loss_type: Annotated[str | None, OneOf(LOSSES)] = None  # of pairs: a loss of TRL's DPOConfig.loss_type
    axes: Annotated[list[str], OneOf(AXES), NO_RESULT] = MISSING
    beta: Annotated[float | None, NO_RESULT] = None  # the default of the axis, as the two below
    lr: Annotated[float, POSITIVE, NO_RESULT] = MISSING
    logprob_avg: Annotated[bool | None, NO_RESULT] = None
    label_smoothing: Annotated[float, Interval(ge=0, lt=0.5)] = (
        0.0  # of the losses robust, exo_pair, aot and aot_unpaired
    )
    fine_grained: bool = False  # weigh the tokens in which the two answers differ (RLHF-V, eq. 4)
    fine_grained_weight: Annotated[float, POSITIVE] = 5.0  # of such a token; the others weigh 1 (RLHF-V's gamma)
    attributes: dict[str, int] = field(default_factory=dict)  # steerlm: the ratings to ask for, 0..4 each
    per_device_train_batch_size: Annotated[int, AT_LEAST_ONE, NO_RESULT] = (
        MISSING  # rows a device and step, in train=paper
    )
    gradient_accumulation_steps: Annotated[int, AT_LEAST_ONE, NO_RESULT] = MISSING  # in train=paper
    max_text_tokens: Annotated[int, AT_LEAST_ONE, NO_RESULT] = MISSING  # in train=paper


@dataclass
class PairsConfig:
    """How pairs are made of rated completions (paper, 3.2)."""

    aggregate: list[str] = field(default_factory=lambda: ["helpfulness", "correctness", "coherence"])
    margin: Annotated[int, AT_LEAST_ONE] = 2  # points of the aggregate between chosen and rejected
    rule: PairRule = PairRule.random_worse


@dataclass
class LoraConfig:
    """LoRA on the linear layers of the language model."""

    r: Annotated[int, AT_LEAST_ONE] = 128  # paper, table of A.1
    lora_alpha: Annotated[int, AT_LEAST_ONE] = 256  # paper, table of A.1
    lora_dropout: Annotated[float, Interval(ge=0, lt=1)] = 0.05  # the authors' scripts


@dataclass
class ModelConfig:
    """A vision-language model in Hugging Face format."""

    name: Annotated[str, NO_RESULT] = MISSING
    path: str = MISSING  # a folder, a hub id, or pkg://package/folder
    before_visual_tuning: Annotated[str | None, NO_RESULT] = (
        None  # the same language model before it saw images: a dashed line
    )
    dtype: Annotated[str, OneOf(DTYPES)] = "auto"  # auto: bfloat16 on a GPU, float32 on a CPU
    chat_template: str | None = None  # a file of mmdpo/models/templates; null: the checkpoint's own
    pad_to_square: bool = False  # with the processor's mean colour, as LLaVA-1.5 was trained
    attribute_template: str = "{question}\n{attributes}"  # steerlm: how a question asks for ratings
    train_projector: bool = False  # beside LoRA, in the adapter's modules_to_save
    projector_lr: Annotated[float, POSITIVE] = 2e-5  # the authors' scripts
    threads: Annotated[int | None, AT_LEAST_ONE, NO_RESULT] = (
        None  # CPU threads that suit its size; null leaves torch's choice
    )
    lr: Annotated[dict[str, float], NO_RESULT] = field(
        default_factory=dict
    )  # by method, where this model needs another
    lora: LoraConfig = field(default_factory=LoraConfig)


@dataclass
class SamplingConfig:
    """How the model answers its own training prompts (paper, 3.1)."""

    completions: Annotated[int, Ge(2)] = 4  # a prompt
    temperature: Annotated[float, POSITIVE] = 0.7
    top_p: Annotated[float, Interval(gt=0, le=1)] = 1.0
    max_new_tokens: Annotated[int, AT_LEAST_ONE] = 512
    batch_size: Annotated[int, AT_LEAST_ONE, NO_RESULT] = 16  # prompts


@dataclass
class GeneratorConfig:
    """Who answers the training prompts: the model itself, or a server that serves it."""

    name: Annotated[str, NO_RESULT] = MISSING
    adapter: str | None = None  # of the model itself: a folder in PEFT format, for a second round
    model: str | None = None  # the server's name for it
    base_url: str | None = None  # of an OpenAI-compatible server
    api_key: Annotated[list[str], NO_RESULT] = field(
        default_factory=list
    )  # environment variables that may hold the key
    concurrency: Annotated[int, AT_LEAST_ONE, NO_RESULT] = 8  # requests at once
    timeout: Annotated[float, POSITIVE, NO_RESULT] = 300.0  # seconds a request


@dataclass
class SourceConfig:
    """Prompts out of a file of raw data; `count` of them in a seeded order, after the first `offset`."""

    reader: str = MISSING  # a name of READERS
    path: str | None = None  # a file, or a folder of them
    image_root: str | None = None  # images may not leave it
    count: Annotated[int | None, AT_LEAST_ONE] = None  # null takes all
    offset: Annotated[int, NOT_NEGATIVE] = 0


@dataclass
class DataConfig:
    """Where preference pairs come from: made of prompts, or the user's own file."""

    name: Annotated[str, NO_RESULT] = MISSING
    prompts: Annotated[int, AT_LEAST_ONE] = 1000  # data=nano: how many to draw, before filtering
    seed: Annotated[int, SEED] = 0  # of prompts, samples and pairs; the axis `seed` is the training's
    sources: dict[str, SourceConfig] = field(default_factory=dict)  # of prompts, by name
    path: str | None = None  # of pairs: .jsonl, .json or .parquet
    format: str = "pairs"  # of that file, a name of FORMATS
    image_root: str | None = None  # of that file: images may not leave it
    on_bad_row: OnBadRow = OnBadRow.error
    sampling: SamplingConfig = field(default_factory=SamplingConfig)


@dataclass
class LimitsConfig:
    """What a paid judge may be asked; the quotas are those of the user's own account."""

    requests_per_minute: Annotated[float | None, POSITIVE] = None
    tokens_per_minute: Annotated[float | None, POSITIVE] = None
    requests_per_day: Annotated[int | None, AT_LEAST_ONE] = None  # the day ends at midnight Pacific
    concurrency: Annotated[int, AT_LEAST_ONE] = 1  # calls at once
    budget: Annotated[float | None, POSITIVE] = None  # money, in the currency of the price table
    max_attempts: Annotated[int, AT_LEAST_ONE] = 6  # of one call, where the judge is busy
    backoff_seconds: Annotated[float, POSITIVE] = (
        1.0  # doubled with each try, with full jitter, where the judge names no time
    )
    backoff_longest: Annotated[float, POSITIVE] = 60.0


@dataclass
class PriceConfig:
    """What a judge costs, for the estimate, the budget and the report."""

    input: Annotated[float, NOT_NEGATIVE] = 0.0  # a million tokens
    output: Annotated[float, NOT_NEGATIVE] = 0.0
    batch: Annotated[float, NOT_NEGATIVE] = 0.5  # times the price, by judge.batch
    currency: str = "USD"
    of: str = ""  # the day on which the price was looked up


@dataclass
class JudgeConfig:
    """Who rates the completions that training pairs are made of."""

    name: Annotated[str, NO_RESULT] = MISSING
    model: str | None = None  # of the service
    base_url: str | None = None  # another endpoint: a proxy, a local server, a rehearsal
    api_key: Annotated[list[str], NO_RESULT] = field(
        default_factory=list
    )  # environment variables that may hold the key
    rubric: str = "helpsteer_1"  # a file of mmdpo/judge/rubrics
    temperature: Annotated[float, Interval(ge=0, le=2)] = 0.0
    max_output_tokens: Annotated[int, AT_LEAST_ONE] = 4096
    structured: bool = True  # ask for JSON by schema, where the service can
    image_side: Annotated[int, AT_LEAST_ONE] = 3072  # pixels; a larger image is made smaller before it is sent
    seed: Annotated[int, SEED] = 0  # of the order in which completions are shown
    repeat: Annotated[float, SHARE, NO_RESULT] = 0.0  # share of the prompts that is rated twice, to measure agreement
    retry_unscored: Annotated[bool, NO_RESULT] = False  # ask again what was read as no rating
    batch: Annotated[bool, NO_RESULT] = (
        False  # submit jobs, leave, and collect them by the same line later; judge=gemini has it
    )
    batch_size: Annotated[int, AT_LEAST_ONE, NO_RESULT] = 500  # requests a job
    journal: Annotated[str | None, NO_RESULT] = None  # a file; null: one a judge in the cache
    timeout: Annotated[float, POSITIVE, NO_RESULT] = 120.0  # seconds a call
    limits: Annotated[LimitsConfig, NO_RESULT] = field(default_factory=LimitsConfig)
    price: Annotated[PriceConfig, NO_RESULT] = field(default_factory=PriceConfig)


@dataclass
class BenchConfig:
    """What is measured before and after training."""

    name: Annotated[str, NO_RESULT] = MISSING
    tasks: list[str] = MISSING
    judge: str = "oracle"  # who scores the answers; the pairs' judge may be another
    items: Annotated[int, AT_LEAST_ONE] = 240  # a benchmark
    split: Split = Split.test
    seed: Annotated[int, SEED] = 0  # of the items and of the bootstrap
    batch_size: Annotated[int, AT_LEAST_ONE, NO_RESULT] = 64
    max_new_tokens: Annotated[int, AT_LEAST_ONE] = 512
    confidence: Annotated[float, Interval(gt=0, lt=1)] = 0.95
    resamples: Annotated[int, AT_LEAST_ONE] = 2000  # bootstrap


@dataclass
class TrainConfig:
    """Optimization; defaults are the paper's (A.1) or, where it is silent, the authors' scripts."""

    name: Annotated[str, NO_RESULT] = MISSING
    num_train_epochs: Annotated[float, POSITIVE] = 3.0
    per_device_train_batch_size: Annotated[int, AT_LEAST_ONE] = 8  # pairs a device and step
    gradient_accumulation_steps: Annotated[int, AT_LEAST_ONE] = 4
    lr_scheduler_type: Annotated[str, OneOf(SCHEDULERS)] = "cosine"
    warmup_ratio: Annotated[float, SHARE] = 0.03
    weight_decay: Annotated[float, NOT_NEGATIVE] = 0.0
    max_grad_norm: Annotated[float, POSITIVE] = 1.0
    max_text_tokens: Annotated[int | None, AT_LEAST_ONE] = (
        None  # of prompt and answer; image tokens are not counted, and never cut
    )
    too_long: TooLong = TooLong.cut_answer
    prefix_sharing: bool = True  # prompt and image once a pair, where the architecture allows it
    activation_checkpointing: Annotated[bool, NO_RESULT] = True
    tf32: bool = True  # on GPUs that have it
    dataloader_num_workers: Annotated[int, NOT_NEGATIVE, NO_RESULT] = (
        0  # processes that prepare batches beside each training one
    )
    zero_stage: Annotated[int, OneOf(ZERO_STAGES), NO_RESULT] = (
        0  # DeepSpeed's ZeRO stage: 0 (none), 2 or 3; a process alone goes without
    )
    precompute_ref_batch_size: Annotated[int, AT_LEAST_ONE, NO_RESULT] = 16  # pairs
    save_steps: Annotated[int, AT_LEAST_ONE, NO_RESULT] = 50
    save_total_limit: Annotated[int, AT_LEAST_ONE, NO_RESULT] = 2  # checkpoints
    logging_steps: Annotated[int, AT_LEAST_ONE, NO_RESULT] = 1


@dataclass
class AttemptsConfig:
    """How often a point may be ended by a cause until it counts as failed; before, it starts again."""

    time_limit: Annotated[int, AT_LEAST_ONE] = 20
    preempted: Annotated[int, AT_LEAST_ONE] = 1000
    requeued: Annotated[int, AT_LEAST_ONE] = 1000  # by somebody's `scontrol requeue`
    node_failure: Annotated[int, AT_LEAST_ONE] = 5
    killed: Annotated[int, AT_LEAST_ONE] = 2  # a process died of a signal; from the last checkpoint it goes on
    out_of_memory: Annotated[int, AT_LEAST_ONE] = 1  # the same again would end the same


@dataclass
class ClusterConfig:
    """Where points run: `runner` says how, the rest is asked of SLURM for each point's job."""

    name: str = MISSING
    runner: Runner = MISSING
    threads: Annotated[int | None, AT_LEAST_ONE] = None  # of torch, a process; null leaves torch's choice
    array_parallelism: Annotated[int | None, AT_LEAST_ONE] = (
        None  # points at once; null: local_parallel one a GPU, slurm as many as it lets
    )
    wait: bool = True  # watch the jobs until they end; Ctrl-C leaves them alone
    nodes: Annotated[int, AT_LEAST_ONE] = 1  # of one point
    gpus_per_node: Annotated[int, NOT_NEGATIVE] = 1  # a node, one process each
    tasks_per_node: Annotated[int | None, AT_LEAST_ONE] = None  # processes a node; null: one a GPU, one without GPUs
    cpus_per_task: Annotated[int, AT_LEAST_ONE] = 8  # a process
    mem: str | None = None  # a node, as in 64G
    timeout_min: Annotated[int, AT_LEAST_ONE] = (
        1440  # the time limit of a job; a point that needs longer goes on in the next
    )
    signal_delay_s: Annotated[int, NOT_NEGATIVE] = 120  # before the time limit: save and start again
    minutes_per_point: Annotated[float | None, POSITIVE] = (
        None  # for the estimate; null: measured on points that are done
    )
    partition: str | None = None
    account: str | None = None
    qos: str | None = None
    constraint: str | None = None
    gres: str | None = None  # in place of --gpus-per-node, as in gpu:a100:4; `gpus` still says how many
    exclude: str | None = None  # nodes
    mail_type: str | None = None  # BEGIN, END, FAIL, ...
    mail_user: str | None = None
    setup: list[str] = field(default_factory=list)  # shell lines before the job: modules, exports
    additional_parameters: dict[str, str] = field(
        default_factory=dict
    )  # any other: +cluster.additional_parameters.exclusive=true
    max_attempts: AttemptsConfig = field(default_factory=AttemptsConfig)

    @property
    def processes(self) -> int:
        """How many processes train a point together."""
        if self.runner is not Runner.slurm:
            return 1
        return self.nodes * self.processes_per_node

    @property
    def processes_per_node(self) -> int:
        """One a GPU, unless `tasks` says otherwise."""
        return self.tasks_per_node if self.tasks_per_node is not None else max(1, self.gpus_per_node)


@dataclass
class TrackingConfig:
    """Weights & Biases, a mirror of the files in the run folder."""

    name: str = MISSING
    mode: WandbMode = WandbMode.auto
    project: str = "mmdpo"
    entity: str | None = None
    tags: list[str] = field(default_factory=list)


@dataclass
class Config:
    """One point: everything that `launch.py` composes."""

    stage: Annotated[Stage, NO_RESULT] = Stage.experiment
    dry_run: Annotated[bool, NO_RESULT] = False
    resume: Annotated[Resume, NO_RESULT] = Resume.same
    out: Annotated[str, NO_RESULT] = "outputs"
    study: Annotated[str, NO_RESULT] = MISSING
    objective: Annotated[str, NO_RESULT] = "text"  # the score that a searching sweeper such as Optuna gets
    beta: Annotated[float | None, POSITIVE] = None
    lr: Annotated[float, POSITIVE] = MISSING
    logprob_avg: bool | None = None
    data_scale: Annotated[float, SHARE] = 1.0
    data_limit: Annotated[int | None, AT_LEAST_ONE] = None  # at most so many examples, before data_scale
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

    @property
    def is_base(self) -> bool:
        """No data: the untouched model, measured and not trained."""
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
}


def options(group: str) -> list[str]:
    """The names that `group=` takes."""
    return sorted(path.stem for path in (CONF / group).glob("*.yaml"))


def methods_using(axis: str) -> list[str]:
    """The methods that an axis belongs to."""
    import yaml

    return [
        name
        for name in options("method")
        if axis in yaml.safe_load((CONF / "method" / f"{name}.yaml").read_text(encoding="utf-8"))["axes"]
    ]
