"""Checks of the judge: what a service needs, and which settings go together."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date

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
from mmdpo.config.schema import Config, JudgeConfig
from mmdpo.judge.parsing import LABELS


def judge_problems(config: Config) -> Iterator[str]:
    """Describe each problem of the judge's settings, with the override to type."""
    judge = config.judge
    yield from service_problems(judge, "judge")
    if config.data.sources and judge.client in NANO_RULES.names():
        yield (
            f"judge={judge.name}: rates the miniature only, not data={config.data.name}; choose "
            f"judge={'|'.join(CLIENTS.names())}"
        )
    if judge.retry_unscored and config.stage not in (Stage.annotate, Stage.teacher, Stage.judge):
        yield "judge.retry_unscored=true: needs stage=annotate, stage=teacher or stage=judge"
    if judge.share < 1 and config.stage is not Stage.annotate:
        yield f"judge.share={judge.share}: is a sample to compare judges on; type stage=annotate, or drop it"
    if (count := config.data.sampling.completions) > len(LABELS):
        yield f"data.sampling.completions={count}: a judge is shown at most {len(LABELS)}"


def service_problems(judge: JudgeConfig, key: str) -> Iterator[str]:
    """Describe each problem of the settings of a judge alone.

    Args:
        judge: The settings.
        key: Their group: `judge` or `bench.judge`.
    """
    limits, price = judge.limits, judge.price
    if judge.batch and judge.client not in BATCH_CLIENTS.names():
        choices = "|".join(BATCH_CLIENTS.names())
        yield f"{key}.batch=true: {key}={judge.name} has no batches; drop it, or choose {key}={choices}"
    if judge.reasoning_effort is not None and judge.client not in REASONING_CLIENTS.names():
        yield (
            f"{key}.reasoning_effort={judge.reasoning_effort}: {key}={judge.name} does not send it; drop it, or choose "
            f"{key}={'|'.join(REASONING_CLIENTS.names())} (Gemini: {key}.extra_body.generationConfig.thinkingConfig)"
        )
    if judge.extra_body and judge.client not in EXTRA_BODY_CLIENTS.names():
        choices = "|".join(EXTRA_BODY_CLIENTS.names())
        yield f"{key}.extra_body: {key}={judge.name} does not send it; drop it, or choose {key}={choices}"
    if judge.extra_body and judge.batch and judge.client not in EXTRA_BODY_BATCH_CLIENTS.names():
        yield f"{key}.extra_body: batch jobs of {key}={judge.name} do not send it; drop it, or type {key}.batch=false"
    if limits.budget is not None and price.input == price.output == 0:
        yield f"{key}.limits.budget: needs prices; add {key}.price.input= and {key}.price.output="
    if judge.client in CLIENTS.names() and not judge.model:
        yield f"{key}.model is missing: {key}={judge.name} needs one; add {key}.model=..."
    if judge.client in RULES.names() and judge.rubric != (rubric := RULE_RUBRICS.load(judge.client)):
        yield f"{key}.rubric={judge.rubric}: {key}={judge.name} rates by {rubric} only; drop it"
    if judge.shutdown is not None and shutdown_of(judge) is None:
        yield f"{key}.shutdown={judge.shutdown}: is no date; type one as 2027-01-14, or null"


def shutdown_of(judge: JudgeConfig) -> date | None:
    """Return the date on which the service ends the judge's model; None if none is known."""
    try:
        return date.fromisoformat(judge.shutdown or "")
    except ValueError:
        return None
