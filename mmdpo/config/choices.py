"""What settings take: the names that a key of the config may have, as tuples and enums."""

from enum import Enum

from mmdpo.registry import Kind

LOSSES = (
    "sigmoid", "hinge", "ipo", "exo_pair", "nca_pair", "robust", "bco_pair", "sppo_hard", "aot",
    "aot_unpaired", "apo_zero", "apo_down", "discopop", "sft", "sigmoid_norm",
)  # fmt: skip
"""What `method.loss_type` takes: TRL's `DPOConfig.loss_type`."""

SMOOTHED = ("exo_pair", "robust", "aot", "aot_unpaired")
"""The losses that use `method.label_smoothing`."""

RUBRICS = Kind("mmdpo.judge.rubrics", "RUBRIC", "judge.rubric")
"""What completions are rated by."""

CLIENTS = Kind("mmdpo.clients", "make_client", "judge.client")
"""Clients of paid services."""

BATCH_CLIENTS = Kind("mmdpo.clients", "SUPPORTS_BATCHES", "judge.client")
"""Clients that `judge.batch=true` works with."""

RULES = Kind("mmdpo.judge.rules", "rate", "judge.client")
"""Judges of fixed rules, without a service and without cost."""

RULE_RUBRICS = Kind("mmdpo.judge.rules", "RATES_BY", "judge.client")
"""The rubric that each judge of fixed rules rates by."""

TEACHER_RULES = Kind("mmdpo.judge.rules", "reference_answer", "judge.client")
"""Judges of fixed rules that know the right answers."""

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


READERS = ("scigraphqa", "lrv", "llava_sft")
"""What `data.sources.NAME.reader` takes: a file of mmdpo/sources each, rows to prompts."""

FORMATS = ("pairs", "authors", "llava_rlhf", "helpsteer", "rlhf_v", "llava_sft")
"""What `data.format` takes: a file of mmdpo/sources each, rows to pairs or, the last, to answers to learn."""

BENCHMARKS = ("text", "visual", "presence", "text_noisy")
"""What `bench.tasks` takes: a file of mmdpo/evaluation each."""

SCHEDULERS = (
    "linear",
    "cosine",
    "cosine_with_restarts",
    "polynomial",
    "constant",
    "constant_with_warmup",
    "inverse_sqrt",
)
"""What `train.lr_scheduler_type` takes: the schedules of transformers that need no further argument."""

DTYPES = ("auto", "bfloat16", "float32")
"""What `model.dtype` takes."""

ZERO_STAGES = (0, 2, 3)
"""What `train.zero_stage` takes; 0 is plain data parallelism, without DeepSpeed."""


class Stage(Enum):
    """What `launch.py` does; `experiment` makes, trains and evaluates whatever is missing."""

    prompts = "prompts"
    sample = "sample"
    annotate = "annotate"
    teacher = "teacher"
    build = "build"
    reference = "reference"
    train = "train"
    evaluate = "evaluate"
    export = "export"
    report = "report"
    experiment = "experiment"


class TrainOn(Enum):
    """The training set of a method: pairs for a preference loss, the others for plain SFT."""

    pairs = "pairs"  # chosen and rejected
    teacher = "teacher"  # a teacher's answer to each prompt
    best_completion = "best_completion"  # the best rated of the model's own
    rated_completions = "rated_completions"  # all of them, with their ratings in the request


class TooLong(Enum):
    """What becomes of a row with more text tokens than `train.max_text_tokens`."""

    cut_answer = "cut_answer"
    drop = "drop"
    error = "error"


class PairRule(Enum):
    """Which completions of a prompt make a pair (mmdpo/training_data/dpo.py)."""

    random_worse = "random_worse"
    best_worst = "best_worst"
    all = "all"


class OnBadRow(Enum):
    """What a wrong row of the user's data does."""

    error = "error"
    drop = "drop"


class Split(Enum):
    """Held-out items: `dev` chooses settings, `test` is what is reported."""

    dev = "dev"
    test = "test"


class Runner(Enum):
    """Who runs points."""

    in_turn = "in_turn"  # this process, one after another
    parallel = "parallel"  # several processes on this machine
    slurm = "slurm"  # an array of jobs


class Resume(Enum):
    """Whether a study goes on where code or data are no longer what its earlier points were made with."""

    same = "same"
    force = "force"


class WandbMode(Enum):
    """`auto` is online where a key is found and offline elsewhere."""

    auto = "auto"
    online = "online"
    offline = "offline"
    none = "none"
