"""Needs of benchmarks for the judge and for each other's settings, and the keys that they read."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from mmdpo.entry.compose import compose_config
from mmdpo.errors import UserError
from tests.entry.test_typed_keys import run
from tests.support.graded import graded_task

GRADED = "bench.tasks=[graded] bench.split=all"
SERVICE = f"{GRADED} judge@bench.judge=openai bench.judge.model=m"


@pytest.fixture(autouse=True)
def _task(tmp_path: Path) -> Iterator[None]:
    with graded_task(tmp_path / "bench", 2):
        yield


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (GRADED, r"bench\.judge=oracle: graded ask a service; choose bench\.judge=gemini"),
        (f"{GRADED} bench.judge=openai", r"bench\.judge\.model is missing"),
        (
            f"{GRADED} bench.judge=openai bench.judge.model=m bench.judge.limits.budget=1",
            r"bench\.judge\.price\.input=",
        ),
        (f"{GRADED} bench.judge=gemini bench.judge.reasoning_effort=low", r"choose bench\.judge=openai"),
        (f"{GRADED} bench.judge=gemini_legacy bench.judge.batch=true", r"bench\.judge\.batch=true.*no batches"),
        (f"{GRADED} bench.judge=gemini bench.judge.shutdown=soon", r"bench\.judge\.shutdown=soon"),
        (f"{GRADED} bench.judge=gemini bench.judge.retry_unscored=true", r"needs stage=judge"),
        ("stage=judge judge.retry_unscored=true", r"bench\.judge=oracle asks nothing"),
        ("bench.split=all", r"bench\.split=all: text.*type bench\.split=test"),
        (f"{GRADED} bench.judge=gemini objective=text", "objective=text"),
    ],
)
def test_what_does_not_go_together_is_refused(line: str, message: str):
    with pytest.raises(UserError, match=message):
        compose_config(line.split())


def test_a_secret_of_the_benchmarks_judge_is_refused(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("BENCH_KEY", "sk-0123456789abcdef0123")
    line = f"{GRADED} bench.judge=gemini bench.judge.api_key=[BENCH_KEY] study=sk-0123456789abcdef0123"
    with pytest.raises(UserError, match="BENCH_KEY"):
        compose_config(line.split())


def test_the_default_objective_is_the_first_task_where_text_is_none():
    assert compose_config([*GRADED.split(), "bench.judge=gemini"]).objective == "graded"
    assert compose_config(["bench.tasks=[presence,text]"]).objective == "text"
    assert compose_config(["bench.tasks=[visual,presence]"]).objective == "visual"


@pytest.mark.parametrize(
    ("line", "key", "instead"),
    [
        ("bench.repeats=2", "bench.repeats", "graded"),
        ("bench.references=x", "bench.references", "bench.tasks="),
        ("bench.root=x", "bench.root", "reads no file"),
        ("data_scale=0 bench.repeats=2", "bench.repeats", "graded"),
        ("bench.server.model=x", "bench.server.model", "bench.engine=openai"),
        ("bench.judge.model=x", "bench.judge.model", "choose bench.judge=gemini"),
        ("bench.tasks=[presence] judge@bench.judge=gemini", "bench.judge", "needs no judge"),
        (f"{SERVICE} bench.items=5", "bench.items", "bench.subset="),
        (f"{SERVICE} bench.judge.repeat=0.5", "bench.judge.repeat", "bench.repeats="),
        (f"{SERVICE} bench.judge.temperature=1", "bench.judge.temperature", "null"),
        (f"{SERVICE} bench.judge.max_output_tokens=9", "bench.judge.max_output_tokens", "drop it"),
        (f"{SERVICE} bench.judge.batch_size=9", "bench.judge.batch_size", "bench.judge.batch=true"),
    ],
)
def test_a_key_that_no_task_reads_is_refused(line: str, key: str, instead: str):
    with pytest.raises(UserError) as caught:
        run(line)
    (problem,) = (one for one in str(caught.value).splitlines() if one.startswith(f"{key}="))
    assert instead in problem


@pytest.mark.parametrize(
    "line",
    [
        f"{SERVICE} bench.repeats=2 bench.root=. bench.judge.temperature=null",
        "bench.tasks=[text] judge@bench.judge=gemini bench.judge.max_output_tokens=99 bench.items=3",
        "bench.tasks=[text] judge@bench.judge=gemini stage=judge judge.retry_unscored=true",
        "data=pairs data.path=pairs.jsonl judge@bench.judge=longer",
    ],
)
def test_keys_that_are_read_are_taken(line: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    from tests.support.identities import own_files

    monkeypatch.chdir(tmp_path)
    own_files(tmp_path)
    assert run(line) == 1
