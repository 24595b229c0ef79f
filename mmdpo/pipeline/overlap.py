"""contamination.json of a trained point: what its training data share with the benchmarks that it is measured on."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path

from mmdpo.cache import cached
from mmdpo.config.choices import Stage
from mmdpo.config.schema import Config
from mmdpo.console import progress
from mmdpo.evaluation.contamination import (
    ImageIndex,
    Overlap,
    is_long_enough,
    shared_images,
    shared_words,
)
from mmdpo.evaluation.samples import SampleSet
from mmdpo.evaluation.task import TURN_IMAGES, TURNS
from mmdpo.files import fingerprint, read_json, write_json
from mmdpo.pipeline.data_stages import find_existing
from mmdpo.pipeline.own_pairs import TrainingSet
from mmdpo.pipeline.training_sets import training_set
from mmdpo.records import PreferencePair, Prompt, SftExample, to_json

FILE = "contamination.json"


def write_overlap(config: Config, sets: Sequence[SampleSet], folder: Path) -> None:
    """Write the overlap of a point's training data with the tasks that are read from files.

    The miniature's items and its training data are made apart, and are not compared. The comparison is computed once
    for all points of the same data and tasks. Nothing is written where the training set is not on this machine: it is
    not made again for this.

    Args:
        config: The config of a trained point.
        sets: Its sample sets.
        folder: The point's folder.
    """
    real = [one for one in sets if one.task.bench_files and not one.variant]
    if real and (config.data.is_own or find_existing(config, Stage.build)):
        found = overlaps(training_set(config), real)
        write_json(folder / FILE, {name: asdict(overlap) for name, overlap in found.items()})


def overlaps(data: TrainingSet, sets: Sequence[SampleSet]) -> dict[str, Overlap]:
    """Compare training data with benchmarks.

    Args:
        data: All examples, before any axis selects some of them.
        sets: The sample sets of the benchmarks.

    Returns:
        The overlap by task.
    """
    key = {
        "training": fingerprint([to_json(example) for example in data.examples]),
        "images": str(data.image_root),
        "samples": {one.name: one.asked_fingerprint for one in sets},
    }

    def make(folder: Path) -> None:
        with progress("contamination", len(sets)) as advance:
            images = ImageIndex.of(data.image_root, (name for one in data.examples for name in one.images))
            found = {}
            for one in sets:
                found[one.name] = asdict(_overlap(data.examples, images, one))
                advance(1)
        write_json(folder / FILE, found)

    stored = read_json(cached("contamination", key, make) / FILE)
    return {name: Overlap(**values) for name, values in stored.items()}


def _overlap(examples: Sequence[PreferencePair] | Sequence[SftExample], images: ImageIndex, one: SampleSet) -> Overlap:
    texts = {prompt.id: _texts_of(prompt) for prompt in one.prompts}
    training = (text for example in examples for text in _training_texts(example))
    names = (name for prompt in one.prompts for name in (*prompt.images, *prompt.facts.get(TURN_IMAGES, ())))
    index = ImageIndex.of(one.image_root, names)
    equal, near = shared_images(images, index)
    return Overlap(
        items=len(texts),
        long_enough=sum(map(is_long_enough, texts.values())),
        texts=shared_words(training, texts),
        images=len(index.digests),
        equal_images=equal,
        near_images=near,
        unreadable=images.unreadable + index.unreadable,
    )


def _texts_of(prompt: Prompt) -> list[str]:
    """Return the question and the further turns of an item, and its reference answers where it has any."""
    answers = prompt.facts.get("answer", ())
    references = [answers] if isinstance(answers, str) else [one for one in answers if isinstance(one, str)]
    return [prompt.question, *(turn.question for turn in prompt.history), *prompt.facts.get(TURNS, ()), *references]


def _training_texts(example: PreferencePair | SftExample) -> Iterator[str]:
    yield example.question
    for turn in example.history:
        yield from (turn.question, turn.answer)
    if isinstance(example, PreferencePair):
        yield from (example.chosen, example.rejected)
    else:
        yield example.answer
