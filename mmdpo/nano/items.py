"""Questions of the miniature as prompts with images: benchmark items and preference prompts.

Items of the splits "dev" (choice of settings) and "test" (reported results) share no text instruction, and no
question about the same view, with the data that trained the models. Images are written below `folder`, to which
`Prompt.images` are relative.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from random import Random

from PIL import Image

from mmdpo.files import atomic_write, fingerprint
from mmdpo.nano.draw import blank_image, draw
from mmdpo.nano.splits import check_split, draw_prompt, draw_view, split_of
from mmdpo.nano.text import TASKS, instruct
from mmdpo.nano.visual import CHART_KINDS, SCENE_KINDS, ask, briefly, presence
from mmdpo.nano.world import View, random_chart, random_scene
from mmdpo.records import Prompt


def text_items(count: int, split: str, seed: int) -> list[Prompt]:
    """Generate distinct text instructions, equally many per category and distance.

    Args:
        count: Number of items.
        split: One of `splits.SHARES`.
        seed: Seed of the choice.

    Returns:
        The items.

    Raises:
        ValueError: There is no such split.
    """
    check_split(split)
    rng = Random(f"text {split} {seed}")
    tasks = tuple(TASKS)

    def make(number: int) -> Prompt:
        category, distance = tasks[number % len(tasks)]
        return draw_prompt(split, rng, lambda rng: instruct(rng, category, distance))

    return _unique(count, make, f"text-{split}")


def noisy_text_items(count: int, split: str, seed: int, folder: Path) -> list[Prompt]:
    """Generate the items of `text_items`, each with an image without content.

    Args:
        count: Number of items.
        split: One of `splits.SHARES`.
        seed: Seed of the choice.
        folder: Folder for the images.

    Returns:
        The items.

    Raises:
        ValueError: There is no such split.
    """
    items = text_items(count, split, seed)
    return [
        replace(item, id=f"noisy-{item.id}", images=(_save_image(blank_image(seed * 100_003 + number), folder),))
        for number, item in enumerate(items)
    ]


def visual_items(count: int, split: str, seed: int, folder: Path) -> list[Prompt]:
    """Generate questions about scenes and charts alternately, equally many per kind.

    Args:
        count: Number of items.
        split: One of `splits.SHARES`.
        seed: Seed of the choice.
        folder: Folder for the images.

    Returns:
        The items.

    Raises:
        ValueError: There is no such split.
    """
    check_split(split)
    rng = Random(f"visual {split} {seed}")
    return _unique(count, lambda number: _visual_prompt(number, split, rng, folder, even=True), f"visual-{split}")


def preference_items(count: int, split: str, seed: int, folder: Path) -> list[Prompt]:
    """Generate questions about scenes and charts alternately, of random kinds.

    Args:
        count: Number of items.
        split: One of `splits.SHARES`.
        seed: Seed of the choice.
        folder: Folder for the images.

    Returns:
        The items.

    Raises:
        ValueError: There is no such split.
    """
    check_split(split)
    rng = Random(f"preference {split} {seed}")
    name = f"preference-{split}"
    return _unique(count, lambda number: _visual_prompt(number, split, rng, folder, even=False), name)


def presence_items(count: int, split: str, seed: int, folder: Path) -> list[Prompt]:
    """Generate questions about the presence of a thing in a scene, as in POPE.

    The right answers are yes and no alternately, and a brief answer is requested.

    Args:
        count: Number of items.
        split: One of `splits.SHARES`.
        seed: Seed of the choice.
        folder: Folder for the images.

    Returns:
        The items.

    Raises:
        ValueError: There is no such split.
    """
    check_split(split)
    rng = Random(f"presence {split} {seed}")

    def make(number: int) -> Prompt:
        scene = draw_view(split, rng, random_scene)
        question, facts = presence(scene, rng, yes=number % 2 == 0)
        facts |= {"kind": "presence", "distance": "visual", "view": str(scene)}
        prompt = Prompt(id="", question=question, category="presence", facts=facts)
        return briefly(replace(prompt, images=(_save_image(draw(scene), folder),)))

    return _unique(count, make, f"presence-{split}")


def _visual_prompt(number: int, split: str, rng: Random, folder: Path, even: bool) -> Prompt:
    """Generate a question about a scene (even numbers) or a chart (odd ones)."""
    makers: tuple[Callable[[Random], View], ...] = (random_scene, random_chart)
    kinds = (tuple(SCENE_KINDS), tuple(CHART_KINDS))[number % 2]
    kind = kinds[number // 2 % len(kinds)] if even else rng.choice(kinds)
    for view in _views(split, rng, makers[number % 2]):
        try:
            prompt = ask(view, rng, kind)
        except ValueError:  # the kind does not fit this view
            continue
        return replace(prompt, images=(_save_image(draw(view), folder),))
    raise AssertionError("the iterator over views is endless")


def _views(split: str, rng: Random, make: Callable[[Random], View]) -> Iterator[View]:
    while True:
        view = make(rng)
        if split_of(str(view)) == split:
            yield view


def _save_image(image: Image.Image, folder: Path) -> str:
    """Write an image under a name made of its content, unless it exists, and return its path below `folder`."""
    name = f"images/{fingerprint(image.tobytes().hex())}.png"
    if not (folder / name).exists():
        with atomic_write(folder / name) as aside:
            image.save(aside, format="PNG")
    return name


def _unique(count: int, make: Callable[[int], Prompt], name: str) -> list[Prompt]:
    """Collect `count` prompts, no two with the same question about the same view; ids are numbers after `name`."""
    prompts: list[Prompt] = []
    seen: set[str] = set()
    while len(prompts) < count:
        prompt = make(len(prompts))
        content = f"{prompt.history} {prompt.question} {prompt.facts.get('view')}"
        if content not in seen:
            seen.add(content)
            prompts.append(replace(prompt, id=f"{name}-{len(prompts):05d}"))
    return prompts
