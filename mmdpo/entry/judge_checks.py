"""Checks of the judge: what a service needs, and which settings go together."""

from __future__ import annotations

from collections.abc import Iterator

from mmdpo.config.choices import RULE_JUDGES, Stage
from mmdpo.config.schema import Config, options
from mmdpo.judge.request import LABELS, rubrics


def judge_problems(config: Config) -> Iterator[str]:
    """Describe each problem of the judge's settings, with the override to type."""
    judge, limits, price = config.judge, config.judge.limits, config.judge.price
    if judge.name not in options("judge"):
        yield f"judge.name={judge.name}: unknown; allowed are {', '.join(options('judge'))}"
    if judge.batch and judge.name != "gemini":
        yield f"judge.batch=true: judge={judge.name} has no batches; drop it, or choose judge=gemini"
    if limits.budget is not None and price.input == price.output == 0:
        yield "judge.limits.budget: needs prices; add judge.price.input= and judge.price.output="
    if config.data.sources and judge.name == "oracle":
        services = [name for name in options("judge") if name not in RULE_JUDGES]
        yield f"judge=oracle: knows the miniature only, not data={config.data.name}; choose judge={'|'.join(services)}"
    if judge.retry_unscored and config.stage not in (Stage.annotate, Stage.teacher):
        yield "judge.retry_unscored=true: needs stage=annotate or stage=teacher"
    if judge.name not in RULE_JUDGES and not judge.model:
        yield f"judge.model is missing: judge={judge.name} needs one; add judge.model=..."
    if judge.rubric not in rubrics():
        yield f"judge.rubric={judge.rubric}: unknown; allowed are {', '.join(rubrics())}"
    if (count := config.data.sampling.completions) > len(LABELS):
        yield f"data.sampling.completions={count}: a judge is shown at most {len(LABELS)}"
