"""Choices of the config's keys, as tuples and enums."""

from enum import Enum

from mmdpo.registry import Kind

LOSSES = (
    "sigmoid", "hinge", "ipo", "exo_pair", "nca_pair", "robust", "bco_pair", "sppo_hard", "aot",
    "aot_unpaired", "apo_zero", "apo_down", "discopop", "sft", "sigmoid_norm",
)  # fmt: skip
"""The losses of TRL's `DPOConfig.loss_type`."""

CUSTOM_LOSSES = Kind("mmdpo.training.losses", "loss", "method.loss_type")
"""The losses that TRL does not have, one per file."""

SMOOTHED = ("exo_pair", "robust", "aot", "aot_unpaired")
"""The losses that use `method.label_smoothing`."""

SAMPLERS = ("model", "openai", "server")
"""Choices of `generator.sampler`: the model in this process, an OpenAI-compatible server that runs, or one to start."""

RUBRICS = Kind("mmdpo.judge.rubrics", "RUBRIC", "judge.rubric")
"""Rubrics that completions are rated by."""

CLIENTS = Kind("mmdpo.clients", "make_client", "judge.client")
"""Clients of paid services."""

BATCH_CLIENTS = Kind("mmdpo.clients", "SUPPORTS_BATCHES", "judge.client")
"""Clients that `judge.batch=true` works with."""

REASONING_CLIENTS = Kind("mmdpo.clients", "SENDS_REASONING_EFFORT", "judge.client")
"""Clients that send `judge.reasoning_effort`."""

EXTRA_BODY_CLIENTS = Kind("mmdpo.clients", "SENDS_EXTRA_BODY", "judge.client")
"""Clients that send `judge.extra_body`."""

EXTRA_BODY_BATCH_CLIENTS = Kind("mmdpo.clients", "BATCHES_SEND_EXTRA_BODY", "judge.client")
"""Clients whose batch jobs send `judge.extra_body`, too."""

RULES = Kind("mmdpo.judge.rules", "rate", "judge.client")
"""Judges of fixed rules, without a service and without cost."""

RULE_RUBRICS = Kind("mmdpo.judge.rules", "RATES_BY", "judge.client")
"""The rubric that each judge of fixed rules rates by."""

TEACHER_RULES = Kind("mmdpo.judge.rules", "reference_answer", "judge.client")
"""Judges of fixed rules that need the right answers."""

NANO_RULES = Kind("mmdpo.judge.rules", "NEEDS_FACTS", "judge.client")
"""Judges of fixed rules that can rate the miniature's prompts only."""

BENCH_RULES = Kind("mmdpo.judge.rules", "rate", "bench.judge")
"""Judges that score the benchmarks' answers."""


def judge_clients() -> tuple[str, ...]:
    """Return the values of `judge.client`: services and fixed rules."""
    return (*CLIENTS.names(), *RULES.names())


def teachers() -> tuple[str, ...]:
    """Return the values of `judge.client` that can answer prompts, for method=sft."""
    return (*CLIENTS.names(), *TEACHER_RULES.names())


PROMPT_FORMATS = Kind("mmdpo.sources", "PROMPTS", "data.sources.NAME.format")
"""Formats of prompts: files of mmdpo/sources that define `PROMPTS`."""

PAIR_FORMATS = Kind("mmdpo.sources", "PAIRS", "data.format")
"""Formats of preference pairs: files of mmdpo/sources that define `PAIRS`."""

EXAMPLE_FORMATS = Kind("mmdpo.sources", "EXAMPLES", "data.format")
"""Formats of answers to learn: files of mmdpo/sources that define `EXAMPLES`."""

SYNTHETIC_FORMATS = Kind("mmdpo.sources", "SYNTHETIC", "data.format")
"""Prompts that are made by code: files of mmdpo/sources that define `SYNTHETIC`."""


def file_formats() -> tuple[str, ...]:
    """List the formats that read the file `data.path`."""
    return (*PAIR_FORMATS.names(), *EXAMPLE_FORMATS.names())


def data_formats() -> tuple[str, ...]:
    """List what `data.format` takes."""
    return (*SYNTHETIC_FORMATS.names(), *file_formats())


BENCHMARKS = Kind("mmdpo.evaluation.tasks", "TASK", "bench.tasks")
"""The benchmarks that `bench.tasks` takes: the files of mmdpo/evaluation/tasks."""

