"""Text instructions of the miniature in eight categories, in the manner of MT-Bench."""

from __future__ import annotations

from pathlib import Path

from mmdpo.config.schema import BenchConfig
from mmdpo.evaluation.detectable import MINIATURE, Detectable
from mmdpo.evaluation.scorers import RATING_METRICS, by_rating
from mmdpo.evaluation.solvers import single_turn
from mmdpo.evaluation.task import JudgeUse, Task
from mmdpo.records import Prompt


def samples(bench: BenchConfig, folder: Path) -> list[Prompt]:
    """Make the instructions; they have no images."""
    from mmdpo.nano.items import text_items

    return text_items(bench.items, bench.split.value, bench.seed)


TASK = Task(
    label="text instructions",
    samples=samples,
    solver=single_turn,
    scorer=by_rating,
    metrics=RATING_METRICS,
    main_metric="score",
    groups=("category", "distance"),
    judge_use=JudgeUse.rated,
    text_only=True,
    reads=("items",),
    detectable=Detectable(0.23, 240, MINIATURE),
    order=10,
    package="mmdpo.nano",
)
