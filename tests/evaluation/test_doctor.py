import json
import shutil

import pytest

from mmdpo.config.choices import Split
from mmdpo.errors import UserError
from mmdpo.evaluation.bench_files import UNKNOWN, BenchFile
from mmdpo.evaluation.doctor import EMPTY, FOUND, MISSING, OPTIONAL, examine, examine_file
from tests.support.bench_amber import write_amber
from tests.support.bench_mm_vet import write_mm_vet
from tests.support.bench_mmbench import mmbench_row, write_mmbench
from tests.support.bench_pope import write_pope, write_repope
from tests.support.bench_run import bench_config


def one(task, root, **settings):
    [finding] = examine(bench_config(task, root, **settings))
    return finding


def test_complete_files(tmp_path):
    finding = one("mm_vet", write_mm_vet(tmp_path))
    assert finding.good
    assert (finding.samples, finding.measured, finding.images.named, finding.images.usable) == (3, 3, 2, 2)
    questions = next(file for file in finding.files if file.file.key == "mm_vet_questions")
    assert (questions.state, questions.rows, questions.edition, len(questions.sha256)) == (FOUND, 3, UNKNOWN, 12)
    assert finding.prompt.startswith("upstream ")


def test_an_optional_judge_prompt_and_missing_required_files(tmp_path):
    root = write_mm_vet(tmp_path)
    (root / "mm_vet" / "judge_prompt.txt").unlink()
    finding = one("mm_vet", root)
    assert finding.good
    assert finding.prompt == "own"
    assert [file.state for file in finding.files if not file.file.required] == [OPTIONAL]
    shutil.rmtree(root / "mm_vet")
    finding = one("mm_vet", root)
    assert not finding.good
    assert [file.state for file in finding.wrong] == [MISSING, MISSING]


def test_missing_and_broken_images_are_counted_and_the_first_is_named(tmp_path):
    root = write_pope(tmp_path)
    images = sorted((root / "pope" / "images").iterdir())
    images[0].write_bytes(b"torn")
    finding = one("pope", root)
    assert (finding.images.named, finding.images.usable, finding.good) == (2, 1, False)
    assert images[0].name in finding.images.first
    images[0].unlink()
    assert images[0].name in one("pope", root).images.first


def test_two_tasks_decode_their_images_once(tmp_path, monkeypatch):
    root = write_repope(write_pope(tmp_path))
    decoded = []
    monkeypatch.setattr("mmdpo.evaluation.doctor.check_image", decoded.append)
    bench = bench_config("pope", root)
    bench.tasks = ["pope", "repope"]
    assert [finding.images.usable for finding in examine(bench)] == [2, 2]
    assert len(decoded) == 2


def test_images_in_a_table_are_checked_with_its_rows(tmp_path):
    assert one("mmbench", write_mmbench(tmp_path)).images.usable == 2
    finding = one("mmbench", write_mmbench(tmp_path, [mmbench_row(1, "A", image="AAAA" * 20)]))
    assert not finding.good
    assert "row 1" in finding.problem


def test_the_measured_share(tmp_path):
    rows = [mmbench_row(index, "A") for index in range(10)]
    bench = bench_config("mmbench", write_mmbench(tmp_path, rows))
    bench.split = Split.dev
    [finding] = examine(bench)
    assert (finding.samples, finding.measured) == (10, 5)


def test_a_refused_edition_is_a_problem(tmp_path):
    root = write_amber(tmp_path)
    (root / "amber" / "annotations.json").write_text(json.dumps([{"id": 1, "type": "x", "truth": "no"}]))
    finding = one("amber", root)
    assert not finding.good
    assert "amber_annotations" in finding.problem


@pytest.mark.parametrize(
    ("name", "make", "state", "wrong"),
    [
        ("x.jsonl", lambda path: path.write_text('{"a": 1}\n\n{"a": 2}\n'), FOUND, False),
        ("x.jsonl", lambda path: path.write_text(""), EMPTY, True),
        ("x.jsonl", lambda path: path.mkdir(), "a folder, not a file", True),
        ("x/", lambda path: path.write_text("x"), "a file, not a folder", True),
        ("x/", lambda path: path.mkdir(), EMPTY, True),
    ],
)
def test_states_of_a_file(tmp_path, name, make, state, wrong):
    make(tmp_path / name.rstrip("/"))
    file = BenchFile("key", name, "there", "free", rows=2)
    found = examine_file(file, bench_config("amber", tmp_path))
    assert (found.state, found.wrong) == (state, wrong)
    if state == FOUND:
        assert found.rows == 2


def test_a_file_that_no_task_has_is_refused(tmp_path):
    bench = bench_config("amber", tmp_path, files={"ambre_images": "x"})
    with pytest.raises(UserError, match=r"bench.files.ambre_images.*amber_images"):
        list(examine(bench))
