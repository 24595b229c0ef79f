"""A study is moved to another machine: everything that is computed from it comes out the same there."""

import json
import os
import stat
import zipfile
from pathlib import Path

import pytest

from mmdpo.__main__ import main
from mmdpo.analysis import figures
from mmdpo.analysis.bundle import open_bundle, write_bundle
from mmdpo.analysis.bundle_file import MANIFEST, belongs_in_bundle
from mmdpo.analysis.page.stored_samples import StoredSamples
from mmdpo.analysis.study import read_study
from mmdpo.config.schema import BenchConfig
from mmdpo.errors import UserError
from mmdpo.evaluation.samples import sample_sets
from mmdpo.files import file_fingerprint
from tests.support.studies import make_point, make_study, write_answers

FOUR = {"bench": {"items": 4, "split": "test", "seed": 0}}


@pytest.fixture
def study(tmp_path):
    """A study of which one point is a link to that of another study."""
    folder = make_study(tmp_path / "here" / "outputs" / "nano", [{"beta": 0.1}], n=6)
    other = make_study(folder.parent / "other", [{"beta": 0.3}], n=6, references=False)
    point = next(other.iterdir())
    (folder / point.name).symlink_to(Path("..", "other", point.name))
    (folder / "commands.jsonl").write_text('{"command": "python launch.py -m beta=0.1,0.3", "cwd": "/home/me"}\n')
    for place in (folder / point.name, folder / "jobs"):
        (place / "adapter").mkdir(parents=True, exist_ok=True)
        (place / "logs").mkdir(exist_ok=True)
        (place / "logs" / "attempt-1-rank-0.log").write_text("written here")
        (place / "adapter" / "adapter_config.json").write_text("{}")
        (place / "adapter" / "adapter_model.safetensors").write_bytes((2).to_bytes(8, "little") + b"{}")
    return folder


def with_own_items(study: Path) -> list[Path]:
    """Make a base that has answered four questions of the miniature, and return their images."""
    point = make_point(study, {"data_scale": 0.0}, role="base", config=FOUR)
    (one,) = sample_sets(BenchConfig(name="", tasks=["visual"], items=4), {}, "")
    write_answers(point, "visual", [{"id": one.id, "question": one.question, "answer": "yes"} for one in one.prompts])
    note = {"samples": one.asked_fingerprint, "content": file_fingerprint(point / "answers" / "visual.jsonl")}
    (point / "answers" / "visual.json").write_text(json.dumps(note))
    return [one.image_root / name for prompt in one.prompts for name in prompt.images]


def test_results_are_the_same_bytes_on_another_machine(study, tmp_path, monkeypatch, capsys):
    all_kinds = figures.kinds  # equal bytes of each kind are a test of the figures
    monkeypatch.setattr(figures, "kinds", lambda study: all_kinds(study)[:1])
    base, *others = (path.name for path in sorted(study.glob("*-*")))
    outputs = []
    for place in ("here", "there"):
        (tmp_path / place).mkdir(exist_ok=True)
        monkeypatch.chdir(tmp_path / place)
        monkeypatch.setenv("HOME", str(tmp_path / place))
        if place == "there":
            os.rename(study.parent, tmp_path / "gone")
            assert main(["open", "../nano.zip"]) == 0
        else:
            assert main(["bundle", "nano", "../nano.zip"]) == 0
            assert main(["bundle", "nano", "../again.zip"]) == 0
        capsys.readouterr()
        assert main(["report", "nano"]) == 0
        assert main(["compare", f"nano/{base}", f"nano/{others[-1]}"]) == 0
        outputs.append(capsys.readouterr().out)
    assert (tmp_path / "nano.zip").read_bytes() == (tmp_path / "again.zip").read_bytes()
    assert outputs[0] == outputs[1]
    written = [path for path in (tmp_path / "gone" / "nano").rglob("*") if path.is_file()]
    made = {path.relative_to(tmp_path / "gone" / "nano") for path in written if "-" not in path.parts[-2]}
    made = {path for path in made if not path.name.startswith(".") and path.parts[0] != "jobs"}
    assert {"report.html", "summary.csv", "commands.jsonl"} <= {path.name for path in made}
    assert any(path.suffix == ".pdf" for path in made)
    for path in made:
        assert (tmp_path / "gone" / "nano" / path).read_bytes() == Path("outputs/nano", path).read_bytes(), path
    assert not [path for path in Path("outputs/nano").rglob("*") if path.is_symlink() or "adapter" in path.parts]


