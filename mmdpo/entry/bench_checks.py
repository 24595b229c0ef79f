"""Checks of the benchmarks: what their tasks need of each other's settings and of the judge."""

from __future__ import annotations

from collections.abc import Iterator

from mmdpo.config.choices import BENCHMARKS, CLIENTS, NANO_RULES, RULES, Split, Stage
from mmdpo.config.schema import BenchConfig, Config
from mmdpo.entry.judge_checks import service_problems
from mmdpo.evaluation.scorers import ATTRIBUTES
from mmdpo.evaluation.task import JudgeUse, Task, load_task
from mmdpo.judge.rubric import load_rubric


def bench_problems(config: Config) -> Iterator[str]:
    """Describe each problem of the benchmarks' settings, with the override to type."""
    bench = config.bench
    tasks = tasks_of(bench)
    made_here = [name for name, task in tasks.items() if not reads_files(task, bench)]
    if bench.split is Split.all and made_here:
        yield f"bench.split=all: {', '.join(made_here)} make their own items, of dev or test; type bench.split=test"
    if uses_judge(bench):
        yield from _judge_problems(config, tasks)


def _judge_problems(config: Config, tasks: dict[str, Task]) -> Iterator[str]:
    bench, judge = config.bench, config.bench.judge
    services = "|".join(CLIENTS.names())
    asked = [name for name, task in tasks.items() if task.judge_use is JudgeUse.asked]
    rated = [name for name, task in tasks.items() if task.judge_use is JudgeUse.rated]
    if asked and judge.client in RULES.names():
        yield f"bench.judge={judge.name}: {', '.join(asked)} ask a service; choose bench.judge={services}"
    real = [name for name in rated if reads_files(tasks[name], bench)]
    if real and judge.client in NANO_RULES.names():
        only = f"bench.judge={judge.name}: rates the miniature only"
        yield f"{only}, not {', '.join(real)}; choose bench.judge={services}"
    if rated and judge.client in CLIENTS.names():
        missing = [name for name in ATTRIBUTES if name not in load_rubric(judge.rubric).attributes]
        if missing:
            yield f"bench.judge.rubric={judge.rubric}: has no {', '.join(missing)}, which {', '.join(rated)} score by"
    if config.stage is not Stage.judge and judge.retry_unscored:
        yield "bench.judge.retry_unscored=true: needs stage=judge"
    if config.stage is Stage.judge and judge.client in RULES.names():
        for key, one in {"judge": config.judge, "bench.judge": judge}.items():
            if one.retry_unscored:
                yield f"{key}.retry_unscored=true: bench.judge={judge.name} asks nothing; drop it"
    yield from service_problems(judge, "bench.judge")


def tasks_of(bench: BenchConfig) -> dict[str, Task]:
    """Return the tasks of `bench.tasks` by name; unknown names are left out."""
    return {name: load_task(name) for name in dict.fromkeys(bench.tasks) if name in BENCHMARKS.names()}


def reads_files(task: Task, bench: BenchConfig) -> bool:
    """Return whether a task reads files of the user, and makes no items of its own."""
    return bool(task.bench_files or task.files(bench))


def uses_judge(bench: BenchConfig) -> bool:
    """Return whether any task needs `bench.judge`."""
    return any(task.judge_use is not JudgeUse.no for task in tasks_of(bench).values())
