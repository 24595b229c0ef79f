"""The overlap of training examples with the samples of tasks, computed once per data and samples."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path

from mmdpo.cache import cached
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
from mmdpo.records import LabelledAnswer, PreferencePair, Prompt, SftExample, to_json

FILE = "overlaps.json"
Examples = Sequence[PreferencePair] | Sequence[SftExample] | Sequence[LabelledAnswer]


def overlaps(examples: Examples, image_root: Path, sets: Sequence[SampleSet]) -> dict[str, Overlap]:
    """Compare training data with benchmarks.

    Args:
        examples: All examples, before any axis selects some of them.
        image_root: The folder of their images.
        sets: The sample sets of the benchmarks.

    Returns:
        The overlap by task.
    """
    key = {
        "training": fingerprint([to_json(example) for example in examples]),
        "images": str(image_root),
        "samples": {one.name: one.asked_fingerprint for one in sets},
    }

    def make(folder: Path) -> None:
        with progress("contamination", len(sets)) as advance:
            images = ImageIndex.of(image_root, (name for one in examples for name in one.images))
            found = {}
            for one in sets:
                found[one.name] = asdict(_overlap(examples, images, one))
                advance(1)
        write_json(folder / FILE, found)

    stored = read_json(cached("contamination", key, make) / FILE)
    return {name: Overlap(**values) for name, values in stored.items()}


def _overlap(examples: Examples, images: ImageIndex, one: SampleSet) -> Overlap:
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


def _training_texts(example: PreferencePair | SftExample | LabelledAnswer) -> Iterator[str]:
    yield example.question
    for turn in example.history:
        yield from (turn.question, turn.answer)
    if isinstance(example, PreferencePair):
        yield from (example.chosen, example.rejected)
    else:
        yield example.answer
