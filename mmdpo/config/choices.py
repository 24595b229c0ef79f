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

ATTRIBUTES = ("helpfulness", "correctness", "coherence", "complexity", "verbosity")
"""What completions are rated by (HelpSteer's), 0..4 each."""

TEACHERS = ("oracle", "gemini", "gemini_legacy", "openai")
"""The judges with answers of their own, which `method=sft` learns."""

RULE_JUDGES = ("oracle", "longer")
"""The judges of fixed rules: no service, no cost. Benchmarks are scored by these."""

READERS = ("scigraphqa", "lrv", "llava_sft")
"""What `data.sources.NAME.reader` takes: a file of mmdpo/sources each, rows to prompts."""

FORMATS = ("pairs", "authors", "llava_rlhf", "helpsteer", "rlhf_v", "llava_sft")
"""What `data.format` takes: a file of mmdpo/sources each, rows to pairs or, the last, to answers to learn."""

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
"""What `train.lr_scheduler_type` takes: the schedules of transformers that need no further argument."""

DTYPES = ("auto", "bfloat16", "float32")
"""What `model.dtype` takes."""

ZERO_STAGES = (0, 2, 3)
"""What `train.zero_stage` takes; 0 is plain data parallelism, without DeepSpeed."""


class Stage(Enum):
    """What `launch.py` does; `experiment` makes, trains, evaluates and judges whatever is missing."""

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
