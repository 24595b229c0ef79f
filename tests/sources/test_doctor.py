"""The report on a data set: locations of missing files, exact numbers of the others."""

import io
import itertools
import json
import tempfile
from pathlib import Path
from typing import Any

import pytest

from mmdpo.config.choices import OnBadRow, TrainOn
from mmdpo.config.schema import DataConfig, SourceConfig
from mmdpo.console import make_console
from mmdpo.records import PreferencePair
from mmdpo.sources.doctor import Finding, Sample, examine
from mmdpo.sources.doctor_report import print_report
from tests.sources.files import as_lines, as_parquet, photos, tear
from tests.sources.photographs import photograph

SAID = [{"role": "user", "content": "<image>What is it?"}, {"role": "assistant", "content": "A cup."}]
GOOD = {"prompt": "What is it?", "chosen": "A cup.", "rejected": "A dog."}


def figure(index: int, image: str | None = None) -> dict[str, Any]:
    return {"id": f"s{index}", "image_file": image or f"{index}.png", "q_a_pairs": [["What?", "That."]]}


def found(folder: Path, on: OnBadRow = OnBadRow.drop, **given: Any) -> Finding:
    """The finding of one source in `folder`."""
    settings = {"path": str(folder / "rows"), "image_root": str(folder / "images")} | given
    sources = {"figures": SourceConfig(format="scigraphqa", **settings)}
    [finding] = examine(DataConfig(name="own", sources=sources, on_bad_row=on))
    return finding


def pairs_found(path: Path | None, format: str = "pairs", **given: Any) -> Finding:
    [finding] = examine(DataConfig(name="pairs", format=format, path=path and str(path), **given))
    return finding


def faults(finding: Finding) -> list[tuple[str, str]]:
    return [(location.key.rpartition(".")[2], location.state) for location in finding.missing]


@pytest.fixture
def bad_rows(tmp_path: Path) -> Path:
    """Ten rows of two files, of which five are good."""
    (tmp_path / "rows").mkdir()
    as_parquet(tmp_path / "rows/a.parquet", [figure(index) for index in range(6)])
    empty = {**figure(7), "q_a_pairs": []}
    more = [figure(6, "gone.png"), empty, figure(0), figure(9, "../out.png")]
    as_parquet(tmp_path / "rows/b.parquet", more)
    photos(tmp_path / "images", *(f"{index}.png" for index in range(8)))
    photos(tmp_path, "out.png")
    tear(tmp_path / "images/3.png")
    return tmp_path


def test_nothing_there(tmp_path: Path) -> None:
    finding = found(tmp_path)
    assert faults(finding) == [("path", "missing"), ("image_root", "missing")]
    rows, images = finding.locations
    assert rows.path == tmp_path / "rows"
    assert rows.advice == "data.sources.figures.path=FILE"
    assert images.path == tmp_path / "images"
    assert images.advice == "data.sources.figures.image_root=DIR"
    assert not finding.good
    assert finding.read is None
    assert finding.problem is None


def test_half_there(bad_rows: Path) -> None:
    finding = found(bad_rows, image_root=str(bad_rows / "elsewhere"))
    assert faults(finding) == [("image_root", "missing")]
    assert finding.locations[0].state == "found, a folder of 2 files"
    assert finding.read is None


def test_numbers_are_exact(bad_rows: Path) -> None:
    finding = found(bad_rows, count=5)
    assert (finding.read, finding.kept, finding.found, finding.wanted) == (10, 5, 5, 5)
    assert finding.dropped == {
        "field 'image': no such file": 1,
        "field 'image': not usable": 2,  # one is damaged, one leaves the folder
        "field 'id': duplicate": 1,
        "no question": 1,
    }
    assert finding.firsts["no question"].startswith("b.parquet row 2: ")
    assert finding.good
    assert finding.sample is not None
    assert finding.sample.record.question == "What?"
    index = finding.sample.id.removeprefix("figures/s")
    assert finding.sample.images == ((str(bad_rows / f"images/{index}.png"), (32, 21)),)


def test_too_few_rows(bad_rows: Path) -> None:
    finding = found(bad_rows, count=3, offset=3)
    assert (finding.found, finding.wanted, finding.good) == (2, 3, False)
    assert finding.problem
    assert "data.sources.figures.count=3: only 2 good rows" in finding.problem


def test_wrong_rows_are_counted_also_where_a_run_would_refuse_them(bad_rows: Path) -> None:
    finding = found(bad_rows, OnBadRow.error)
    assert (finding.read, finding.found, sum(finding.dropped.values())) == (10, 5, 5)
    assert finding.problem
    assert finding.problem.startswith("4 of 10 rows are wrong; fix them")
    assert "data.on_bad_row=drop" in finding.problem
    assert not finding.good


def test_only_bad_rows(tmp_path: Path) -> None:
    (tmp_path / "rows").mkdir()
    as_lines(tmp_path / "rows/a.jsonl", [figure(1), figure(2)])
    photos(tmp_path / "images", "other.png")
    finding = found(tmp_path)
    assert (finding.read, finding.found, finding.sample) == (2, 0, None)
    assert finding.dropped == {"field 'image': no such file": 2}
    assert not finding.good


def test_nothing_is_left_behind(bad_rows: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scratch = bad_rows / "scratch"
    scratch.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(scratch))
    before = sorted(bad_rows.rglob("*"))
    found(bad_rows)
    _embedded(bad_rows / "rlhf_v.parquet")
    finding = pairs_found(bad_rows / "rlhf_v.parquet", "rlhf_v")
    assert finding.found == 1
    assert sorted(bad_rows.rglob("*")) == sorted([*before, bad_rows / "rlhf_v.parquet"])
    assert {file.stat().st_nlink for file in bad_rows.rglob("*.png")} == {1}


