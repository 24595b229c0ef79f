"""What a point is trained on: the set that the data stages built, or the user's own pairs."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from mmdpo.cache import cache_root
from mmdpo.config.choices import OnBadRow, Stage, TrainOn
from mmdpo.config.schema import Config
from mmdpo.files import file_fingerprint, read_json
from mmdpo.pipeline.data_stages import CARD, made
from mmdpo.records import PreferencePair, Record, SftExample, read_records


@dataclass(frozen=True)
class TrainingSet:
    """Examples, where their images lie, and what became of the rows they were made of."""

    examples: Sequence[PreferencePair] | Sequence[SftExample]
    image_root: Path
    counts: dict[str, int]


def training_set(config: Config) -> TrainingSet:
    """All examples of the method, before `data_limit`, `data_scale` and `label_noise`.

    SteerLM's ask for their own rating, in the form that the model's config names.
    """
    train_on = config.method.train_on
    if config.data.path is not None:
        return _of_own_pairs(own_pairs(config), train_on)
    folder = made(config, Stage.build)
    images = made(config, Stage.prompts)
    counts = read_json(folder / CARD)["facts"]["counts"]
    if train_on is TrainOn.pairs:
        return TrainingSet(_built(folder, PreferencePair), images, counts)
    examples = _built(folder, SftExample)
    if train_on is TrainOn.rated_completions:
        from mmdpo.judge.rubric import load_rubric
        from mmdpo.training_data.steerlm import steered

        attributes = load_rubric(config.judge.rubric).attributes
        examples = [steered(example, config.model.attribute_template, attributes) for example in examples]
    return TrainingSet(examples, images, counts)


@functools.lru_cache(maxsize=4)
def _built(folder: Path, kind: type[Record]) -> list[Record]:
    """Read once a process: what lies in the cache does not change."""
    return list(read_records(folder / "examples.jsonl", kind))


def own_pairs(config: Config) -> TrainingSet:
    """The pairs of the user's file, `data.path`."""
    data = config.data
    return _own_pairs(data.path or "", str(data.format), data.image_root, data.on_bad_row, data.seed)


@functools.cache
def _own_pairs(path: str, form: str, image_root: str | None, on_bad_row: OnBadRow, seed: int) -> TrainingSet:
    """Read once a process: the images are all opened, which takes time."""
    from mmdpo.sources.pair_reader import read_pairs

    embedded = cache_root() / "embedded" / file_fingerprint(Path(path))
    read = read_pairs(Path(path), Path(image_root) if image_root else None, on_bad_row, embedded, form, seed)
    counts = {"rows": read.read, "pairs": len(read.pairs)}
    counts |= {f"dropped: {reason}": count for reason, count in read.dropped.items()}
    return TrainingSet(read.pairs, read.image_root, counts)


def _of_own_pairs(own: TrainingSet, train_on: TrainOn) -> TrainingSet:
    from mmdpo.training_data.sft import chosen_answers

    if train_on is TrainOn.pairs:
        return own
    pairs = [pair for pair in own.examples if isinstance(pair, PreferencePair)]
    return replace(own, examples=list(chosen_answers(pairs))) if pairs else own
