"""The schema of a study's plan, which is made before its results are known."""

from dataclasses import dataclass, field
from typing import Annotated, Any

from mmdpo.config.choices import Split
from mmdpo.config.markers import AT_LEAST_ONE, SEED, SEVERAL_LINES


@dataclass
class PlanConfig:
    """The plan of a study: its hypothesis, and the comparison that decides. There is a plan if `primary` is set."""

    hypothesis: Annotated[str | None, SEVERAL_LINES] = None  # in words
    primary: str | None = None  # the benchmark whose score decides
    compared: dict[str, Any] = field(default_factory=dict)  # the results by axes, as {method: dpo}; none: all trained
    against: dict[str, Any] = field(default_factory=dict)  # a trained result, as {method: sft}; none: the base
    seeds: Annotated[list[int], SEED] = field(default_factory=list)  # of each result; none: any
    split: Split | None = None  # of the primary benchmark; null: bench.split
    stopping: Annotated[str | None, SEVERAL_LINES] = None  # when the study ends, in words
    points: Annotated[int | None, AT_LEAST_ONE] = None  # the number of trained points at which it ends
