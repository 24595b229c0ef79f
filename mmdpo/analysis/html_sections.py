"""Sections of lines on a study's page. A further one is a function here, added to `SECTIONS`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from urllib.parse import quote

from mmdpo.analysis.study import Study

PAGES = {"paper": "the paper's tables and figures", "audit": "the audit of the judges"}
"""Folders of a study that other commands write, with what they hold."""


@dataclass(frozen=True)
class Section:
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


def further_pages(study: Study) -> Section | None:
    """Return links to what other commands have written beside the page."""
    links = [
        (f"{path.relative_to(study.folder).as_posix()} ({text})", quote(path.relative_to(study.folder).as_posix()))
        for name, text in PAGES.items()
        for path in sorted((study.folder / name).glob("*"))
        if path.suffix in (".html", ".md", ".pdf", ".csv", ".tex")
    ]
    return Section("Further pages", links=links) if links else None


SECTIONS: tuple[Callable[[Study], Section | None], ...] = (further_pages,)


def sections(study: Study) -> list[Section]:
    """Return the sections that have something to say about a study."""
    return [section for make in SECTIONS if (section := make(study))]
