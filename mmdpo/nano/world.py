"""Scenes of coloured shapes on a grid, and bar charts."""

from __future__ import annotations

from dataclasses import dataclass
from random import Random

from mmdpo.nano.words import CELLS, COLOURS, SHAPES

HIGHEST = 8
"""Largest value of a bar; the smallest is 1."""


@dataclass(frozen=True)
class Thing:
    """Coloured shape in a cell of the grid; `cell` counts row by row from the top left."""

    colour: str
    shape: str
    cell: int

    @property
    def name(self) -> str:
        """Return colour and shape, for instance 'red star'."""
        return f"{self.colour} {self.shape}"

    @property
    def place(self) -> str:
        """Return the cell's name, for instance 'B2'."""
        return CELLS[self.cell]


@dataclass(frozen=True)
class Scene:
    """Two to four different things, in the order of their cells."""

    things: tuple[Thing, ...]

    def __str__(self) -> str:
        """Return the scene as text, which identifies it."""
        return "scene " + " ".join(f"{thing.place}-{thing.colour}-{thing.shape}" for thing in self.things)


@dataclass(frozen=True)
class Bar:
    """Bar of a chart; no two bars of a chart have the same colour."""

    colour: str
    value: int


@dataclass(frozen=True)
class Chart:
    """Two to four bars, from left to right."""

    bars: tuple[Bar, ...]

    def __str__(self) -> str:
        """Return the chart as text, which identifies it."""
        return "chart " + " ".join(f"{bar.colour}-{bar.value}" for bar in self.bars)


View = Scene | Chart


def random_scene(rng: Random) -> Scene:
    """Draw a scene in which no two things have the same colour and shape."""
    count = rng.randint(2, 4)
    cells = sorted(rng.sample(range(len(CELLS)), count))
    kinds = rng.sample([(colour, shape) for colour in COLOURS for shape in SHAPES], count)
    return Scene(tuple(Thing(colour, shape, cell) for (colour, shape), cell in zip(kinds, cells, strict=True)))


def random_chart(rng: Random) -> Chart:
    """Draw a chart. Two in five have a clear trend, which would be rare by chance."""
    count = rng.randint(2, 4)
    colours = rng.sample(COLOURS, count)
    values = [rng.randint(1, HIGHEST) for _ in range(count)]
    if rng.random() < 0.4:
        values = sorted(rng.sample(range(1, HIGHEST + 1), count), reverse=rng.random() < 0.5)
    return Chart(tuple(Bar(colour, value) for colour, value in zip(colours, values, strict=True)))


def random_view(rng: Random) -> View:
    """Draw a scene or a chart, equally often."""
    return random_scene(rng) if rng.random() < 0.5 else random_chart(rng)
