"""Sections of lines on a study's page. A further one is a function here, added to `SECTIONS`."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from dataclasses import dataclass, field
from urllib.parse import quote

from mmdpo.analysis.comparable import comparable_parts
from mmdpo.analysis.gains import Gains
from mmdpo.analysis.importance import importance_lines
from mmdpo.analysis.labels import benchmark_label
from mmdpo.analysis.plan_lines import DEPARTED, plan_lines
from mmdpo.analysis.study import Study
from mmdpo.analysis.variances import smallest_visible_gain

PAGES = {"paper": "the paper's tables and figures", "audit": "the audit of the judges"}
"""Folders of a study that other commands write, with what they hold."""


@dataclass(frozen=True)
class PageSection:
    """A heading with lines of text below it.

    Attributes:
        title: The heading.
        lines: One paragraph each.
        links: Texts with addresses relative to the page.
        failed: Lines that are shown as faults.
    """

    title: str
    lines: list[str] = field(default_factory=list)
    links: list[tuple[str, str]] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)


def further_pages(study: Study, gains: Gains) -> PageSection | None:
    """Return links to what other commands have written beside the page."""
    links = [
        (f"{path.relative_to(study.folder).as_posix()} ({text})", quote(path.relative_to(study.folder).as_posix()))
        for name, text in PAGES.items()
        for path in sorted((study.folder / name).glob("*"))
        if path.suffix in (".html", ".md", ".pdf")
    ]
    return PageSection("Further pages", links=links) if links else None


def smallest_gains(study: Study, gains: Gains) -> PageSection | None:
    """Return the smallest gain that the study sees on each benchmark."""
    found = []
    for key in study.benchmarks:
        if (gain := smallest_visible_gain(study, key, gains)) is not None:
            found.append(f"{benchmark_label(key)} {gain:.2g}")
    if not found:
        return None
    command = shlex.join(["python", "-m", "mmdpo", "power", study.name])
    lines = [
        "The smallest gain over the base that a study like this one sees with 80 % power, corrected for the number of "
        f"its comparisons: {'; '.join(found)}. A smaller gain may be there and not be seen.",
        f"Type {command} for the number of seeds or items that other gains need.",
    ]
    return PageSection("Smallest visible gains", lines)


def axes_that_matter(study: Study, gains: Gains) -> PageSection | None:
    """Return how much each axis moved the scores."""
    lines = [line for part in comparable_parts(study) for line in importance_lines(part.study, part.heading)]
    return PageSection("Axes", lines) if lines else None


def study_plan(study: Study, gains: Gains) -> PageSection | None:
    """Return the plan of a study, its primary comparison, and what departed from the plan."""
    lines = plan_lines(study, gains)
    failed = [line for line in lines if line.startswith(DEPARTED)]
    return PageSection("Plan", [line for line in lines if line not in failed], failed=failed) if lines else None


SECTIONS: tuple[Callable[[Study, Gains], PageSection | None], ...] = (
    study_plan,
    smallest_gains,
    axes_that_matter,
    further_pages,
)


def sections(study: Study, gains: Gains) -> list[PageSection]:
    """Return the sections that have something to say about a study and its gains."""
    return [section for make in SECTIONS if (section := make(study, gains))]
