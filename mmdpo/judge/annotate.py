"""Completions -> Annotations: every completion of a prompt rated by the judge, in one call a prompt.

First everything that the journal lacks is asked; then the annotations are read from it, in the order of
the prompts. Memory stays flat however many there are.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from hashlib import sha256
from pathlib import Path

from mmdpo.clients.answers import Answer
from mmdpo.clients.batches import make_runner
from mmdpo.clients.client import Client
from mmdpo.clients.journal import Attempt, Journal
from mmdpo.config.schema import JudgeConfig
from mmdpo.files import file_fingerprint, fingerprint
from mmdpo.images import inside
from mmdpo.judge.reply import Reply, parse
from mmdpo.judge.request import Request, make_request, rubric
from mmdpo.records import Annotation, Completion, Prompt, Unscored

Item = tuple[Prompt, Sequence[Completion]]


def annotate(
    items: Callable[[], Iterable[Item]],
    total: int,
    image_root: Path,
    judge: JudgeConfig,
    client: Client,
    journal: Journal,
    advance: Callable[[int], None] = lambda count: None,
    round_: int = 0,
) -> Iterator[Annotation | Unscored]:
    """An annotation an item, in their order, or the reason why there is none.

    `items` is called twice, to ask and to read. `round_` tells a repeated rating from the first.
    Raises Stopped where a limit of the judge ends the run; the journal keeps what was answered.
    """

    def requests() -> Iterator[tuple[Item, Request]]:
        for item in items():
            yield item, request_of(item, image_root, judge, round_)

    make_runner(judge, client, journal, read_ratings).ask((request for _, request in requests()), total, advance)
    for (prompt, completions), request in requests():
        yield _annotation(prompt, completions, request, judge.name, journal)


def request_of(item: Item, image_root: Path, judge: JudgeConfig, round_: int = 0) -> Request:
    """What the judge is asked about an item; equal completions are shown once, and get one rating."""
    prompt, completions = item
    texts = list(dict.fromkeys(completion.text for completion in completions))
    image = image_of(prompt, image_root)
    return make_request(prompt, texts, image, identity(judge), judge.rubric, judge.seed, round_)


def image_of(prompt: Prompt, image_root: Path) -> tuple[Path, str] | None:
    """The prompt's image, if it has one, and the digest of its content."""
    if prompt.image is None:
        return None
    path = inside(image_root, prompt.image)
    return path, file_fingerprint(path, length=64)


def with_repeated(items: Iterable[Item], image_root: Path, judge: JudgeConfig) -> Iterator[Request]:
    """All that an annotation asks: each item, and the share of them that is rated twice once more."""
    for item in items:
        yield request_of(item, image_root, judge)
        for again in repeated([item], judge.repeat, judge.seed):
            yield request_of(again, image_root, judge, round_=1)


def identity(judge: JudgeConfig) -> dict[str, object]:
    """What a judge's reply depends on beside the request; not its limits, prices and patience."""
    return {
        "judge": [judge.name, judge.model, judge.base_url],
        "rubric": fingerprint([judge.rubric, rubric(judge.rubric)]),
        "decoding": [judge.temperature, judge.max_output_tokens, judge.structured, judge.image_side],
    }


def read_ratings(answer: Answer, request: Request) -> Attempt:
    """The ratings of a reply, or why there are none."""
    read = parse(answer.text, len(request.texts))
    if isinstance(read, Reply):
        return Attempt("scored", read.ratings, read.step)
    return Attempt("unscored", reason="truncated" if answer.cut else read.reason)


def _annotation(
    prompt: Prompt, completions: Sequence[Completion], request: Request, judge: str, journal: Journal
) -> Annotation | Unscored:
    found = journal.find(request.key)
    if found is None or found.outcome != "scored":
        return Unscored(prompt.id, found.reason or "unread" if found else "not_asked")
    ratings = dict(zip(request.texts, found.ratings, strict=True))
    places = {text: place for place, text in enumerate(request.texts)}
    texts = [completion.text for completion in completions]
    return Annotation(
        prompt.id,
        tuple(ratings[text] for text in texts),
        judge,
        tuple(places[text] for text in texts),
        found.step or "",
    )


def by_prompt(prompts: Iterable[Prompt], completions: Iterable[Completion]) -> Iterator[Item]:
    """Each prompt with its completions; both come in the same order, as their stages wrote them."""
    waiting = iter(completions)
    following = next(waiting, None)
    for prompt in prompts:
        group = []
        while following is not None and following.prompt_id == prompt.id:
            group.append(following)
            following = next(waiting, None)
        if group:
            yield prompt, group


def repeated(items: Iterable[Item], share: float, seed: int) -> Iterator[Item]:
    """The seeded share of the items that is rated twice, to see how far a judge agrees with itself."""
    for prompt, completions in items:
        digest = sha256(f"repeat {seed} {prompt.id}".encode()).digest()
        if int.from_bytes(digest[:8], "big") < share * 2**64:
            yield prompt, completions
