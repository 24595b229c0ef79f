"""The dashboard as one page without a server: the panels that W&B would show, from the same description."""

from __future__ import annotations

import base64
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mmdpo.analysis.groups import groups, references
from mmdpo.analysis.items import read_items
from mmdpo.analysis.labels import sign
from mmdpo.console import printable
from mmdpo.dashboard.panels import AnswerTable, Dashboard, Panel, ParallelAxes, Pictures, ResultTable
from mmdpo.dashboard.result_rows import result_rows, results_note
from mmdpo.files import atomic_write
from mmdpo.points.identity import Role

PAGE = "wandb_dashboard.html"
EXAMPLES, MOST_RESULTS = 8, 3
"""The items of a benchmark on the page, and the results whose answers stand beside the base's."""


@dataclass(frozen=True)
class Shown:
    """A panel of the page: an image, a table, or figures.

    Attributes:
        title: The heading.
        image: The address of a chart.
        table: Headings and rows.
        figures: Addresses and captions of figures.
        note: A line below.
        is_wide: Whether it takes the whole width.
    """

    title: str
    image: str = ""
    table: tuple[list[str], list[list[str]]] | None = None
    figures: tuple[tuple[str, str], ...] = ()
    note: str = ""
    is_wide: bool = True


def write_page(dashboards: Sequence[Dashboard], path: Path) -> None:
    """Write the page.

    Args:
        dashboards: The dashboards of the parts of a study.
        path: The file to write.
    """
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("mmdpo.dashboard", ""),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        finalize=lambda value: printable(value) if type(value) is str else value,
    )
    parts = [
        (one.heading, [(section.title, [_shown(one, panel) for panel in section.panels]) for section in one.sections])
        for one in dashboards
    ]
    page = environment.get_template("page.html.j2").render(study=dashboards[0].study, parts=parts)
    with atomic_write(path) as aside:
        aside.write_text(page, encoding="utf-8")


def _shown(dashboard: Dashboard, panel: Panel) -> Shown:
    from mmdpo.dashboard.drawings import draw

    if isinstance(panel, ResultTable):
        return Shown(panel.title, table=result_rows(dashboard), note=results_note(dashboard))
    if isinstance(panel, AnswerTable):
        return _answers(dashboard, panel)
    if isinstance(panel, Pictures):
        return Shown(panel.title, figures=tuple((_embedded(one.path), one.caption) for one in panel.pictures))
    return Shown(panel.title, image=draw(dashboard, panel), is_wide=isinstance(panel, ParallelAxes))


def _answers(dashboard: Dashboard, panel: AnswerTable) -> Shown:
    """Return the items on which results differ most from the base, with the answers side by side."""
    study, task = dashboard.study, panel.task
    bases = [one for one in references(study) if one.role == Role.base and task in one.rows[0].scores]
    trained = [one for one in groups(study) if one.scored(task)]
    trained.sort(key=lambda one: -sign(task) * _value(one.score(task)))
    shown = [*bases[:1], *trained[:MOST_RESULTS]]
    items = [read_items(one.scored(task)[0].folder).get(task, {}) for one in shown]
    common = [key for key in (items[0] if items else {}) if all(key in other for other in items)]
    ranked = sorted(common, key=lambda key: (-_spread([one[key].get("score") for one in items]), key))
    rows = [[str(items[0][key].get("question") or ""), *_cells(one[key] for one in items)] for key in ranked[:EXAMPLES]]
    headings = ["question", *(one.label for one in shown)]
    note = f"The {len(rows)} of {len(common)} items on which the answers differ most in score"
    if any(len(one.rows) > 1 for one in shown):
        note += "; of a result with several seeds, its first one"
    return Shown(panel.title, table=(headings, rows), note=f"{note}. report.html has all items.")


def _cells(items: Iterator[dict[str, Any]]) -> list[str]:
    return [f"{item.get('answer') or ''}\n({_number(item.get('score'))})" for item in items]


def _number(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, int | float) else "no score"


def _value(score: Any) -> float:
    return float(score.value)


def _spread(scores: list[Any]) -> float:
    """Return the largest difference between scores; -1 if fewer than two items have one."""
    numbers = [float(score) for score in scores if isinstance(score, int | float)]
    return max(numbers) - min(numbers) if len(numbers) > 1 else -1.0


def _embedded(path: Path) -> str:
    return f"data:image/png;base64,{base64.b64encode(path.read_bytes()).decode('ascii')}"
