import shutil

import pytest

from mmdpo.entry.compose import compose_config
from mmdpo.evaluation.bench_images import UserImages
from mmdpo.points.contents import contents
from tests.support.bench_amber import write_amber
from tests.support.bench_mmbench import write_mmbench


def found(root, task="amber"):
    return contents(compose_config([f"bench={task}", f"bench.root={root}", f"objective={task}"]))[
        f"bench.tasks:{task}"
    ].fingerprint


def test_the_images_that_questions_name_are_part_of_a_tasks_content(tmp_path):
    first = found(write_amber(tmp_path / "first"))
    second = write_amber(tmp_path / "second")
    assert found(second) == first
    images = second / "amber" / "images"
    (images / "AMBER_3.jpg").write_bytes(b"named by no question")
    assert found(second) == first
    (images / "AMBER_2.jpg").write_bytes(b"another image")
    assert found(second) != first


def test_missing_and_wrong_files_have_contents_too(tmp_path):
    root = write_amber(tmp_path)
    whole = found(root)
    shutil.rmtree(root / "amber" / "images")
    without_images = found(root)
    (root / "amber" / "annotations.json").write_text("[]")
    assert len({whole, without_images, found(root), found(tmp_path / "nothing")}) == 4


def test_questions_are_read_once_for_the_names_of_their_images(tmp_path, monkeypatch):
    root = write_amber(tmp_path)
    first = found(root)
    monkeypatch.setattr(UserImages, "names", lambda *_: pytest.fail("the questions were read again"))
    assert found(root) == first


def test_a_table_with_images_is_not_read_for_their_names(tmp_path, monkeypatch):
    root = write_mmbench(tmp_path)
    monkeypatch.setattr(UserImages, "names", lambda *_: pytest.fail("the table was read"))
    assert found(root, "mmbench")
