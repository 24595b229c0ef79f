"""SteerLM: each question requests the ratings that its answer has (Dong et al., 2023; paper, 3.2)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

from mmdpo.records import SftExample, SteeredExample, context
from mmdpo.training_data.rated import Rated


def rated_completions(items: Iterable[Rated]) -> Iterator[SftExample]:
    """Yield every completion, good or bad, with its rating."""
    for item in items:
        prompt = item.prompt
        for index, (text, rating) in enumerate(zip(item.texts, item.ratings, strict=True)):
            name = f"{prompt.id}-{item.index(index)}"
            yield SftExample(name, prompt.question, text, rating=rating, **context(prompt))


def request(question: str, attributes: Mapping[str, int], template: str) -> str:
    """Return the question with the request for some ratings.

    Args:
        question: The question.
        attributes: The ratings to request, in the rubric's order.
        template: A format string with `{question}`, and either `{attributes}` for all of them in the paper's form,
            or their names for another form.
    """
    listed = ",".join(f"{name.capitalize()}:{value}" for name, value in attributes.items())
    return template.format(question=question, attributes=listed, **attributes)


def steered(example: SftExample, template: str, attributes: Sequence[str]) -> SftExample:
    """Return the example with the request for its own rating in its question.

    Args:
        example: A rated example; one without a rating is returned as it is.
        template: See `request`.
        attributes: The rubric's attributes, in its order.
    """
    if example.rating is None:
        return example
    question = request(example.question, {name: example.rating[name] for name in attributes}, template)
    return SteeredExample(example.id, question, example.answer, **context(example), original_question=example.question)
