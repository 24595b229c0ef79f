"""The pictures of an audit."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from mmdpo.analysis.audit.annotations import QUALITY, Rated
from mmdpo.analysis.audit.judgments import Judged
from mmdpo.analysis.audit.length import centred
from mmdpo.analysis.audit.pairs import differences

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

BINS = 20
SLICES = 8
"""The number of groups of equal size that answers are divided into by length."""
LEAST = 40
"""The number of answers from which the relation with length is drawn."""


def annotation_figures(rated: Rated, second: Rated | None) -> Mapping[str, Figure]:
    """Draw the differences of quality and the relation with length; of two judges their ratings side by side."""
    from mmdpo.analysis.figures.style import light_grid, new_figure

    found = {}
    gaps = Counter(differences(rated.rubric, rated.annotations, rated.distinct))
    relation = _annotation_lengths(rated)
    if gaps:
        figure = new_figure(7.0 if relation else 3.6, 2.7)
        panels = figure.subplots(1, 2 if relation else 1, squeeze=False)[0]
        total = gaps.total()
        panels[0].bar([*gaps], [100 * count / total for count in gaps.values()], color="#0072B2", width=0.8)
        panels[0].set(xlabel="difference of quality", ylabel="% of all two completions", title="Margins")
        light_grid(panels[0])
        if relation:
            _draw_length(panels[1], *relation, "quality")
            panels[1].set_title("Quality against length, within prompts")
        found["margins"] = figure
    if second is not None:
        found["judges"] = _confusion(rated, second)
    return found


def study_figures(benchmarks: Sequence[Judged]) -> Mapping[str, Figure]:
    """Draw the distribution of the scores of single items, and their relation with length."""
    from mmdpo.analysis.figures.style import light_grid, new_figure

    shown = [one for one in benchmarks if any(True for _ in one.scored())]
    if not shown:
        return {}
    figure = new_figure(2.5 * min(len(shown), 4) + 0.4, 4.4 * (1 + (len(shown) - 1) // 4))
    columns = min(len(shown), 4)
    rows = 1 + (len(shown) - 1) // 4
    grid = figure.subplots(2 * rows, columns, squeeze=False)
    for axes in grid.flat:
        axes.set_axis_off()
    for number, one in enumerate(shown):
        line, column = 2 * (number // 4), number % 4
        top, bottom = grid[line, column], grid[line + 1, column]
        scored = [*one.scored()]
        top.set_axis_on()
        top.hist([float(item["score"]) for _, _, item in scored], bins=BINS, range=one.scale, color="#0072B2")
        title = one.name if not one.heading else f"{one.name}\n{one.heading}"
        top.set(title=title, xlabel="score", ylabel="items" if column == 0 else "")
        light_grid(top)
        usable = [(row, name, item) for row, name, item in scored if isinstance(item.get("words"), int)]
        if one.is_judged and len(one.points) > 1 and len(usable) >= LEAST:
            groups = [[name for _, name, _ in usable], [row.point for row, _, _ in usable]]
            relation = _relation(
                [float(item["score"]) for _, _, item in usable], [item["words"] for _, _, item in usable], groups
            )
            if relation:
                bottom.set_axis_on()
                _draw_length(bottom, *relation, "score" if column == 0 else "")
    figure.suptitle("Scores of single items, and below them their relation with length within items", x=0.01, ha="left")
    return {"judgments": figure}


def _annotation_lengths(rated: Rated) -> tuple[list[float], list[float]] | None:
    places = [
        (prompt, index)
        for prompt, indices in rated.distinct.items()
        if len(rated.words.get(prompt, ())) == len(rated.annotations[prompt].ratings)
        for index in indices
    ]
    if len(places) < LEAST:
        return None
    values = [rated.value(rated.annotations[prompt], index, QUALITY) for prompt, index in places]
    words = [rated.words[prompt][index] for prompt, index in places]
    return _relation(values, words, [[prompt for prompt, _ in places]])


def _relation(
    values: Sequence[float], words: Sequence[int], groups: Sequence[Sequence[str]]
) -> tuple[list[float], list[float]] | None:
    """Return mean length and mean value of groups of answers by length, both without the groups' means."""
    import numpy as np

    length = centred(np.log2(np.asarray(words, dtype=float) + 1), groups)
    rest = centred(np.asarray(values, dtype=float), groups)
    if not length.any():
        return None
    slices = np.array_split(np.argsort(length, kind="stable"), SLICES)
    return [float(2 ** length[one].mean()) for one in slices], [float(rest[one].mean()) for one in slices]


def _draw_length(axes: Axes, lengths: Sequence[float], values: Sequence[float], name: str) -> None:
    from mmdpo.analysis.figures.style import GREY, light_grid

    axes.axhline(0, color=GREY, linewidth=0.8)
    axes.plot(lengths, values, "o-", color="#D55E00")
    reach = max(0.1, 1.3 * max(map(abs, values)))
    axes.set_ylim(-reach, reach)
    axes.set(xlabel="length / mean length", ylabel=f"{name} − mean" if name else "")
    light_grid(axes)


def _confusion(rated: Rated, second: Rated) -> Figure:
    """Draw how often each rating of the first judge meets each one of the second."""
    from mmdpo.analysis.figures.style import new_figure

    low, high = rated.rubric.scale
    both = [name for name in rated.rubric.attributes if name in second.rubric.attributes]
    marks = range(low, high + 1)
    figure = new_figure(1.75 * len(both) + 0.5, 2.4)
    panels = figure.subplots(1, len(both), squeeze=False, sharey=True)[0]
    for axes, name in zip(panels, both, strict=True):
        counts = Counter(
            (second.annotations[prompt].ratings[index][name], rated.annotations[prompt].ratings[index][name])
            for prompt, indices in rated.distinct.items()
            if prompt in second.annotations
            for index in indices
        )
        cells: Any = [[counts[(row, column)] / max(counts.total(), 1) for column in marks] for row in marks]
        axes.imshow(cells, origin="lower", cmap="Blues", vmin=0, extent=(low - 0.5, high + 0.5, low - 0.5, high + 0.5))
        for row in marks:
            for column in marks:
                share = cells[row - low][column - low]
                if share >= 0.005:
                    dark = share > 0.6 * max(map(max, cells))
                    axes.text(
                        column,
                        row,
                        f"{100 * share:.0f}",
                        ha="center",
                        va="center",
                        fontsize=7,
                        color="w" if dark else "k",
                    )
        axes.set(title=name, xticks=[*marks], yticks=[*marks])
    panels[0].set_ylabel(f"{second.judge}")
    figure.supxlabel(f"{rated.judge}   (cells: % of the completions)", fontsize=8.5)
    return figure
