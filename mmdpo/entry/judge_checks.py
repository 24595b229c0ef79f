"""Checks of the judge: what a service needs, and which settings go together."""

from __future__ import annotations

from collections.abc import Iterator

from mmdpo.config.choices import (
    BATCH_CLIENTS,
    CLIENTS,
    EXTRA_BODY_BATCH_CLIENTS,
    EXTRA_BODY_CLIENTS,
    NANO_RULES,
    REASONING_CLIENTS,
    RULE_RUBRICS,
    RULES,
    Stage,
)
from mmdpo.config.schema import Config
from mmdpo.judge.parsing import LABELS


def judge_problems(config: Config) -> Iterator[str]:
    """Describe each problem of the judge's settings, with the override to type."""
    judge, limits, price = config.judge, config.judge.limits, config.judge.price
    if judge.batch and judge.client not in BATCH_CLIENTS.names():
        choices = "|".join(BATCH_CLIENTS.names())
        yield f"judge.batch=true: judge={judge.name} has no batches; drop it, or choose judge={choices}"
    if judge.reasoning_effort is not None and judge.client not in REASONING_CLIENTS.names():
        yield (
            f"judge.reasoning_effort={judge.reasoning_effort}: judge={judge.name} does not send it; drop it, or choose "
            f"judge={'|'.join(REASONING_CLIENTS.names())} (Gemini: judge.extra_body.generationConfig.thinkingConfig)"
        )
    if judge.extra_body and judge.client not in EXTRA_BODY_CLIENTS.names():
        choices = "|".join(EXTRA_BODY_CLIENTS.names())
        yield f"judge.extra_body: judge={judge.name} does not send it; drop it, or choose judge={choices}"
    if judge.extra_body and judge.batch and judge.client not in EXTRA_BODY_BATCH_CLIENTS.names():
        yield f"judge.extra_body: batch jobs of judge={judge.name} do not send it; drop it, or type judge.batch=false"
    if limits.budget is not None and price.input == price.output == 0:
        yield "judge.limits.budget: needs prices; add judge.price.input= and judge.price.output="
    if config.data.sources and judge.client in NANO_RULES.names():
        yield (
            f"judge={judge.name}: rates the miniature only, not data={config.data.name}; choose "
            f"judge={'|'.join(CLIENTS.names())}"
        )
    if judge.retry_unscored and config.stage not in (Stage.annotate, Stage.teacher):
        yield "judge.retry_unscored=true: needs stage=annotate or stage=teacher"
    if judge.client in CLIENTS.names() and not judge.model:
        yield f"judge.model is missing: judge={judge.name} needs one; add judge.model=..."
    if judge.client in RULES.names() and judge.rubric != (rubric := RULE_RUBRICS.load(judge.client)):
        yield f"judge.rubric={judge.rubric}: judge={judge.name} rates by {rubric} only; drop it"
    if (count := config.data.sampling.completions) > len(LABELS):
        yield f"data.sampling.completions={count}: a judge is shown at most {len(LABELS)}"