SCHEDULERS = (
    "linear",
    "cosine",
    "cosine_with_restarts",
    "polynomial",
    "constant",
    "constant_with_warmup",
    "inverse_sqrt",
)
"""Choices of `train.lr_scheduler_type`: the schedules of transformers that need no further argument."""

FEW_STEPS = 5
"""Number of optimizer steps below which a training gets a warning."""

DTYPES = ("auto", "bfloat16", "float32")
"""Choices of `model.dtype`."""

ZERO_STAGES = (0, 2, 3)
"""Choices of `train.zero_stage`; 0 is plain data parallelism, without DeepSpeed."""

FITS = ("auto", "off")
"""Choices of `train.fit`."""

FITTED = ("per_device_train_batch_size", "gradient_accumulation_steps", "activation_checkpointing", "zero_stage")
"""Settings of `train` that `train.fit=auto` chooses, and the choices of `train.fit_keeps`."""


def loss_types() -> tuple[str, ...]:
    """List the choices of `method.loss_type`: TRL's losses and those of mmdpo/training/losses."""
    return (*LOSSES, *CUSTOM_LOSSES.names())


class Choice(Enum):
    """An enum that is written as it is typed, also by Hydra's shell completion."""

    def __str__(self) -> str:
        """Return the value."""
        return str(self.value)


class Stage(Choice):
    """The stage that `launch.py` runs; `experiment` makes, trains, evaluates and judges whatever is missing."""

    prompts = "prompts"
    sample = "sample"
    annotate = "annotate"
    teacher = "teacher"
    build = "build"
    reference = "reference"
    train = "train"
    evaluate = "evaluate"
    judge = "judge"
    export = "export"
    report = "report"
    experiment = "experiment"


SHARED_STAGES = (Stage.prompts, Stage.sample, Stage.annotate, Stage.teacher, Stage.build, Stage.reference)
"""The stages that make data which points share; the others work in a point's folder or on a study."""


class TrainOn(Choice):
    """Training set of a method: pairs for a preference loss, the others for supervised fine-tuning."""

    pairs = "pairs"  # chosen and rejected
    teacher = "teacher"  # the judge's own answer to each prompt
    best_completion = "best_completion"  # the best rated completion of each prompt
    rated_completions = "rated_completions"  # all completions, with their ratings in the prompt


class TooLong(Choice):
    """Treatment of a row with more text tokens than `train.max_text_tokens`."""

    cut_answer = "cut_answer"
    drop = "drop"
    error = "error"


class PairRule(Choice):
    """Rule that selects pairs from the completions of a prompt (mmdpo/training_data/dpo.py)."""

    random_worse = "random_worse"
    best_worst = "best_worst"
    all = "all"


class CutCompletions(Choice):
    """Use of completions that `data.sampling.max_new_tokens` cut: they would teach to end in mid-sentence."""

    drop = "drop"
    keep = "keep"


class OnBadRow(Choice):
    """Treatment of an invalid row in the user's data."""

    error = "error"
    drop = "drop"


class Split(Choice):
    """Split of held-out items: `dev` to choose settings, `test` to report, `all` to compare with published rows."""

    dev = "dev"
    test = "test"
    all = "all"  # of benchmarks that are read from files, which upstream does not split


class AnswerEngine(Choice):
    """The program that answers the benchmarks' questions."""

    model = "model"  # this process
    openai = "openai"  # an OpenAI-compatible server that runs already
    server = "server"  # a server that the job starts and stops


class NoiseImage(Choice):
    """The unrelated image of mt_bench_noisy."""

    blank = "blank"  # one grey
    noise = "noise"  # random pixels
    photo = "photo"  # a photograph of the user's, chosen by seed and question


class JudgePlace(Choice):
    """The place from which a service judges the answers of SLURM jobs."""

    login = "login"  # the waiting command, since nodes often have no network
    job = "job"  # a job without GPU that depends on the answers


class Runner(Choice):
    """Runner of the points."""

    in_turn = "in_turn"  # this process, one after another
    parallel = "parallel"  # several processes on this machine, a point each
    slurm = "slurm"  # a SLURM job array


class SearchKind(Choice):
    """Way in which a command's points are trained: all to the end, or pruned at rungs."""

    none = "none"
    halving = "halving"  # successive halving


class Resume(Choice):
    """Continuation of a study whose code or data have changed since its earlier points were made."""

    same = "same"
    force = "force"


class WandbMode(Choice):
    """Mode of W&B; `auto` is online if a key is found, else offline."""

    auto = "auto"
    online = "online"
    offline = "offline"
    none = "none"
