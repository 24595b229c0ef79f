"""AlpacaEval: 805 instructions, each answer compared with a reference output by a judge."""

from __future__ import annotations

from pathlib import Path

from mmdpo.config.schema import BenchConfig
from mmdpo.evaluation.alpaca_files import (
    REFERENCE_OUTPUTS,
    read_answers,
    read_judgments,
    read_model,
    read_references,
    write_answers,
)
from mmdpo.evaluation.bench_files import prompt_owner
from mmdpo.evaluation.detectable import Detectable
from mmdpo.evaluation.length_controlled import GAMED
from mmdpo.evaluation.rubrics.alpaca_eval import JUDGE_PROMPT, judge_pairs, readings_of
from mmdpo.evaluation.solvers import single_turn
from mmdpo.evaluation.task import Cluster, JudgeUse, Task, Upstream
from mmdpo.evaluation.win_rate import METRICS, upstream_scores
from mmdpo.records import Prompt


def samples(bench: BenchConfig, folder: Path) -> list[Prompt]:
    """Read the instructions and the reference outputs."""
    return read_references(bench)


TASK = Task(
    label="AlpacaEval",
    samples=samples,
    solver=single_turn,
    scorer=judge_pairs,
    metrics=METRICS,
    main_metric="win_rate",
    groups=("category",),
    cluster=Cluster.item,
    bench_files=(REFERENCE_OUTPUTS, JUDGE_PROMPT, GAMED),
    reads=("repeats", "both_orders"),
    judge_use=JudgeUse.asked,
    rubric=prompt_owner(JUDGE_PROMPT),
    text_only=True,
    upstream=Upstream(upstream_scores, write_answers, read_answers, read_judgments, read_model, readings=readings_of),
    detectable=Detectable(4.4, 805, "pairs of models with stored annotations of GPT-4 (3.3 to 5.5)"),
    order=60,
)