def test_adapters_are_taken_on_request(study, tmp_path):
    write_bundle(study, tmp_path / "nano.zip", adapters=True)
    folder, manifest = open_bundle(tmp_path / "nano.zip", tmp_path / "opened")
    assert manifest.adapters
    assert sorted(path.name for path in folder.glob("*/adapter/*")) == [
        "adapter_config.json",
        "adapter_model.safetensors",
    ]
    assert not (folder / "jobs").exists()


def test_images_of_items_are_there_without_the_benchmark(tmp_path, monkeypatch):
    images = with_own_items(tmp_path / "nano")
    write_bundle(tmp_path / "nano", tmp_path / "nano.zip")
    folder, _ = open_bundle(tmp_path / "nano.zip", tmp_path / "opened")
    monkeypatch.setattr("mmdpo.evaluation.samples.sample_sets", None)
    (row,) = read_study(folder).rows
    samples = StoredSamples(folder / "report").of(row, "visual")
    names = [name for sample in samples.values() for name in sample["images"]]
    assert [(folder / "report" / "images" / name).read_bytes() for name in names] == [
        one.read_bytes() for one in images
    ]


def test_samples_that_are_not_to_be_had_are_said(tmp_path):
    with_own_items(tmp_path / "nano")
    (note,) = (tmp_path / "nano").glob("*/answers/visual.json")
    note.write_text(json.dumps({**json.loads(note.read_text()), "samples": "0123456789abcdef"}))
    (line,) = write_bundle(tmp_path / "nano", tmp_path / "nano.zip").left_out
    assert line.startswith("images and references of visual")


def test_what_cannot_be_held_is_said(study, tmp_path):
    make_point(study, {"beta": 0.5}, state="running", host="elsewhere", pid=1)
    (study / "dpo-gone-00abcd").symlink_to("nowhere")
    left_out = write_bundle(study, tmp_path / "nano.zip").left_out
    assert any("1 points still run" in line for line in left_out)
    assert any("dpo-gone-00abcd" in line for line in left_out)


def test_a_killed_point_is_interrupted_everywhere(tmp_path):
    make_point(tmp_path / "nano", {}, state="running", host=os.uname().nodename, pid=2**22 - 1)
    write_bundle(tmp_path / "nano", tmp_path / "nano.zip")
    folder, _ = open_bundle(tmp_path / "nano.zip", tmp_path / "opened")
    (status,) = folder.glob("*/status.json")
    assert json.loads(status.read_text())["state"] == "interrupted"


def test_nothing_is_overwritten(study, tmp_path, monkeypatch):
    monkeypatch.chdir(study.parents[1])
    file = tmp_path / "nano.zip"
    write_bundle(study, file)
    with pytest.raises(UserError, match="another name"):
        write_bundle(study, file)
    with pytest.raises(UserError, match="--to DIR"):
        open_bundle(file)  # outputs/nano is the study itself


def test_places_that_cannot_be_written_are_named(study, tmp_path):
    with pytest.raises(UserError, match="another path"):
        write_bundle(study, Path("/proc/nano.zip"))
    write_bundle(study, tmp_path / "nano.zip")
    with pytest.raises(UserError, match="another path"):
        open_bundle(tmp_path / "nano.zip", tmp_path / "nano.zip" / "nano")


