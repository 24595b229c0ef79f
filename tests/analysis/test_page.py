"""report.html and the item browser in a real Chromium."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

import pytest

from mmdpo.analysis.figures import Picture
from mmdpo.analysis.html import write_html
from mmdpo.analysis.study import read_study
from tests.analysis.test_html import PIXEL
from tests.support.answered import make_answered_study
from tests.support.studies import make_point, write_answers

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

pytestmark = pytest.mark.browser

EVIL = "</script><script>document.title='broken'</script><img src=x onerror=\"document.title='broken'\"> \u2028 \u202e"
BASE = "base-00abcd"


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A study of a base and three seeds over four items: the first gains, is equal, loses, and has no score."""
    scores = {
        "base": [5.0, 5.0, 5.0, 5.0],
        "1": [9.0, 5.0, 2.0, None],
        "2": [5.0, 5.0, 5.0, 6.0],
        "3": [6.0, 5.0, 1.0, 1],
    }
    folder = make_answered_study(tmp_path_factory.mktemp("page") / "study", scores, {"2": EVIL, "base": "base answers"})
    figure = folder / "figures" / "scores.png"
    figure.parent.mkdir()
    figure.write_bytes(PIXEL)
    figure.with_suffix(".pdf").write_bytes(b"%PDF")
    write_html(read_study(folder), [Picture(figure, "Scores.")], folder / "report.html")
    return folder


def point(study: Path, seed: int) -> str:
    return next(path.name for path in study.iterdir() if f"-seed{seed}-" in path.name)


def items_page(study: Path, **values: str) -> str:
    query = "&".join(f"{key.rstrip('_')}={quote(value)}" for key, value in values.items())
    return f"{(study / 'report' / 'items.html').as_uri()}#{query}"


def ids(page: Page) -> list[int]:
    """Return the numbers of the items in the list."""
    return [int(text.rsplit("-", 1)[1]) for text in page.locator("#list .id").all_inner_texts()]


def test_items_are_filtered_sorted_and_searched(study: Path, page: Page):
    page.goto(items_page(study, task="visual"))
    page.locator("[name=p1]").select_option(label="seed 1")
    page.get_by_text("the worse one on 1, 1 without both scores").wait_for()
    assert ids(page) == [0, 1, 2, 3]
    for verdict, expected in (("better", [0]), ("equal", [1]), ("worse", [2]), ("none", [3])):
        page.locator("[name=verdict]").select_option(verdict)
        page.get_by_text("1 of 4 items").wait_for()
        assert ids(page) == expected
    page.get_by_role("button", name="Clear filters").click()
    for sort, expected in (("gain", [0, 1, 2, 3]), ("loss", [2, 1, 0, 3]), ("spread", [0, 2, 1, 3])):
        page.locator("[name=sort]").select_option(sort)
        assert ids(page) == expected
    page.locator("[name=differ]").select_option("scores")
    page.get_by_text("2 of 4 items").wait_for()
    assert ids(page) == [0, 2]
    page.get_by_role("button", name="Clear filters").click()
    page.get_by_text("4 of 4 items").wait_for()
    page.get_by_label("Search").fill("judge ON 1, item 2")
    page.get_by_text("1 of 4 items").wait_for()
    assert ids(page) == [2]


def test_an_item_shows_image_reference_answers_and_the_judges_text(study: Path, page: Page):
    page.goto(items_page(study, task="visual"))
    page.locator("[name=p1]").select_option(label="seed 1")
    page.locator("[name=p2]").select_option(label="seed 2")
    page.locator("[name=p3]").select_option(label="seed 3")
    cards = page.locator("section.point")
    cards.nth(3).wait_for()
    assert "Reference answer" in page.locator("#item").inner_text()
    assert "(+4) better than point 1" in cards.nth(1).inner_text()
    assert "Judge on 1, item 0" in cards.nth(1).inner_text()
    assert "<img src=x" in cards.nth(2).inner_text()
    assert "\\u2028 \\u202e" in cards.nth(2).inner_text()
    assert page.title() == "Items · study · mmdpo"
    page.locator("#item button.enlarge").click()
    large = page.locator("dialog img")
    assert large.evaluate("image => image.naturalWidth") > 0
    page.keyboard.press("Escape")
    assert not large.is_visible()
    page.locator("#list a").nth(3).click()
    page.get_by_text("unscored: refused").wait_for()


