"""Images of examples: found once per file, and found again when the file changes."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from mmdpo.errors import UserError
from mmdpo.files import file_fingerprint, fingerprint
from mmdpo.records import PreferencePair
from mmdpo.training import example_images
from mmdpo.training.example_images import image_files
from mmdpo.training.rows import example_contents, examples_fingerprint


def settled(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    os.utime(path, (0, 0))


@pytest.fixture
def images(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with an image whose last change counts as settled."""
    settled(tmp_path / "a.png", b"first")
    monkeypatch.setattr("mmdpo.models.fingerprints.SETTLED_SECONDS", -1.0)
    return tmp_path


PAIRS = [PreferencePair(str(number), "what", "yes", "no", ("a.png",)) for number in range(3)]


def test_an_unchanged_file_is_looked_up_once(images: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = image_files(PAIRS, images)
    monkeypatch.setattr(example_images, "inside", lambda root, name: pytest.fail("looked up again"))
    assert image_files(PAIRS, images) == found
    assert found["a.png"].digest == file_fingerprint(images / "a.png", 64)


def test_a_changed_image_changes_the_fingerprint(images: Path) -> None:
    first = examples_fingerprint(PAIRS, images)
    settled(images / "a.png", b"other")  # of the same size and time of modification
    assert examples_fingerprint(PAIRS, images) != first
    settled(images / "a.png", b"first")
    assert examples_fingerprint(PAIRS, images) == first


def test_the_fingerprint_is_that_of_the_contents(images: Path) -> None:
    for pairs in (PAIRS, PAIRS[:2], PAIRS):
        assert examples_fingerprint(pairs, images) == fingerprint(example_contents(pairs, images), 64)


def test_a_link_out_of_the_root_is_refused_after_the_file_was_known(images: Path, tmp_path: Path) -> None:
    root = images / "root"
    root.mkdir()
    settled(root / "b.png", b"inside")
    pairs = [PreferencePair("p", "what", "yes", "no", ("b.png",))]
    image_files(pairs, root)
    (root / "b.png").unlink()
    (root / "b.png").symlink_to(images / "a.png")
    with pytest.raises(UserError, match=r"'p'.*data.image_root="):
        image_files(pairs, root)
