"""Questions of the miniature about scenes and charts, in the manner of LLaVA-Bench."""

from __future__ import annotations

from pathlib import Path

from mmdpo.config.schema import BenchConfig
from mmdpo.evaluation.detectable import MINIATURE, Detectable
from mmdpo.evaluation.scorers import RATING_METRICS, by_rating
from mmdpo.evaluation.solvers import single_turn
from mmdpo.evaluation.task import JudgeUse, Task
from mmdpo.records import Prompt


def samples(bench: BenchConfig, folder: Path) -> list[Prompt]:
    """Make the questions and their images."""
    from mmdpo.nano.items import visual_items

    return visual_items(bench.items, bench.split.value, bench.seed, folder)


TASK = Task(
    label="visual questions",
    samples=samples,
    solver=single_turn,
    scorer=by_rating,
    metrics=RATING_METRICS,
    main_metric="score",
    groups=("category", "distance"),
    judge_use=JudgeUse.rated,
    reads=("items",),
    detectable=Detectable(0.31, 240, MINIATURE),
    order=20,
    package="mmdpo.nano",
)