def test_the_keyboard_moves_and_the_address_restores_the_view(study: Path, page: Page):
    page.goto(items_page(study, task="visual", sort="loss", point=BASE, point_=point(study, 1)))
    page.locator("#points").wait_for()
    page.keyboard.press("j")
    page.keyboard.press("j")
    page.keyboard.press("k")
    heading = page.locator("#item h2")
    page.locator("#list li:nth-child(2) a[aria-current]").wait_for()
    shown = heading.inner_text()
    assert shown.endswith("-00001")
    page.keyboard.press("/")
    assert page.evaluate("document.activeElement.name") == "q"
    page.keyboard.press("Escape")
    page.reload()
    page.locator("#points").wait_for()
    assert heading.inner_text() == shown
    assert page.locator("[name=sort]").input_value() == "loss"
    assert page.locator("[name=p1] option:checked").inner_text() == "seed 1"
    page.go_back()
    page.locator("#list li:nth-child(3) a[aria-current]").wait_for()


def test_narrow_pages_do_not_scroll_sideways(study: Path, page: Page):
    page.set_viewport_size({"width": 400, "height": 800})
    sideways = "document.documentElement.scrollWidth > document.documentElement.clientWidth"
    page.goto((study / "report.html").as_uri())
    assert not page.evaluate(sideways)
    page.goto(items_page(study, task="visual"))
    page.locator("#list a").first.click()
    page.locator("#points").wait_for()
    assert not page.evaluate(sideways)
    assert not page.locator("#list").is_visible()
    page.keyboard.press("Escape")
    page.locator("#list").wait_for()


def test_the_report_unfolds_seeds_enlarges_figures_and_leads_to_items(study: Path, page: Page):
    page.goto((study / "report.html").as_uri())
    seed = page.get_by_role("link", name="seed 1", exact=True)
    assert not seed.is_visible()
    page.get_by_role("button", name="3 seeds").click()
    assert seed.is_visible()
    page.locator("figure button.enlarge").press("Enter")
    assert page.locator("dialog").is_visible()
    page.keyboard.press("Escape")
    assert not page.locator("dialog").is_visible()
    page.locator("table.examples a").first.click()
    page.locator("#points").wait_for()
    assert page.locator("#item h2").inner_text().startswith("visual-")


def test_a_missing_data_file_is_named(study: Path, chromium: Browser, tmp_path: Path):
    shutil.copy(study / "report" / "items.html", tmp_path)
    with chromium.new_page() as page:
        page.goto((tmp_path / "items.html").as_uri())
        page.get_by_text("python -m mmdpo report study").wait_for()


@pytest.mark.long
def test_ten_thousand_items_of_four_points_are_usable(tmp_path: Path, page: Page):
    for seed in range(4):
        folder = make_point(tmp_path / "big", {"seed": seed}, n=2)
        for path in (folder / "answers").glob("*.jsonl"):
            path.unlink()
        items = [
            {"id": f"text-{number}", "question": f"Question {number}?", "answer": f"answer {number % 7} " * 20}
            | {"score": float((number * (seed + 1)) % 10), "parts": {}, "words": 40}
            for number in range(10_000)
        ]
        write_answers(folder, "text", items)
    study = read_study(tmp_path / "big")
    write_html(study, [], tmp_path / "big" / "report.html")
    page.goto(items_page(tmp_path / "big", task="text"))
    page.locator("#points").wait_for()
    assert page.locator("#list li").count() == 100
    page.get_by_role("button", name="Next page").click()
    page.get_by_text("101–200 of 10000").wait_for()
    page.get_by_label("Search").fill("question 9876?")
    page.get_by_text("1 of 10000 items").wait_for()
    assert ids(page) == [9876]
    assert json.loads((tmp_path / "big" / "report" / ".made.json").read_text())["again"] is False
