"""Drawings of scenes and charts, 48 x 48 pixels; a cell of the grid is one patch of the vision tower."""

from __future__ import annotations

from random import Random

from PIL import Image, ImageDraw

from mmdpo.nano.world import HIGHEST, Chart, Scene, Thing, View

CELL = 12
SIZE = 4 * CELL
RGB = {
    "red": (220, 40, 40),
    "blue": (40, 80, 220),
    "green": (40, 170, 60),
    "yellow": (235, 215, 50),
    "purple": (150, 50, 180),
    "orange": (245, 140, 30),
}
PAPER = (245, 245, 240)


def draw(view: View) -> Image.Image:
    """Draw a scene or a chart. The same view always gives the same bytes."""
    rng = Random(str(view))  # small irregularities depend on the view alone
    image = Image.new("RGB", (SIZE, SIZE), PAPER)
    pen = ImageDraw.Draw(image)
    if isinstance(view, Scene):
        for thing in view.things:
            _draw_thing(pen, thing, rng)
    else:
        _draw_bars(pen, view, rng)
    return image


def blank_image(seed: int) -> Image.Image:
    """Draw an image without content: uniform grey, or grey noise."""
    rng = Random(f"blank {seed}")
    if rng.random() < 0.5:
        grey = rng.randint(60, 200)
        return Image.new("RGB", (SIZE, SIZE), (grey, grey, grey))
    return Image.frombytes("L", (SIZE, SIZE), rng.randbytes(SIZE * SIZE)).convert("RGB")


def _shade(colour: str, rng: Random) -> tuple[int, int, int]:
    red, green, blue = (min(255, max(0, level + rng.randint(-12, 12))) for level in RGB[colour])
    return red, green, blue


def _draw_thing(pen: ImageDraw.ImageDraw, thing: Thing, rng: Random) -> None:
    row, column = divmod(thing.cell, 4)
    left, top = column * CELL + 1, row * CELL + 1
    width = rng.choice((8, 9))
    right, bottom, fill = left + width, top + width, _shade(thing.colour, rng)
    middle, centre = (left + right) / 2, (top + bottom) / 2
    match thing.shape:
        case "circle":
            pen.ellipse((left, top, right, bottom), fill=fill)
        case "square":
            pen.rectangle((left, top, right, bottom), fill=fill)
        case "triangle":
            pen.polygon([(middle, top), (right, bottom), (left, bottom)], fill=fill)
        case "star":
            near, far = (centre - 2, centre + 2), (middle - 2, middle + 2)
            upper = [(left, centre), (far[0], near[0]), (middle, top), (far[1], near[0]), (right, centre)]
            lower = [(far[1], near[1]), (middle, bottom), (far[0], near[1])]
            pen.polygon(upper + lower, fill=fill)
        case "cross":
            pen.line((left, top, right, bottom), fill=fill, width=3)
            pen.line((left, bottom, right, top), fill=fill, width=3)
        case other:
            raise ValueError(f"no drawing for shape {other!r}")


def _draw_bars(pen: ImageDraw.ImageDraw, chart: Chart, rng: Random) -> None:
    step = SIZE // HIGHEST
    for column, bar in enumerate(chart.bars):
        left = column * CELL + 2
        pen.rectangle((left, SIZE - bar.value * step, left + 8, SIZE - 1), fill=_shade(bar.colour, rng))
    pen.line((0, SIZE - 1, SIZE - 1, SIZE - 1), fill=(30, 30, 30))