def rewritten(file: Path, change) -> Path:
    """Write a copy of an archive whose entries, by name, were changed."""
    with zipfile.ZipFile(file) as archive:
        entries = {info: archive.read(info) for info in archive.infolist()}
    with zipfile.ZipFile(file.with_name("changed.zip"), "w") as archive:
        for info, data in change(entries).items():
            archive.writestr(info, data)
    return file.with_name("changed.zip")


def with_entry(name: str, mode: int = stat.S_IFREG):
    """Add an entry of the manifest's own to an archive."""

    def change(entries):
        *others, last = entries.items()
        manifest = json.loads(last[1])
        manifest["files"][name] = {"sha256": "0" * 64, "bytes": 1}
        info = zipfile.ZipInfo(name)
        info.external_attr = (mode | 0o644) << 16
        return {**dict(others), info: b"x", last[0]: json.dumps(manifest).encode()}

    return change


def without_manifest(entries):
    return {info: data for info, data in entries.items() if info.filename != MANIFEST}


def with_other_content(entries):
    return {info: data.replace(b"made-up", b"madeXup") for info, data in entries.items()}


def with_other_format(entries):
    return {info: data.replace(b'"format": 1', b'"format": 2') for info, data in entries.items()}


def with_other_study(entries):
    return {info: data.replace(b'"study": "nano"', b'"study": "../x"') for info, data in entries.items()}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (without_manifest, MANIFEST),
        (with_other_content, "another content"),
        (with_other_format, "format 2"),
        (with_other_study, "'../x'"),
        (lambda entries: dict([*entries.items()][1:]), "differ in 1"),
        *((with_entry(name), "no bundle holds") for name in ("../out.json", "/tmp/out.json", "a-b/adapter/model.pkl")),
        (with_entry("a-b/config.yaml", stat.S_IFLNK), "no bundle holds"),
        (with_entry("a-b/config.yaml"), "another content"),
    ],
)
def test_damaged_and_foreign_files_are_refused(change, said, tmp_path):
    make_point(tmp_path / "nano", {}, n=2)
    write_bundle(tmp_path / "nano", tmp_path / "nano.zip")
    with pytest.raises(UserError, match=said):
        open_bundle(rewritten(tmp_path / "nano.zip", change), tmp_path / "opened")
    assert not (tmp_path / "opened").exists()
    assert not [*tmp_path.glob(".opened*")]


@pytest.mark.parametrize("kind", ["missing", "folder", "text", "torn"])
def test_files_that_are_no_archive_are_refused(kind, tmp_path):
    file = tmp_path / "nano.zip"
    if kind == "folder":
        file.mkdir()
    elif kind == "text":
        file.write_text("hello")
    elif kind == "torn":
        make_point(tmp_path / "nano", {}, n=2)
        write_bundle(tmp_path / "nano", file)
        file.write_bytes(file.read_bytes()[:-100])
    with pytest.raises(UserError, match="bundle"):
        open_bundle(file, tmp_path / "opened")


@pytest.mark.parametrize(
    ("name", "belongs"),
    [
        ("commands.jsonl", True),
        ("base-1/config.yaml", True),
        ("base-1/answers/upstream/pope/base.jsonl", True),
        ("base-1/adapter/adapter_model.safetensors", True),
        ("report/images/0a.png", True),
        ("report/items.html", False),
        ("paper/table2.tex", True),
        ("report.html", False),
        ("base-1/adapter/adapter_model.bin", False),
        ("base-1/logs/attempt-1.log", False),
        ("base-1/.lock", False),
        ("base-1/answers/.unfinished/all.jsonl", False),
        ("./base-1/config.yaml", False),
        ("base-1//config.yaml", False),
        ("C:\\x.json", False),
        ("", False),
    ],
)
def test_only_data_belong_in_a_bundle(name, belongs):
    assert belongs_in_bundle(name) == belongs
