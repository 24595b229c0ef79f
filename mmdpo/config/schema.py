"""The typed schema of everything in conf/. Checks between fields are in mmdpo/entry.

Every number that a run depends on is here or in the YAML files, with its unit and source. Ranges and choices stand
beside their fields. This module must not import torch: `launch.py --cfg job` loads it.
"""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

from annotated_types import Ge, Interval
from omegaconf import MISSING

from mmdpo.config.bench_settings import BenchConfig as BenchConfig
from mmdpo.config.bench_settings import ServerConfig as ServerConfig
from mmdpo.config.choices import (
    DTYPES,
    PROMPT_FORMATS,
    SAMPLERS,
    SCHEDULERS,
    ZERO_STAGES,
    CutCompletions,
    JudgePlace,
    OnBadRow,
    PairRule,
    Resume,
    Runner,
    Stage,
    TooLong,
    TrainOn,
    WandbMode,
    data_formats,
    loss_types,
)
from mmdpo.config.judge_settings import JudgeConfig as JudgeConfig
from mmdpo.config.judge_settings import LimitsConfig as LimitsConfig
from mmdpo.config.judge_settings import PriceConfig as PriceConfig
from mmdpo.config.markers import AT_LEAST_ONE, NO_RESULT, NOT_NEGATIVE, POSITIVE, SEED, SEVERAL_LINES, SHARE, OneOf
from mmdpo.config.plan_settings import PlanConfig as PlanConfig

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
class LoraConfig:
    """LoRA on the linear layers of the language model, with PEFT's names."""

    r: Annotated[int, AT_LEAST_ONE] = 128  # paper, table of A.1
    lora_alpha: Annotated[int, AT_LEAST_ONE] = 256  # paper, table of A.1
    lora_dropout: Annotated[float, Interval(ge=0, lt=1)] = 0.05  # the authors' scripts


@dataclass
class ModelConfig:
    """A vision-language model in Hugging Face format."""

    name: Annotated[str, NO_RESULT] = MISSING  # a label
    path: str = MISSING  # a folder, a hub id, or pkg://package/folder
    # The same language model before visual instruction tuning, drawn as a dashed line:
    before_visual_tuning: Annotated[str | None, NO_RESULT] = None
    dtype: Annotated[str, OneOf(DTYPES)] = "auto"  # auto: bfloat16 on a GPU, float32 on a CPU
    chat_template: str | None = None  # a file of mmdpo/models/templates; null: the checkpoint's own
    pad_to_square: bool = False  # with the processor's mean colour, as LLaVA-1.5 was trained
    # steerlm: the text of a prompt that requests ratings
    attribute_template: Annotated[str, SEVERAL_LINES] = "{question}\n{attributes}"
    train_projector: bool = False  # in addition to LoRA; saved in the adapter as modules_to_save
    projector_lr: Annotated[float, POSITIVE] = 2e-5  # the authors' scripts
    threads: Annotated[int | None, AT_LEAST_ONE, NO_RESULT] = None  # CPU threads of torch; null: torch's default
    # Learning rates by the method's name, where this model needs another than method.lr:
    lr: Annotated[dict[str, float], POSITIVE, NO_RESULT] = field(default_factory=dict)
    lora: LoraConfig = field(default_factory=LoraConfig)


@dataclass
class SamplingConfig:
    """Sampling of the model's own answers to the training prompts (paper, 3.1)."""

    completions: Annotated[int, Ge(2)] = 4  # per prompt
    temperature: Annotated[float, POSITIVE] = 0.7
    top_p: Annotated[float, Interval(gt=0, le=1)] = 1.0
    max_new_tokens: Annotated[int, AT_LEAST_ONE] = 512
    batch_size: Annotated[int, AT_LEAST_ONE, NO_RESULT] = 16  # prompts


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
class SourceConfig:
    """Prompts of one source of raw data: `count` rows in a seeded order, after the first `offset`."""

    format: Annotated[str, OneOf(PROMPT_FORMATS.names)] = MISSING  # a file of mmdpo/sources
    path: str | None = None  # file, or folder of files
    image_root: str | None = None  # folder of the images that rows name
    count: Annotated[int | None, AT_LEAST_ONE] = None  # null for all
    offset: Annotated[int, NOT_NEGATIVE] = 0


@dataclass
class DataConfig:
    """Source of the training data: prompts, or a file of preference pairs or answers."""

    name: Annotated[str, NO_RESULT] = MISSING
    format: Annotated[str | None, OneOf(data_formats)] = None  # a file of mmdpo/sources; null if `sources` are given
    prompts: Annotated[int, AT_LEAST_ONE] = 1000  # number to generate, if `format` makes its own prompts
    seed: Annotated[int, SEED] = 0  # of prompts, samples and pairs; the axis `seed` is that of training
    root: Annotated[str | None, NO_RESULT] = None  # folder for the paths of a preset: path: ${data.root}/rows
    sources: dict[str, SourceConfig] = field(default_factory=dict)  # of prompts, by name
    path: str | None = None  # file of pairs or answers, or a folder of files: .jsonl, .json, .csv or .parquet
    hub: str | None = None  # in place of `path`: OWNER/NAME on the Hugging Face Hub, or a folder in its layout
    hub_config: str | None = None  # a configuration of that data set, if it has several
    hub_split: str = "train"
    hub_revision: str | None = None  # branch, tag or commit; null: the newest
    image_root: str | None = None  # folder of the images that rows of this file name
    fields: dict[str, str] = field(default_factory=dict)  # the file's column by the format's field, if it differs
    on_bad_row: OnBadRow = OnBadRow.error
    sampling: SamplingConfig = field(default_factory=SamplingConfig)

    @property
    def is_own(self) -> bool:
        """Return whether the data are the user's pairs or answers, and not prompts to be answered."""
        return self.path is not None or self.hub is not None


