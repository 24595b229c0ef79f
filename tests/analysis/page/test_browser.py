"""The item browser as files."""

import json
import os
import shutil
from pathlib import Path

from mmdpo.analysis.page.browser import write_browser
from mmdpo.analysis.study import read_study
from tests.support.answered import make_answered_study
from tests.support.studies import make_point


def content(folder: Path) -> dict[str, bytes]:
    """Return the visible files below a folder."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and not path.name.startswith(".")
    }


def test_a_moved_study_has_the_same_browser_and_no_path_of_the_machine(tmp_path: Path, monkeypatch):
    folder = make_answered_study(tmp_path / "a" / "s", {"base": [5.0, 5.0], "1": [6.0, 5.0]})
    assert write_browser(read_study(folder))
    made = content(folder / "report")
    assert {"items.html", "data/0-visual-index.js"} <= made.keys()
    assert not any(str(tmp_path).encode() in text for text in made.values())
    moved = tmp_path / "b" / "s"
    shutil.copytree(folder, moved)
    for name in ("items.html", "data", ".made.json"):
        path = moved / "report" / name
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    monkeypatch.setattr("mmdpo.evaluation.samples.sample_sets", None)  # no cache and no files of benchmarks
    assert write_browser(read_study(moved))
    assert content(moved / "report") == made


def test_it_is_written_again_only_if_answers_or_judgments_changed(tmp_path: Path):
    folder = make_answered_study(tmp_path / "s", {"base": [5.0, 5.0], "1": [6.0, 5.0]})
    write_browser(read_study(folder))
    page, index = folder / "report" / "items.html", folder / "report" / "data" / "0-visual-index.js"
    before = page.stat().st_mtime_ns
    index.write_text("damaged by hand, and not looked at again")
    write_browser(read_study(folder))
    assert index.read_text().startswith("damaged")
    (judgments,) = folder.glob("*seed1*/judgments/visual.jsonl")
    judgments.write_text(judgments.read_text().replace("6.0", "7.5"))
    os.utime(judgments, ns=(1, 1))
    (folder / "report" / "data" / "9-old-0.js").write_text("")
    write_browser(read_study(folder))
    assert "7.5" in index.read_text()
    assert page.stat().st_mtime_ns == before
    assert not (folder / "report" / "data" / "9-old-0.js").exists()


def test_damaged_answers_and_points_without_any_are_no_reason_to_stop(tmp_path: Path):
    assert not write_browser(read_study(make_point(tmp_path / "none", {}, state="planned").parent))
    assert not (tmp_path / "none" / "report").exists()
    folder = make_answered_study(tmp_path / "s", {"base": [5.0, 5.0]})
    (answers,) = folder.glob("base*/answers/visual.jsonl")
    answers.write_text('{"id": "visual-test-00000", "answer": 3}\n{"id": tor\n[1]\n')
    assert write_browser(read_study(folder))
    page = (folder / "report" / "items.html").read_text()
    config = json.loads(page.partition('id="config">')[2].partition("</script>")[0])
    assert config["points"] == [{"name": "base-00abcd", "label": "base (unreadable)"}]
    assert config["tasks"][0]["items"] == 1
