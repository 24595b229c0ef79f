"""MT-Bench: 80 conversations of two turns in eight categories, judged from 1 to 10."""

from __future__ import annotations

from pathlib import Path

from mmdpo.config.schema import BenchConfig
from mmdpo.evaluation.bench_files import prompt_owner
from mmdpo.evaluation.detectable import Detectable
from mmdpo.evaluation.fastchat import (
    QUESTIONS,
    REFERENCE_ANSWERS,
    answer_writer,
    read_answers,
    read_judgments,
    read_questions,
)
from mmdpo.evaluation.rubrics.mt_bench import JUDGE_PROMPTS, METRICS, judge_turns, readings_of, upstream_scores
from mmdpo.evaluation.solvers import conversation
from mmdpo.evaluation.task import Cluster, JudgeUse, Task, Upstream
from mmdpo.records import Prompt

TEMPERATURES = {"stem": 0.1, "humanities": 0.1, "extraction": 0.0, "math": 0.0, "coding": 0.0, "reasoning": 0.0}
OTHER = 0.7  # writing, roleplay, and categories that FastChat does not name


def samples(bench: BenchConfig, folder: Path) -> list[Prompt]:
    """Read the questions and the reference answers."""
    return read_questions(bench)


def temperature_by_category(prompt: Prompt) -> float:
    """Return FastChat's temperature of the answers to a question."""
    return TEMPERATURES.get(prompt.category, OTHER)


TASK = Task(
    label="MT-Bench",
    samples=samples,
    solver=conversation(temperature_by_category),
    scorer=judge_turns,
    metrics=METRICS,
    main_metric="score",
    groups=("", "category"),
    cluster=Cluster.question,
    bench_files=(QUESTIONS, REFERENCE_ANSWERS, JUDGE_PROMPTS),
    reads=("references", "repeats"),
    judge_use=JudgeUse.asked,
    rubric=prompt_owner(JUDGE_PROMPTS),
    text_only=True,
    upstream=Upstream(upstream_scores, answer_writer("mt_bench"), read_answers, read_judgments, readings=readings_of),
    detectable=Detectable(0.52, 80, "pairs of models with stored judgments of GPT-4 (0.35 to 0.85)"),
    order=50,
)
