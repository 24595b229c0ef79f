"""A task of real benchmarks run on made-up files: samples, answers of a stand-in and judgments."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from PIL import Image

from mmdpo.clients.answers import ParseFailure
from mmdpo.config.choices import Split
from mmdpo.config.schema import BenchConfig
from mmdpo.evaluation.answers import write_answers
from mmdpo.evaluation.judgments import PointScores, write_judgments
from mmdpo.evaluation.samples import sample_sets
from mmdpo.evaluation.task import JudgeReply, JudgeRequest
from mmdpo.records import Prompt
from tests.support.engines import ENGINE


class TextJudge:
    """A judge that answers each request with `reply(request)`; None is no answer. It keeps the requests."""

    def __init__(self, reply: Callable[[JudgeRequest], str | None]) -> None:
        self.reply = reply
        self.requests: list[JudgeRequest] = []

    def rate(self, items):
        raise AssertionError("no ratings are asked for")

    def ask(self, requests: Sequence[JudgeRequest]) -> list[JudgeReply]:
        self.requests += requests
        return [self._reply(request) for request in requests]

    def _reply(self, request: JudgeRequest) -> JudgeReply:
        if (text := self.reply(request)) is None:
            return JudgeReply(None, reason="refused")
        value = request.parse(text)
        failed = isinstance(value, ParseFailure)
        return JudgeReply(None if failed else value, text, value.reason if failed else "")


def bench_config(task: str, root: Path, **settings) -> BenchConfig:
    return BenchConfig(name=task, tasks=[task], root=str(root), split=Split.all, resamples=20, **settings)


def run_task(
    bench: BenchConfig, folder: Path, reply: Callable[[Prompt], str], judge: TextJudge | None = None
) -> PointScores:
    """Answer the samples with `reply`, judge the answers, and return the scores."""
    ENGINE.reset()
    ENGINE.reply = reply
    sets = sample_sets(bench, {}, "")
    write_answers(sets, ENGINE, {}, bench, folder)
    return write_judgments(sets, judge, {}, bench, folder)


def write_images(folder: Path, names: Sequence[str]) -> None:
    """Write a small image of its own colour for each name."""
    folder.mkdir(parents=True, exist_ok=True)
    for number, name in enumerate(sorted(set(names))):
        Image.new("RGB", (4, 3), (number, 100, 200)).save(folder / name)
