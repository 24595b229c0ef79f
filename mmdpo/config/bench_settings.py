"""The schema of the benchmarks and of the server that may answer them."""

from dataclasses import dataclass, field
from typing import Annotated

from annotated_types import Interval
from omegaconf import MISSING

from mmdpo.config.choices import BENCHMARKS, AnswerEngine, NoiseImage, Split
from mmdpo.config.judge_settings import JudgeConfig
from mmdpo.config.markers import AT_LEAST_ONE, NO_RESULT, POSITIVE, SEED, SEVERAL_LINES, OneOf


@dataclass
class ServerConfig:
    """An OpenAI-compatible server that answers the benchmarks: one that runs, or one that the job starts."""

    base_url: Annotated[str | None, NO_RESULT] = None  # engine=openai: the address of the server
    model: str | None = None  # engine=openai: the server's name of the model; {point} becomes the point's name
    # engine=server: {model}, {point}, {adapter} and {port} are replaced. Words with {adapter}, and the option before
    # them, are left out for a model that was not trained.
    command: Annotated[str | None, SEVERAL_LINES, NO_RESULT] = None
    api_key: Annotated[list[str], NO_RESULT] = field(default_factory=list)  # environment variables that may hold it
    concurrency: Annotated[int, AT_LEAST_ONE, NO_RESULT] = 8  # simultaneous requests
    timeout: Annotated[float, POSITIVE, NO_RESULT] = 600.0  # seconds per request
    start_timeout: Annotated[float, POSITIVE, NO_RESULT] = 1800.0  # engine=server: seconds until it must answer


@dataclass
class BenchConfig:
    """Benchmarks, measured before and after training."""

    name: Annotated[str, NO_RESULT] = MISSING
    tasks: Annotated[list[str], OneOf(BENCHMARKS.names)] = MISSING
    # The judge of the answers; that of the pairs may be another. bench.judge=NAME chooses a file of conf/judge
    judge: JudgeConfig = field(default_factory=lambda: JudgeConfig(name="oracle", client="oracle"))
    # Folder of the benchmarks' files; `python -m mmdpo doctor bench=NAME` lists them
    root: Annotated[str, NO_RESULT] = "${oc.env:MMDPO_DATA,data}/bench"
    files: Annotated[dict[str, str], NO_RESULT] = field(default_factory=dict)  # other paths, by the names of `doctor`
    items: Annotated[int, AT_LEAST_ONE] = 240  # per task that makes its own items
    subset: Annotated[float, Interval(gt=0, le=1)] = 1.0  # share of the items of a file: seeded, nested, by category
    split: Split = Split.test
    seed: Annotated[int, SEED] = 0  # of the items, of dev and test, of sampled answers and of the bootstrap
    engine: AnswerEngine = AnswerEngine.model
    server: ServerConfig = field(default_factory=ServerConfig)
    shard: Annotated[str | None, NO_RESULT] = None  # K/N: answer only the K-th of N shares of the items
    batch_size: Annotated[int, AT_LEAST_ONE, NO_RESULT] = 64
    max_new_tokens: Annotated[int, AT_LEAST_ONE] = 512
    noise: NoiseImage = NoiseImage.photo  # mt_bench_noisy: the image before the question
    noise_per_turn: bool = False  # mt_bench_noisy: another image before each turn
    references: str = "gpt-4"  # mt_bench: the reference answers, a file of reference_answer/
    repeats: Annotated[int, AT_LEAST_ONE] = 1  # judgments of each answer by a service
    both_orders: bool = False  # pairwise tasks: judge each pair in both orders
    confidence: Annotated[float, Interval(gt=0, lt=1)] = 0.95
    resamples: Annotated[int, AT_LEAST_ONE] = 2000  # bootstrap
