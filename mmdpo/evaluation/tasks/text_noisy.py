"""The text instructions of the miniature, each with a meaningless image, in the manner of noisy-image MT-Bench."""

from __future__ import annotations

from pathlib import Path

from mmdpo.config.schema import BenchConfig
from mmdpo.evaluation.detectable import MINIATURE, Detectable
from mmdpo.evaluation.scorers import RATING_METRICS, by_rating
from mmdpo.evaluation.solvers import single_turn
from mmdpo.evaluation.task import JudgeUse, Task
from mmdpo.records import Prompt


def samples(bench: BenchConfig, folder: Path) -> list[Prompt]:
    """Make the instructions and an image for each."""
    from mmdpo.nano.items import noisy_text_items

    return noisy_text_items(bench.items, bench.split.value, bench.seed, folder)


TASK = Task(
    label="text, unrelated image",
    samples=samples,
    solver=single_turn,
    scorer=by_rating,
    metrics=RATING_METRICS,
    main_metric="score",
    groups=("category", "distance"),
    judge_use=JudgeUse.rated,
    reads=("items",),
    detectable=Detectable(0.24, 240, MINIATURE),
    order=40,
    package="mmdpo.nano",
)
