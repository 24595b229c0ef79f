"""The items that a judge rates: each prompt with its completions."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

from mmdpo.files import file_fingerprint
from mmdpo.images import inside
from mmdpo.records import Completion, Prompt, Turn, images_in_order

Item = tuple[Prompt, Sequence[Completion]]


def by_prompt(prompts: Iterable[Prompt], completions: Iterable[Completion]) -> Iterator[Item]:
    """Yield each prompt with its completions; both are in the same order, as their stages wrote them."""
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
    """Yield the items that are rated twice, to measure the judge's agreement with itself.

    Args:
        items: All items.
        share: The share of them to choose, 0..1; a larger share contains a smaller one.
        seed: Seed of the choice.
    """
    for prompt, completions in items:
        digest = sha256(f"repeat {seed} {prompt.id}".encode()).digest()
        if int.from_bytes(digest[:8], "big") < share * 2**64:
            yield prompt, completions


def images_of(prompt: Prompt, image_root: Path) -> tuple[Path, ...]:
    """Return the files of the prompt's images, in the order of their places."""
    return tuple(inside(image_root, name) for name in images_in_order(prompt))


def with_image_marks(prompt: Prompt) -> Prompt:
    """Return a prompt whose texts say where its images stand, because requests send all images before the text.

    A prompt whose images all stand at its start is returned as it is.
    """
    places = sorted(((place.turn, place.offset) for place in prompt.image_positions), reverse=True)
    if all(place == (0, 0) for place in places):
        return prompt
    texts = [text for turn in prompt.history for text in (turn.question, turn.answer)] + [prompt.question]
    for number, (turn, offset) in zip(range(len(places), 0, -1), places, strict=True):
        texts[turn] = f"{texts[turn][:offset]}[image {number}]{texts[turn][offset:]}"
    history = tuple(Turn(*texts[start : start + 2]) for start in range(0, len(texts) - 1, 2))
    return replace(prompt, question=texts[-1], history=history)


def digest_of(images: Sequence[Path]) -> str | list[str] | None:
    """Return the digest of an image's content for a request's key; None for no image, a list for several."""
    digests = [file_fingerprint(path, length=64) for path in images]
    return digests if len(digests) > 1 else digests[0] if digests else None
