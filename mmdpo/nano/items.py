"""The miniature's benchmark questions: text, visual, presence, and text with a meaningless image.

They come from the splits "dev" (to choose settings on) and "test" (to report), which share no
question about the same view, and no text instruction, with what trained the models. Their
images are written below `folder`, to which `Prompt.image` is relative.
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
    """Text instructions, no two alike, the eight categories and both distances in equal parts."""
    check_split(split)
    rng = Random(f"text {split} {seed}")
    tasks = tuple(TASKS)

    def make(number: int) -> Prompt:
        category, distance = tasks[number % len(tasks)]
        return draw_prompt(split, rng, lambda rng: instruct(rng, category, distance))

    return _different(count, make, f"text-{split}")


def noisy_text_items(count: int, split: str, seed: int, folder: Path) -> list[Prompt]:
    """The same text instructions, each with an image that means nothing."""
    items = text_items(count, split, seed)
    return [
        replace(item, id=f"noisy-{item.id}", image=_written(blank_image(seed * 100_003 + number), folder))
        for number, item in enumerate(items)
    ]


def visual_items(count: int, split: str, seed: int, folder: Path) -> list[Prompt]:
    """Questions about scenes and charts in turn, every kind equally often."""
    check_split(split)
    rng = Random(f"visual {split} {seed}")
    return _different(count, lambda number: _visual(number, split, rng, folder, even=True), f"visual-{split}")


def preference_items(count: int, split: str, seed: int, folder: Path) -> list[Prompt]:
    """Questions about scenes and charts in turn, of random kinds."""
    check_split(split)
    rng = Random(f"preference {split} {seed}")
    return _different(count, lambda number: _visual(number, split, rng, folder, even=False), f"preference-{split}")


def presence_items(count: int, split: str, seed: int, folder: Path) -> list[Prompt]:
    """Is a thing in the scene? Yes and no in turn; a brief answer is asked for, as POPE does."""
    check_split(split)
    rng = Random(f"presence {split} {seed}")

    def make(number: int) -> Prompt:
        scene = draw_view(split, rng, random_scene)
        question, known = presence(scene, rng, yes=number % 2 == 0)
        known |= {"kind": "presence", "distance": "visual", "view": str(scene)}
        prompt = Prompt(id="", question=question, category="presence", facts=known)
        return briefly(replace(prompt, image=_written(draw(scene), folder)))

    return _different(count, make, f"presence-{split}")


def _visual(number: int, split: str, rng: Random, folder: Path, even: bool) -> Prompt:
    """A question about a scene (even numbers) or a chart (odd ones)."""
    makers: tuple[Callable[[Random], View], ...] = (random_scene, random_chart)
    kinds = (tuple(SCENE_KINDS), tuple(CHART_KINDS))[number % 2]
    kind = kinds[number // 2 % len(kinds)] if even else rng.choice(kinds)
    for view in _views(split, rng, makers[number % 2]):
        try:
            prompt = ask(view, rng, kind)
        except ValueError:  # the kind does not fit this view
            continue
        return replace(prompt, image=_written(draw(view), folder))
    raise AssertionError("views do not end")


def _views(split: str, rng: Random, make: Callable[[Random], View]) -> Iterator[View]:
    while True:
        view = make(rng)
        if split_of(str(view)) == split:
            yield view


def _written(image: Image.Image, folder: Path) -> str:
    """The image's path relative to `folder`, named by its content; the file is written if it is not there."""
    name = f"images/{fingerprint(image.tobytes().hex())}.png"
    if not (folder / name).exists():
        with atomic_write(folder / name) as aside:
            image.save(aside, format="PNG")
    return name


def _different(count: int, make: Callable[[int], Prompt], name: str) -> list[Prompt]:
    """`count` prompts, no two with the same question about the same thing; ids by number."""
    prompts: list[Prompt] = []
    seen: set[str] = set()
    while len(prompts) < count:
        prompt = make(len(prompts))
        asked = f"{prompt.history} {prompt.question} {prompt.facts.get('view')}"
        if asked not in seen:
            seen.add(asked)
            prompts.append(replace(prompt, id=f"{name}-{len(prompts):05d}"))
    return prompts
