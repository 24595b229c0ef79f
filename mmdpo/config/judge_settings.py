"""The schema of a judge: of the completions that pairs are made of (`judge`), and of the benchmarks (`bench.judge`)."""

from dataclasses import dataclass, field
from typing import Annotated, Any

from annotated_types import Interval
from omegaconf import MISSING

from mmdpo.config.choices import RUBRICS, judge_clients
from mmdpo.config.markers import AT_LEAST_ONE, NO_RESULT, NOT_NEGATIVE, POSITIVE, SEED, SHARE, OneOf


@dataclass
class LimitsConfig:
    """Limits on the requests to a paid judge. The quotas are those of the user's account."""

    requests_per_minute: Annotated[float | None, POSITIVE] = None
    tokens_per_minute: Annotated[float | None, POSITIVE] = None
    requests_per_day: Annotated[int | None, AT_LEAST_ONE] = None  # a day ends at midnight, Pacific time
    concurrency: Annotated[int, AT_LEAST_ONE] = 1  # simultaneous calls
    budget: Annotated[float | None, POSITIVE] = None  # in the currency of judge.price
    max_attempts: Annotated[int, AT_LEAST_ONE] = 6  # per call, while the judge is busy
    # Without a Retry-After header: the first wait, doubled with each attempt, with full jitter, up to the longest
    backoff_seconds: Annotated[float, POSITIVE] = 1.0
    backoff_longest: Annotated[float, POSITIVE] = 60.0
    retry_after_longest: Annotated[float, POSITIVE] = 600.0  # seconds; the most that a Retry-After header is followed


@dataclass
class PriceConfig:
    """Prices of a judge, for the estimate, the budget and the report."""

    input: Annotated[float, NOT_NEGATIVE] = 0.0  # per million tokens
    output: Annotated[float, NOT_NEGATIVE] = 0.0
    batch: Annotated[float, NOT_NEGATIVE] = 0.5  # factor on the price with judge.batch=true
    currency: str = "USD"
    of: str = ""  # the date on which the price was looked up


@dataclass
class JudgeConfig:
    """The judge of the completions that training pairs are made of."""

    name: Annotated[str, NO_RESULT] = MISSING  # a label
    client: Annotated[str, OneOf(judge_clients)] = MISSING  # a file of mmdpo/clients or mmdpo/judge/rules
    model: str | None = None  # the service's name of the model
    base_url: str | None = None  # another endpoint: a proxy, a local server, a rehearsal server
    api_key: Annotated[list[str], NO_RESULT] = field(default_factory=list)  # variables that may hold the key
    rubric: Annotated[str, OneOf(RUBRICS.names)] = "helpsteer_1"  # a file of mmdpo/judge/rubrics
    temperature: Annotated[float | None, Interval(ge=0, le=2)] = 0.0  # null: not sent, for models that refuse it
    max_output_tokens: Annotated[int, AT_LEAST_ONE] = 4096
    reasoning_effort: str | None = None  # of a reasoning model, such as low; null: not sent
    extra_body: dict[str, Any] = field(default_factory=dict)  # more fields of a request, as the service names them
    structured: bool = True  # ask for JSON by schema, if the service can
    image_side: Annotated[int, AT_LEAST_ONE] = 3072  # pixels; larger images are scaled down before they are sent
    seed: Annotated[int, SEED] = 0  # of the order in which completions are presented
    repeat: Annotated[float, SHARE, NO_RESULT] = 0.0  # share of the prompts that is rated twice, to measure agreement
    # stage=annotate alone: share of the prompts that is rated, to compare a second judge on a sample
    share: Annotated[float, Interval(gt=0, le=1), NO_RESULT] = 1.0
    retry_unscored: Annotated[bool, NO_RESULT] = False  # ask again for prompts without a rating
    batch: Annotated[bool, NO_RESULT] = False  # submit jobs; the same command collects them later
    batch_size: Annotated[int, AT_LEAST_ONE, NO_RESULT] = 500  # requests per job
    journal: Annotated[str | None, NO_RESULT] = None  # a file; null: one per client in the cache
    timeout: Annotated[float, POSITIVE, NO_RESULT] = 120.0  # seconds for a whole call
    shutdown: Annotated[str | None, NO_RESULT] = None  # the date on which the service ends the model, as 2027-01-14
    limits: Annotated[LimitsConfig, NO_RESULT] = field(default_factory=LimitsConfig)
    price: Annotated[PriceConfig, NO_RESULT] = field(default_factory=PriceConfig)