@pytest.mark.parametrize(
    ("make", "state"),
    [
        (lambda path: path.mkdir(), "a folder without files to read"),
        (lambda path: path.write_text("x"), "suffix ''"),
    ],
)
def test_a_wrong_place(tmp_path: Path, make: Any, state: str) -> None:
    make(tmp_path / "rows")
    (tmp_path / "images").mkdir()
    assert faults(found(tmp_path)) == [("path", state), ("image_root", "an empty folder")]
    (tmp_path / "file").write_text("x")
    assert faults(found(tmp_path, image_root=str(tmp_path / "file")))[1] == (
        "image_root",
        "not a folder",
    )


def test_a_torn_parquet_file(bad_rows: Path) -> None:
    tear(bad_rows / "rows/b.parquet")
    finding = found(bad_rows)
    assert not finding.missing
    assert not finding.good
    assert finding.read is None
    assert finding.problem
    assert "b.parquet: not a parquet file" in finding.problem


def test_images_that_no_folder_is_named_for(bad_rows: Path) -> None:
    finding = found(bad_rows, image_root=None)
    assert not finding.missing
    assert finding.problem
    assert finding.problem.endswith("type data.sources.figures.image_root=DIR")


def test_pairs(tmp_path: Path) -> None:
    root = photos(tmp_path / "images", "a.png")
    rows = [{**GOOD, "id": "x", "image": "a.png", "from": "me"}, {**GOOD, "image": "b.png"}, {"prompt": "?"}]
    path = as_lines(tmp_path / "a.jsonl", rows)
    finding = pairs_found(path, image_root=str(root), on_bad_row=OnBadRow.drop)
    assert (finding.read, finding.found, finding.wanted, finding.good) == (3, 1, None, True)
    assert finding.dropped == {"field 'image': no such file": 1, "field 'chosen': missing": 1}
    pair = PreferencePair("x", "What is it?", "A cup.", "A dog.", ("a.png",))
    assert finding.sample == Sample("x", pair, ((str(root / "a.png"), (32, 21)),))
    assert finding.unused == ["from"]
    strict = pairs_found(path, image_root=str(root))
    assert strict.found == 1
    assert strict.problem
    assert strict.problem.startswith("2 of 3 rows are wrong")


def test_pairs_that_hold_their_images(tmp_path: Path) -> None:
    finding = pairs_found(_embedded(tmp_path / "a.parquet"), "rlhf_v")
    assert finding.good
    assert finding.sample is not None
    assert finding.sample.images == (("in the file itself", (64, 43)),)


def test_pairs_in_another_format(tmp_path: Path) -> None:
    path = as_lines(tmp_path / "a.jsonl", [{"messages": SAID, "rejected_response": "A dog.", "images": ["a.png"]}])
    finding = pairs_found(path, image_root=str(photos(tmp_path / "images", "a.png")))
    assert not finding.good
    assert finding.fitting == ["data.format=ms_swift"]
    assert finding.problem
    assert "type data.format=ms_swift" in finding.problem
    assert finding.sample
    assert (finding.sample.record.question, finding.sample.record.images) == ("What is it?", ("a.png",))
    assert pairs_found(path, "ms_swift", image_root=str(tmp_path / "images")).good


def test_pairs_need_a_named_file(tmp_path: Path) -> None:
    assert faults(pairs_found(None)) == [("path", "not set")]
    assert faults(pairs_found(tmp_path)) == [("path", "a folder without files to read")]
    assert faults(pairs_found(tmp_path / "gone.json", image_root=str(tmp_path / "no"))) == [
        ("path", "missing"),
        ("image_root", "missing"),
    ]


def test_synthetic_prompts_need_nothing() -> None:
    assert [*examine(DataConfig(name="mine", format="nano"))] == []


def _embedded(path: Path) -> Path:
    """A file of one pair in RLHF-V's form."""
    content = io.BytesIO()
    photograph("coffee.png", 64).convert("RGB").save(content, "PNG")
    image = {"bytes": content.getvalue(), "path": "a.png"}
    return as_parquet(path, [{"idx": 1, "question": "?", "chosen": "A", "rejected": "B", "image": image}])


def test_rows_with_labels_are_answers_for_a_method_that_trains_on_these(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "rows.jsonl"
    rows = [("a", "yes", True), ("a", "no", False), ("b", "no", False)]
    keys = ("prompt", "completion", "label")
    path.write_text("".join(json.dumps(dict(zip(keys, row, strict=True))) + "\n" for row in rows))
    data = DataConfig(name="pairs", format="kto", path=str(path), on_bad_row=OnBadRow.drop)
    kinds = (None, TrainOn.labelled)
    pairs, answers = (finding for kind in kinds for finding in examine(data, kind))
    assert (pairs.kind, pairs.found, pairs.dropped) == ("pairs", 1, {"completion without a partner": 1})
    assert (answers.kind, answers.found, answers.dropped) == ("answers", 3, {})
    assert (pairs.labels, answers.labels) == ({}, {"true": 1, "false": 2})
    assert print_report(data, TrainOn.labelled, "oracle", [], make_console())
    printed = capsys.readouterr().out.split()
    assert {("label", "true"), ("label", "false")} <= {*itertools.pairwise(printed)}
