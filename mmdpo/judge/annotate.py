"""Annotation: all completions of a prompt are rated by the judge, in one request per prompt.

First everything that the journal lacks is asked; then the annotations are read from it, in the order of the
prompts. Memory use does not grow with the number of prompts.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path

from mmdpo.clients.batches import make_runner
from mmdpo.clients.client import Client
from mmdpo.clients.journal import Journal
from mmdpo.clients.replies import Found, Parser, find_reply
from mmdpo.config.schema import JudgeConfig
from mmdpo.judge.items import Item, repeated
from mmdpo.judge.parsing import ParsedRatings
from mmdpo.judge.rating_request import ANNOTATE, RatingRequest, rating_parser, rating_request
from mmdpo.judge.rubric import load_rubric
from mmdpo.records import Annotation, Completion, Prompt, Unscored

ASKED_TWICE = "asked twice"


def annotate(
    items: Callable[[], Iterable[Item]],
    total: int,
    image_root: Path,
    judge: JudgeConfig,
    client: Client,
    journal: Journal,
    advance: Callable[[int], None] = lambda count: None,
    repetition: int = 0,
) -> Iterator[Annotation | Unscored]:
    """Yield an annotation per item, in their order, or the reason why there is none.

    Args:
        items: Returns the items; called twice, to ask and to read.
        total: Number of items, for messages.
        image_root: Folder of the prompts' images.
        judge: The judge's settings.
        client: Asks the judge.
        journal: Stores the replies.
        advance: Called with the number of items that were answered.
        repetition: 0 for the first rating of an item, 1 for the repeated one.

    Raises:
        Stopped: If a limit of the judge ends the run; the journal keeps what was answered.
    """
    parser = parser_of(judge)

    def requests() -> Iterator[tuple[Item, RatingRequest]]:
        for item in items():
            yield item, rating_request(item, image_root, judge, repetition)

    runner = make_runner(judge, client, journal, parser, ANNOTATE)
    runner.ask((request for _, request in requests()), total, advance)
    for (prompt, completions), request in requests():
        yield _annotation(prompt, completions, request, judge.client, find_reply(journal, request, parser))


def parser_of(judge: JudgeConfig) -> Parser[ParsedRatings]:
    """Return the parser of replies by the judge's rubric."""
    return partial(rating_parser, load_rubric(judge.rubric))


def with_repeated(items: Iterable[Item], image_root: Path, judge: JudgeConfig) -> Iterator[RatingRequest]:
    """Yield all requests of an annotation: one per item, and a second one for those that are rated twice."""
    for item in items:
        yield rating_request(item, image_root, judge)
        for twice in repeated([item], judge.repeat, judge.seed):
            yield rating_request(twice, image_root, judge, repetition=1)


def _annotation(
    prompt: Prompt,
    completions: Sequence[Completion],
    request: RatingRequest,
    judge: str,
    found: Found[ParsedRatings] | None,
) -> Annotation | Unscored:
    if found is None or found.value is None:
        return Unscored(prompt.id, found.reason if found else "not_asked")
    indices = {text: index for index, text in enumerate(request.texts)}
    presentation_order = tuple(indices[completion.text] for completion in completions)
    return Annotation(
        prompt.id,
        tuple(found.value.ratings[index] for index in presentation_order),
        judge,
        presentation_order,
        f"{found.value.parser}, {ASKED_TWICE}" if found.reminded else found.value.parser,
    )
