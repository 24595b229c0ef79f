"""The dashboard as a page without W&B."""

import json
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

from mmdpo.__main__ import main
from mmdpo.analysis import figures
from mmdpo.analysis.study import read_study
from mmdpo.dashboard.panels import describe_dashboards
from tests.dashboard.test_publish import drawn
from tests.support.studies import make_point, make_study


class Words(HTMLParser):
    """The headings of a page, and the addresses that it names."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.headings: list[str] = []
        self.addresses: list[str] = []
        self._tag = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._tag = tag
        self.addresses += [value or "" for name, value in attrs if name in ("src", "href")]

    def handle_data(self, data: str) -> None:
        if self._tag in ("h2", "h3") and data.strip():
            self.headings.append(data.strip())


def keep_one_benchmark(study: Path) -> None:
    """Leave the scores of text alone, so that fewer charts are drawn."""
    for path in study.glob("*/result.json"):
        result = json.loads(path.read_text())
        result["scores"] = {key: one for key, one in result["scores"].items() if key.partition("/")[0] == "text"}
        path.write_text(json.dumps(result))


@pytest.fixture(autouse=True)
def _quick_figures(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(figures, "draw_figures", drawn)


def test_without_a_key_the_same_panels_are_a_page(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    study = make_study(tmp_path / "nano", [{"lr": lr, "seed": seed} for lr in (5e-4, 5e-5) for seed in (0, 1)], n=6)
    keep_one_benchmark(study)
    monkeypatch.setattr("mmdpo.wandb_service.has_key", lambda: False)
    assert main(["wandb", str(study)]) == 1
    out = capsys.readouterr().out
    assert "WANDB_API_KEY" in out
    assert "wandb login" in out
    page = study / "wandb_dashboard.html"
    first = page.read_bytes()
    assert main(["wandb", str(study), "--offline"]) == 0
    assert "WANDB_API_KEY" not in capsys.readouterr().out
    assert page.read_bytes() == first
    words = Words(first.decode())
    (dashboard,) = describe_dashboards(read_study(study), drawn(None, study / "figures"))
    for section in dashboard.sections:
        assert section.title in words.headings
        assert {panel.title for panel in section.panels} - {section.title} <= {*words.headings}
    assert words.addresses
    assert all(address.startswith("data:image/") for address in words.addresses)
    assert str(tmp_path) not in first.decode()


def test_a_page_of_a_study_without_scores(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(figures, "draw_figures", lambda *_: [])
    make_point(tmp_path / "nano", {}, state="failed", error="out of memory")
    assert main(["wandb", str(tmp_path / "nano"), "--offline"]) == 0
    assert "No point of this study" in (tmp_path / "nano" / "wandb_dashboard.html").read_text()


def test_a_single_item_and_a_single_point(tmp_path: Path) -> None:
    study = make_study(tmp_path / "nano", [{}], n=1, references=False)
    keep_one_benchmark(study)
    assert main(["wandb", str(study), "--offline"]) == 0
    text = (study / "wandb_dashboard.html").read_text()
    assert not re.search(r"\bnan\b", text)


def test_the_users_own_mode_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("WANDB_MODE", "offline")
    make_point(tmp_path / "nano", {}, state="failed", error="out of memory")
    assert main(["wandb", str(tmp_path / "nano")]) == 1
    assert "WANDB_MODE=offline" in capsys.readouterr().out


def test_an_unknown_study_is_a_wrong_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["wandb", str(tmp_path / "nowhere")]) == 2
    assert "no study" in capsys.readouterr().err
