"""report.html."""

import json
import re
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote

from mmdpo.analysis.figures import Picture
from mmdpo.analysis.html import write_html
from mmdpo.analysis.html_commands import commands
from mmdpo.analysis.study import read_study
from tests.support.studies import make_point, make_study, write_answers

PIXEL = bytes.fromhex(
    "89504e470d0a1a0a0000000d4948445200000001000000010806000000"
    "1f15c4890000000d49444154789c6360000002000001e221bc330000000049454e44ae426082"
)


class Page(HTMLParser):
    """The tags of a page, and its text."""

    def __init__(self, path: Path):
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data


def page(study_folder: Path) -> Page:
    figure = study_folder / "figures" / "scores.png"
    figure.parent.mkdir(exist_ok=True)
    figure.write_bytes(PIXEL)
    write_html(read_study(study_folder), [Picture(figure, "Scores.")], study_folder / "report.html")
    return Page(study_folder / "report.html")


def test_the_page_stands_alone_and_its_links_lead_somewhere(tmp_path: Path):
    folder = make_study(tmp_path / "s", [{"beta": 0.1}, {"beta": 0.2}])
    (folder / "summary.csv").write_text("")
    found = page(folder)
    images = [attributes["src"] for tag, attributes in found.tags if tag == "img" and "src" in attributes]
    assert images
    assert all(str(source).startswith("data:image/png;base64,") for source in images)
    assert not {"link", "iframe"} & {tag for tag, _ in found.tags}
    assert not [attributes for tag, attributes in found.tags if tag == "script" and attributes]
    assert not re.search(r"https?://", (folder / "report.html").read_text())
    links = [str(attributes["href"]) for tag, attributes in found.tags if tag == "a"]
    anchors = {attributes["id"] for _, attributes in found.tags if "id" in attributes}
    assert len(links) > 10
    for link in links:
        file = folder / unquote(link.partition("#")[0])
        assert link[1:] in anchors if link.startswith("#") else file.exists()


def test_the_page_holds_scores_versions_commit_and_command(tmp_path: Path):
    folder = make_study(tmp_path / "s", [{"beta": 0.1}, {"beta": 0.2}])
    make_point(folder, {"beta": 0.3}, state="failed", error="out of memory")
    text = page(folder).text
    assert ("5 points" not in text and "6 points" not in text) or "5 points: 4 done, 1 failed" in text
    for wanted in ("out of memory", "2.13.0", "0000000", "0123456789abcdef", "before visual tuning", "560"):
        assert wanted in text
    assert "python launch.py -m beta=0.1,0.2,0.3" in text


def test_everything_is_escaped(tmp_path: Path):
    folder = tmp_path / "<i>study"
    evil = "<script>alert(1)</script>\"'&"
    for role, score in (("base", 1.0), ("trained", 9.0)):
        scale = 1.0 if role == "trained" else 0.0
        point = make_point(folder, {"data_scale": scale}, role=role)
        item = {"id": "1", "category": evil, "question": evil, "answer": evil, "score": score, "parts": {}}
        write_answers(point, "text", [item])
        result = json.loads((point / "result.json").read_text())
        result |= {"git": evil, "versions": {evil: evil}, "judge": evil}
        result["scores"][f"text/category/{evil}"] = result["scores"]["text"]
        (point / "result.json").write_text(json.dumps(result))
    make_point(folder, {"seed": 7}, state="failed", error=evil)
    found = page(folder)
    assert [tag for tag, _ in found.tags].count("script") == 1
    assert "i" not in {tag for tag, _ in found.tags}
    assert found.text.count(evil) >= 6


def test_an_empty_study_has_a_page(tmp_path: Path):
    make_point(tmp_path / "s", {}, state="planned")
    write_html(read_study(tmp_path / "s"), [], tmp_path / "s" / "report.html")
    assert "1 planned" in Page(tmp_path / "s" / "report.html").text


def test_the_commands_are_those_that_were_typed(tmp_path: Path):
    folder = make_study(tmp_path / "s", [{"beta": 0.1}, {"beta": 0.2}], n=2)
    typed = ["python launch.py -m beta=0.1,0.2 'data.path=my <b>.jsonl'", "python launch.py stage=report"]
    (folder / "commands.jsonl").write_text("".join(json.dumps({"command": one}) + "\n" for one in typed * 2))
    assert commands(read_study(folder)) == typed[:1]
    text = page(folder).text
    assert typed[0] in text
    assert typed[1] not in text


def test_notes_on_the_scores_are_on_the_page(tmp_path: Path):
    point = make_point(tmp_path / "s", {"method": "steerlm"}, n=2)
    result = json.loads((point / "result.json").read_text())
    result["scores"] |= {"text/without_request": {"value": 5.25, "n": 2, "low": 5.0, "high": 5.5}}
    result["scores"]["visual"]["unscored"] = 7
    (point / "result.json").write_text(json.dumps(result))
    text = page(tmp_path / "s").text
    assert "SteerLM: asked for ratings; without the request text 5.25 ±.25" in text
    assert "visual 7" in text


def test_control_characters_are_shown_on_the_page(tmp_path: Path):
    make_point(tmp_path / "s", {}, state="failed", error="\x1b[2J\u202e <i>gone")
    text = page(tmp_path / "s").text
    assert "\\x1b[2J\\u202e <i>gone" in text
    assert "\x1b" not in text