@dataclass
class TrainConfig:
    """Optimization, with TRL's names. Defaults are the paper's (A.1) or, where it is silent, the authors' scripts."""

    name: Annotated[str, NO_RESULT] = MISSING  # a label
    num_train_epochs: Annotated[float, POSITIVE] = 3.0
    per_device_train_batch_size: Annotated[int, AT_LEAST_ONE] = 8  # pairs per device and step
    gradient_accumulation_steps: Annotated[int, AT_LEAST_ONE] = 4
    lr_scheduler_type: Annotated[str, OneOf(SCHEDULERS)] = "cosine"
    warmup_ratio: Annotated[float, SHARE] = 0.03
    weight_decay: Annotated[float, NOT_NEGATIVE] = 0.0
    max_grad_norm: Annotated[float, POSITIVE] = 1.0
    max_text_tokens: Annotated[int | None, AT_LEAST_ONE] = None  # of prompt and answer, without image tokens
    too_long: TooLong = TooLong.cut_answer
    prefix_sharing: bool = True  # compute prompt and image once per pair, if the architecture allows it
    activation_checkpointing: Annotated[bool, NO_RESULT] = True
    tf32: bool = True  # on GPUs that support it
    dataloader_num_workers: Annotated[int, NOT_NEGATIVE, NO_RESULT] = 0  # per training process
    zero_stage: Annotated[int, OneOf(ZERO_STAGES), NO_RESULT] = 0  # DeepSpeed ZeRO; unused with a single process
    precompute_ref_batch_size: Annotated[int, AT_LEAST_ONE, NO_RESULT] = 16  # pairs
    save_steps: Annotated[int, AT_LEAST_ONE, NO_RESULT] = 50
    save_total_limit: Annotated[int, AT_LEAST_ONE, NO_RESULT] = 2  # checkpoints
    logging_steps: Annotated[int, AT_LEAST_ONE, NO_RESULT] = 1


@dataclass
class AttemptsConfig:
    """Limits on the restarts of a point without progress, such as a newer checkpoint, per cause.

    A point that reaches a limit counts as failed.
    """

    time_limit: Annotated[int, AT_LEAST_ONE] = 20
    preempted: Annotated[int, AT_LEAST_ONE] = 1000
    requeued: Annotated[int, AT_LEAST_ONE] = 1000  # by `scontrol requeue`
    node_failure: Annotated[int, AT_LEAST_ONE] = 5
    killed: Annotated[int, AT_LEAST_ONE] = 2  # a process died of a signal; restarts from the last checkpoint
    out_of_memory: Annotated[int, AT_LEAST_ONE] = 1  # a restart would run out of memory again


@dataclass
class ClusterConfig:
    """The runner of the points, and the resources that SLURM gives each point's job, with submitit's names."""

    name: str = MISSING  # a label
    runner: Runner = MISSING
    threads: Annotated[int | None, AT_LEAST_ONE] = None  # of torch, per process; null: torch's default
    # Points that run at once; null: local_parallel one per GPU, slurm as many as its limits allow
    array_parallelism: Annotated[int | None, AT_LEAST_ONE] = None
    judge: JudgePlace = JudgePlace.login  # slurm: where a service of bench.judge is asked
    wait: bool = True  # watch the jobs until they end; Ctrl-C does not cancel them
    nodes: Annotated[int, AT_LEAST_ONE] = 1  # per point
    gpus_per_node: Annotated[int, NOT_NEGATIVE] = 1  # one process each
    tasks_per_node: Annotated[int | None, AT_LEAST_ONE] = None  # processes; null: one per GPU, one without GPUs
    cpus_per_task: Annotated[int, AT_LEAST_ONE] = 8
    mem: str | None = None  # per node, as in 64G
    timeout_min: Annotated[int, AT_LEAST_ONE] = 1440  # minutes per job; longer points continue in the next job
    signal_delay_s: Annotated[int, NOT_NEGATIVE] = (
        120  # seconds before the time limit at which a job saves and restarts
    )
    minutes_per_point: Annotated[float | None, POSITIVE] = None  # for the estimate; null: from finished points
    partition: str | None = None
    account: str | None = None
    qos: str | None = None
    constraint: str | None = None
    gres: str | None = None  # replaces --gpus-per-node, as in gpu:a100:4; gpus_per_node still gives their number
    exclude: str | None = None  # nodes
    mail_type: str | None = None  # BEGIN, END, FAIL, ...
    mail_user: str | None = None
    # Shell lines before the job: modules, exports
    setup: Annotated[list[str], SEVERAL_LINES] = field(default_factory=list)
    # Any other option of sbatch, as in +cluster.additional_parameters.exclusive=true:
    additional_parameters: dict[str, str] = field(default_factory=dict)
    max_attempts: AttemptsConfig = field(default_factory=AttemptsConfig)

    @property
    def processes(self) -> int:
        """Number of processes that train one point together."""
        if self.runner is not Runner.slurm:
            return 1
        return self.nodes * self.processes_per_node

    @property
    def processes_per_node(self) -> int:
        """`tasks_per_node`, or one per GPU if it is null."""
        return self.tasks_per_node if self.tasks_per_node is not None else max(1, self.gpus_per_node)


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
