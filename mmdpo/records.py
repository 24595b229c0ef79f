"""Records that the stages pass on, and their JSON-lines files.

Prompts become completions, completions become annotations, annotations become preference pairs. A record is a frozen
dataclass; a file has one JSON object per line.
"""

from __future__ import annotations

import dataclasses
import functools
import json
import typing
from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from mmdpo.files import atomic_write

Record = TypeVar("Record")

RENAMED_FIELDS: Mapping[str, Mapping[str, str]] = {"Annotation": {"shown": "presentation_order", "step": "parser"}}
"""Old names of fields by record, which files of earlier versions have."""


@dataclass(frozen=True)
class Turn:
    """Earlier turn of a conversation: a question and its answer."""

    question: str
    answer: str


@dataclass(frozen=True)
class ImagePosition:
    """Place of an image in a conversation.

    Attributes:
        turn: Index of the text, counted over all texts: 0 is the user's first, 1 the answer to it, and so on.
        offset: Number of characters of that text before the image.
    """

    turn: int
    offset: int


@dataclass(frozen=True)
class Prompt:
    """Question to the model, with or without images.

    Attributes:
        id: Unique name within its data set.
        question: The user's last turn.
        images: Paths relative to the image root of the data set; empty for text alone.
        history: Earlier turns.
        category: Kind of question, for reports.
        facts: Facts about the right answer for a rule-based judge. They are never shown to the model, and are empty
            for real data.
        system: Instruction before the first turn; empty for none.
        image_positions: Place of each image, in the order of `images`; empty if all stand before the first turn.
    """

    id: str
    question: str
    images: tuple[str, ...] = ()
    history: tuple[Turn, ...] = ()
    category: str = ""
    facts: dict[str, Any] = field(default_factory=dict)
    system: str = ""
    image_positions: tuple[ImagePosition, ...] = ()


ANSWER_WORDS = "words.json"
"""The file beside annotations with the number of words of each completion, by prompt."""

CUT = "length"
"""The finish reason of a completion that the limit of tokens cut."""
DECLINED = "declined"
"""The finish reason of an empty completion that a server refused to write."""


@dataclass(frozen=True)
class Completion:
    """Sampled answer to a prompt.

    Args:
        prompt_id: The prompt.
        index: Number of the completion among those of its prompt, from 0.
        text: The answer.
        finish_reason: `stop` if the model ended the answer, `length` if the limit of tokens cut it, `declined`
            if a server refused to write one; empty if unknown.
    """

    prompt_id: str
    index: int
    text: str
    finish_reason: str = ""


Rating = dict[str, int]
"""The ratings of one completion by attribute; the judge's rubric defines attributes and scale."""


def quality(rating: Rating, aggregate: Sequence[str]) -> int:
    """Return the sum of those attributes of which more is better; completions are ranked by it."""
    return sum(rating[name] for name in aggregate)


@dataclass(frozen=True)
class Annotation:
    """A judge's ratings of one prompt's completions, in the order of their `index`.

    Args:
        prompt_id: The prompt.
        ratings: One per completion.
        judge: The judge's client.
        presentation_order: The position at which each completion was presented to the judge, from 0.
        parser: The parser that read the reply.
    """

    prompt_id: str
    ratings: tuple[Rating, ...]
    judge: str
    presentation_order: tuple[int, ...] = ()
    parser: str = ""


@dataclass(frozen=True)
class Unscored:
    """A prompt without ratings, and the reason. Unscored prompts are counted; they never get a made-up rating."""

    prompt_id: str
    reason: str


@dataclass(frozen=True)
class PreferencePair:
    """Preferred (`chosen`) and other answer (`rejected`) to one prompt; the other fields are the prompt's."""

    id: str
    question: str
    chosen: str
    rejected: str
    images: tuple[str, ...] = ()
    history: tuple[Turn, ...] = ()
    system: str = ""
    image_positions: tuple[ImagePosition, ...] = ()


@dataclass(frozen=True)
class SftExample:
    """Answer to learn; `rating` is the judge's rating of it, if there is one. The other fields are the prompt's."""

    id: str
    question: str
    answer: str
    images: tuple[str, ...] = ()
    history: tuple[Turn, ...] = ()
    rating: Rating | None = None
    system: str = ""
    image_positions: tuple[ImagePosition, ...] = ()


@dataclass(frozen=True)
class LabelledAnswer:
    """Answer with a label: desirable or not. The other fields are the prompt's."""

    id: str
    question: str
    answer: str
    label: bool
    images: tuple[str, ...] = ()
    history: tuple[Turn, ...] = ()
    system: str = ""
    image_positions: tuple[ImagePosition, ...] = ()


@dataclass(frozen=True)
class SteeredExample(SftExample):
    """SFT example whose question ends with a request for ratings; `original_question` is without it."""

    original_question: str = ""


Conversation = Prompt | PreferencePair | SftExample | LabelledAnswer


def context(record: Conversation) -> dict[str, Any]:
    """Return the fields around a record's question, to build another record of the same conversation."""
    return {
        "images": record.images,
        "history": record.history,
        "system": record.system,
        "image_positions": record.image_positions,
    }


def images_in_order(record: Conversation) -> tuple[str, ...]:
    """Return the images of a record in the order of their places, which is that of their placeholders in a prompt."""
    if not record.image_positions:
        return record.images
    places = zip(record.image_positions, record.images, strict=True)
    return tuple(image for _, image in sorted(places, key=lambda one: (one[0].turn, one[0].offset)))


def to_json(record: Any) -> str:
    """Convert a record to one line of JSON; equal records give equal text."""
    return json.dumps(dataclasses.asdict(record), ensure_ascii=False, sort_keys=True)


def from_dict(kind: type[Record], data: dict[str, Any]) -> Record:
    """Restore a record of `kind` that `to_json` wrote, with nested records, tuples and renamed fields."""
    hints = _hints(typing.cast(Hashable, kind))
    renamed = RENAMED_FIELDS.get(kind.__name__, {})
    named = {renamed.get(name, name): value for name, value in data.items()}
    if "image" in named:  # files of earlier versions: one image or none
        image = named.pop("image")
        named["images"] = () if image is None else (image,)
    return kind(**{name: _restore(hints[name], value) for name, value in named.items()})


@functools.cache
def _hints(kind: Hashable) -> dict[str, Any]:
    """Return the types of a record's fields; looking them up takes longer than restoring a record."""
    return typing.get_type_hints(kind)


def _restore(hint: Any, value: Any) -> Any:
    record = next((kind for kind in (hint, *typing.get_args(hint)) if dataclasses.is_dataclass(kind)), None)
    if record and isinstance(value, dict):
        return from_dict(typing.cast(type, record), value)
    if typing.get_origin(hint) is tuple:
        return tuple(_restore(typing.get_args(hint)[0], item) for item in value)
    return value


def write_records(path: Path, records: Iterable[Any]) -> None:
    """Write one record per line. The file is replaced atomically."""
    with atomic_write(path) as aside, aside.open("w", encoding="utf-8") as out:
        for record in records:
            out.write(to_json(record) + "\n")


def read_records(path: Path, kind: type[Record]) -> Iterator[Record]:
    """Yield the records of type `kind` from a file that `write_records` wrote."""
    with path.open(encoding="utf-8") as lines:
        for line in lines:
            yield from_dict(kind, json.loads(line))
