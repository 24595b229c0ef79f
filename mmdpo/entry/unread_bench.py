"""Settings of `bench` that the tasks of a point do not read, with what to type instead."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

from mmdpo.config.choices import BENCHMARKS, CLIENTS, RULES, AnswerEngine
from mmdpo.config.schema import BenchConfig, JudgeConfig
from mmdpo.entry.bench_checks import reads_files, tasks_of, uses_judge
from mmdpo.evaluation.task import JudgeUse, load_task
from mmdpo.points.identity import OF_SOME_TASKS

READ_OF_RULES = ("name", "client", "rubric", "retry_unscored", "batch")
"""Settings of a judge of fixed rules that are read, or refused by a check of their own."""


def unread_of_bench(bench: BenchConfig) -> Iterator[tuple[str, str]]:
    """Yield each setting or group of settings of `bench` that is not read, with the reason."""
    tasks = tasks_of(bench)
    names = f"bench.tasks=[{','.join(tasks)}]"
    read = {name for task in tasks.values() for name in task.reads}
    for name in sorted(OF_SOME_TASKS - read):
        readers = [one for one in BENCHMARKS.names() if name in load_task(one).reads]
        choose = f"choose one that does: {', '.join(readers)}" if readers else "drop it"
        yield f"bench.{name}", f"{names} does not use it; {choose}"
    if "items" not in read:
        yield "bench.items", f"{names} reads files; type bench.subset= for a share of their items"
    if not any(reads_files(task, bench) for task in tasks.values()):
        for name in ("root", "files"):
            yield f"bench.{name}", f"{names} reads no file; choose another bench="
    if bench.engine is AnswerEngine.model:
        yield "bench.server", "this process answers; add bench.engine=openai or bench.engine=server"
    if not uses_judge(bench):
        yield "bench.judge", f"{names} needs no judge; drop it"
    else:
        yield from _of_judge(bench)


def _of_judge(bench: BenchConfig) -> Iterator[tuple[str, str]]:
    judge = bench.judge
    if judge.client in RULES.names():
        reason = f"bench.judge={judge.name} judges by rules; choose bench.judge={'|'.join(CLIENTS.names())}"
        for field in dataclasses.fields(JudgeConfig):
            if field.name not in READ_OF_RULES:
                yield f"bench.judge.{field.name}", reason
        return
    yield "bench.judge.share", "benchmarks are judged on a share of their items by bench.subset="
    yield "bench.judge.repeat", "benchmarks are judged again by bench.repeats="
    yield "bench.judge.seed", "each request shows one answer; there is no order to choose"
    if not judge.batch:
        for name in ("batch_size", "price.batch"):
            yield f"bench.judge.{name}", "requests are sent one by one; add bench.judge.batch=true"
    if not any(task.judge_use is JudgeUse.rated for task in tasks_of(bench).values()):
        own = f"bench.tasks=[{','.join(bench.tasks)}] bring their own prompts, limits and temperatures"
        for name in ("rubric", "structured", "image_side", "max_output_tokens"):
            yield f"bench.judge.{name}", f"{own}; drop it"
        if judge.temperature is not None:
            yield "bench.judge.temperature", f"{own}; bench.judge.temperature=null sends none"
