"""Further sections of the page."""

from pathlib import Path

import pytest

from mmdpo.analysis import html_sections
from mmdpo.analysis.gains import Gains
from mmdpo.analysis.html import write_html
from mmdpo.analysis.html_sections import PageSection, further_pages
from mmdpo.analysis.study import read_study
from tests.support.studies import make_point


def test_what_other_commands_have_written_is_linked(tmp_path: Path):
    make_point(tmp_path / "s", {}, n=1)
    study = read_study(tmp_path / "s")
    assert further_pages(study, Gains({}, 0)) is None
    for name in ("paper/tables.md", "paper/a b.pdf", "paper/table_2.csv", "audit/audit.md", "audit/audit.json"):
        (tmp_path / "s" / name).parent.mkdir(exist_ok=True)
        (tmp_path / "s" / name).write_text("")
    section = further_pages(study, Gains({}, 0))
    assert section is not None
    assert [address for _, address in section.links] == ["paper/a%20b.pdf", "paper/tables.md", "audit/audit.md"]


def test_a_section_shows_lines_and_faults_escaped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    make_point(tmp_path / "s", {}, n=1)
    section = PageSection("Plan <1>", ["as <planned>"], failed=["departs from & it"])
    monkeypatch.setattr(html_sections, "SECTIONS", (lambda study, gains: section, lambda study, gains: None))
    write_html(read_study(tmp_path / "s"), [], tmp_path / "s" / "report.html")
    page = (tmp_path / "s" / "report.html").read_text()
    assert '<h2 id="section-1">Plan &lt;1&gt;</h2>' in page
    assert '<a href="#section-1">Plan &lt;1&gt;</a>' in page
    assert "<p>as &lt;planned&gt;</p>" in page
    assert '<p class="failed">departs from &amp; it</p>' in page
