"""Runs the benchmarks of a point and writes every answer beside its scores."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Protocol

from mmdpo.config import BenchConfig, Config
from mmdpo.evaluation import presence, text, text_noisy, visual
from mmdpo.evaluation.rated import Judged
from mmdpo.evaluation.scores import Score
from mmdpo.judge.annotate import judge_named
from mmdpo.models.generate import Decoding, generate
from mmdpo.progress import progress
from mmdpo.records import Prompt, Rating, read_records, write_records
from mmdpo.store import cached, source_fingerprint


class Benchmark(Protocol):
    """What a file of this folder offers."""

    def items(self, bench: BenchConfig, folder: Path) -> list[Prompt]:
        """The questions; images are written below `folder`."""
        ...

    def judge(self, prompt: Prompt, answer: str, rate: Callable[[Prompt, str], Rating]) -> Judged:
        """What an answer is worth."""
        ...

    def summarize(self, items: Sequence[Judged], bench: BenchConfig) -> dict[str, Score]:
        """The scores by name; the main one's name is empty."""
        ...


BENCHMARKS: dict[str, Benchmark] = {
    "text": text,
    "visual": visual,
    "presence": presence,
    "text_noisy": text_noisy,
}


def evaluate(config: Config, model: Any, processor: Any, folder: Path) -> dict[str, Score]:
    """Answer and judge every benchmark; `folder/answers/` gets a file a benchmark.

    Scores are keyed `benchmark` and `benchmark/part`. Answers are greedy.
    """
    bench = config.bench
    rate = judge_named(bench.judge)
    decoding = Decoding(bench.max_new_tokens, bench.batch_size)
    sets = {name: _items(name, bench) for name in bench.benchmarks}
    scores: dict[str, Score] = {}
    with progress("measuring", sum(len(prompts) for prompts, _ in sets.values())) as advance:
        for name, (prompts, root) in sets.items():
            answers = generate(model, processor, prompts, root, decoding, advance=advance)
            judged = [
                BENCHMARKS[name].judge(prompt, answer, rate)
                for prompt, answer in zip(prompts, answers, strict=True)
            ]
            write_records(folder / "answers" / f"{name}.jsonl", judged)
            for part, value in BENCHMARKS[name].summarize(judged, bench).items():
                scores[f"{name}/{part}".rstrip("/")] = value
    return scores


def _items(name: str, bench: BenchConfig) -> tuple[list[Prompt], Path]:
    """A benchmark's questions and the root of their images, made once."""
    key = {
        "benchmark": name,
        "items": bench.items,
        "split": bench.split.value,
        "seed": bench.seed,
        "code": source_fingerprint("mmdpo.nano"),
    }

    def make(folder: Path) -> None:
        write_records(folder / "items.jsonl", BENCHMARKS[name].items(bench, folder))

    folder = cached("benchmark", key, make)
    return list(read_records(folder / "items.jsonl", Prompt)), folder
