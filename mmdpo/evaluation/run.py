"""Runs the benchmarks of a point and writes every answer beside its scores."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol

from mmdpo.cache import cached, source_fingerprint
from mmdpo.config.schema import BenchConfig, Config, ModelConfig
from mmdpo.console import progress
from mmdpo.evaluation.scorers import Judged
from mmdpo.evaluation.statistics import Score
from mmdpo.evaluation.tasks import nano_presence as presence
from mmdpo.evaluation.tasks import nano_text as text
from mmdpo.evaluation.tasks import nano_text_noisy as text_noisy
from mmdpo.evaluation.tasks import nano_visual as visual
from mmdpo.judge.judges import rule_named
from mmdpo.judge.rubric import load_rubric
from mmdpo.models.generate import Decoding, generate
from mmdpo.records import Prompt, Rating, read_records, write_records
from mmdpo.training_data.steerlm import request


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

    Scores are keyed `benchmark` and `benchmark/part`. Answers are greedy. A model that was trained to
    be asked for ratings is asked for them, and once more without (`benchmark/without_request`).
    """
    bench = config.bench
    rate = rule_named(bench.judge)
    decoding = Decoding(bench.max_new_tokens, bench.batch_size)
    sets = {name: _items(name, bench) for name in bench.tasks}
    scores: dict[str, Score] = {}
    asked_for = {} if config.is_base else config.method.attributes
    attributes = {name: asked_for[name] for name in load_rubric(config.judge.rubric).attributes if name in asked_for}
    total = sum(len(prompts) for prompts, _ in sets.values()) * (2 if attributes else 1)

    def measured(name: str, asked: list[Prompt], file: str) -> dict[str, Score]:
        prompts, root = sets[name]
        answers = generate(model, processor, asked, root, decoding, advance=advance)
        judged = [BENCHMARKS[name].judge(prompt, answer, rate) for prompt, answer in zip(prompts, answers, strict=True)]
        write_records(folder / "answers" / f"{file}.jsonl", judged)
        return BENCHMARKS[name].summarize(judged, bench)

    with progress("measuring", total) as advance:
        for name, (prompts, _) in sets.items():
            asked = [_requesting(prompt, attributes, config.model) for prompt in prompts]
            for part, value in measured(name, asked, name).items():
                scores[f"{name}/{part}".rstrip("/")] = value
            if attributes:
                plain = measured(name, prompts, f"{name}.without_request")
                scores[f"{name}/without_request"] = plain[""]
    return scores


def _requesting(prompt: Prompt, attributes: Mapping[str, int], model: ModelConfig) -> Prompt:
    """The prompt as it asks for these ratings, in the model's form; without any, as it is."""
    if not attributes:
        return prompt
    return replace(prompt, question=request(prompt.question, attributes, model.attribute_template))


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
