"""SteerLM: a question asks for the ratings that its answer has (Dong et al., 2023; paper, 3.2)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict

from mmdpo.config.choices import ATTRIBUTES
from mmdpo.records import SftExample
from mmdpo.training_data.rated import Rated


def rated_completions(items: Iterable[Rated]) -> Iterator[SftExample]:
    """Every completion, good or bad, with its rating."""
    for item in items:
        prompt = item.prompt
        for index, (text, rating) in enumerate(zip(item.texts, item.ratings, strict=True)):
            name = f"{prompt.id}-{index}"
            yield SftExample(name, prompt.question, text, prompt.image, prompt.history, rating)


def request(question: str, attributes: Mapping[str, int], template: str) -> str:
    """The question as it asks for these ratings.

    `template` is a format string of `{question}`, of `{attributes}` for all five in the paper's form, or
    of their names for a form of its own.
    """
    values = {name: attributes[name] for name in ATTRIBUTES}
    listed = ",".join(f"{name.capitalize()}:{value}" for name, value in values.items())
    return template.format(question=question, attributes=listed, **values)


def steered(example: SftExample, template: str) -> SftExample:
    """The example with the request for its own rating in its question."""
    if example.rating is None:
        return example
    question = request(example.question, asdict(example.rating), template)
    return SftExample(example.id, question, example.answer, example.image, example.history)
