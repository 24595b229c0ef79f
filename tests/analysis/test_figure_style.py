"""The texts around figures: the drawing keeps its room beside long notes."""

from __future__ import annotations

import warnings
from pathlib import Path

from mmdpo.analysis.figures import style


def test_long_notes_make_a_figure_higher_and_leave_room_for_the_panel(tmp_path: Path) -> None:
    figures = {}
    for name, notes in {
        "short": "One line.",
        "long": "\n".join(["A note of some words that need a line."] * 9),
    }.items():
        with style.applied(), warnings.catch_warnings():
            warnings.simplefilter("error")  # matplotlib warns if no room is left for the axes
            figures[name] = style.new_figure(style.LEAST_WIDTH, 1.7)
            figures[name].subplots()
            style.add_texts(figures[name], ["Scores", "study s"], notes)
            style.save_figure(figures[name], tmp_path / f"{name}.png")
    assert figures["long"].get_figheight() > figures["short"].get_figheight() == 1.7
