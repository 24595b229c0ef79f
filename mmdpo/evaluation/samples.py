"""The samples of a point's tasks: made once, kept in the cache, and phrased as the point's method asks them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from mmdpo.cache import cached, cached_path, is_as_made, source_fingerprint
from mmdpo.config.schema import BenchConfig
from mmdpo.evaluation.selection import select
from mmdpo.evaluation.task import TURN_IMAGES, TURNS, WITHOUT_REQUEST, Task, load_task
from mmdpo.files import file_fingerprint, fingerprint
from mmdpo.images import inside
from mmdpo.records import Prompt, read_records, write_records
from mmdpo.timings import SAMPLES, timed
from mmdpo.training_data.steerlm import request

KEYS = ("items", "split", "seed")
"""Settings of `bench` that are in the key of all samples."""


@dataclass(frozen=True)
class SampleSet:
    """A task's samples in one phrasing.

    Attributes:
        name: The task's name.
        task: The task.
        prompts: The samples as the task has them; a judge sees these.
        asked: The same samples as the model is asked.
        image_root: The folder that the samples' images are relative to.
        variant: The name of a second phrasing of the same task; empty for the first.
    """

    name: str
    task: Task
    prompts: Sequence[Prompt]
    asked: Sequence[Prompt]
    image_root: Path
    variant: str = ""

    @property
    def file(self) -> str:
        """The name of the set's files, without a suffix."""
        return f"{self.name}.{self.variant}" if self.variant else self.name

    @cached_property
    def asked_fingerprint(self) -> str:
        """A fingerprint of all that reaches the model: ids, questions, earlier turns and the images' content."""
        return fingerprint([_asked(prompt, self.image_digests) for prompt in self.asked])

    @cached_property
    def image_digests(self) -> dict[str, str]:
        """Fingerprints of the content of the images, by their names."""
        names = {name for prompt in self.asked for name in (*prompt.images, *prompt.facts.get(TURN_IMAGES, ()))}
        return {name: file_fingerprint(inside(self.image_root, name)) for name in names}


def sample_sets(
    bench: BenchConfig, attributes: Mapping[str, int], template: str, scratch: Path | None = None
) -> list[SampleSet]:
    """Return the sample sets of `bench.tasks`, in their order.

    Args:
        bench: The tasks and the settings of their samples.
        attributes: The ratings that the model is asked for (`method=steerlm`). With any, each task has a second set,
            without the request. Empty for other methods and for a model that was not trained.
        template: How a question asks for ratings (`model.attribute_template`).
        scratch: A temporary folder for samples that are not in the cache, so that nothing is written there.
    """
    sets = []
    for name in bench.tasks:
        task = load_task(name)
        prompts, root = _samples(name, task, bench, scratch)
        asked = [_with_request(prompt, attributes, template) for prompt in prompts]
        sets.append(SampleSet(name, task, prompts, asked, root))
        if attributes:
            sets.append(SampleSet(name, task, prompts, prompts, root, WITHOUT_REQUEST))
    return sets


def _with_request(prompt: Prompt, attributes: Mapping[str, int], template: str) -> Prompt:
    if not attributes:
        return prompt
    turns = [request(turn, attributes, template) for turn in prompt.facts.get(TURNS, [])]
    facts = {**prompt.facts, TURNS: turns} if turns else prompt.facts
    return replace(prompt, question=request(prompt.question, attributes, template), facts=facts)


def _samples(name: str, task: Task, bench: BenchConfig, scratch: Path | None) -> tuple[list[Prompt], Path]:
    """Return a task's samples and the root of their images; they are made if the cache lacks them."""

    def make(folder: Path) -> None:
        with timed(SAMPLES, sets=1) as block:
            samples = [*task.samples(bench, folder)]
            write_records(folder / "items.jsonl", samples)
            block.amounts["items"] = float(len(samples))

    key = _key(name, task, bench)
    folder = cached_path("benchmark", key)
    if scratch is None or is_as_made(folder):
        folder = cached("benchmark", key, make)
    else:
        folder = scratch / folder.name
        if not folder.exists():
            folder.mkdir()
            make(folder)
    prompts = select(task, list(read_records(folder / "items.jsonl", Prompt)), bench)
    images = task.images(bench)
    return prompts, images.root if images else folder


def are_samples_made(name: str, bench: BenchConfig) -> bool:
    """Return whether the samples of a task are in the cache."""
    return is_as_made(cached_path("benchmark", _key(name, load_task(name), bench)))


def _key(name: str, task: Task, bench: BenchConfig) -> dict[str, Any]:
    """Return what the samples of a task depend on."""
    return {
        "benchmark": name,
        "items": bench.items,
        "split": "all" if task.bench_files else bench.split.value,
        "seed": bench.seed,
        "content": task.fingerprint(bench),
        **{name: str(getattr(bench, name)) for name in task.reads if name not in KEYS},
        "code": source_fingerprint(task.package) if task.package else None,
    }


def _asked(prompt: Prompt, digests: Mapping[str, str]) -> list[Any]:
    """Return what reaches the model of a prompt; images are replaced by the digests of their content."""
    images = [digests[name] for name in prompt.images]
    # One image or none at its usual place, and no system turn, is fingerprinted as in earlier versions.
    rest = [prompt.system, images, [vars(place) for place in prompt.image_positions]]
    known = not prompt.system and len(images) <= 1 and not prompt.image_positions
    first = images[0] if images else None
    turns = [prompt.facts[name] for name in (TURNS, TURN_IMAGES) if name in prompt.facts]
    if turns:
        rest, known = [*rest, turns], False
    return [prompt.id, prompt.question, [vars(turn) for turn in prompt.history], first, *([] if known else rest)]
