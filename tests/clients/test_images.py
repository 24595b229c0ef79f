"""Images for a service: the file itself if the service accepts it, or else a copy with a note."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mmdpo.clients import images as module
from mmdpo.clients.images import encode_image
from mmdpo.errors import UserError


def saved(path: Path, size: tuple[int, int], form: str, mode: str = "RGB") -> Path:
    pixels = np.random.default_rng(0).integers(0, 255, (size[1], size[0], 3), dtype=np.uint8)
    Image.fromarray(pixels).convert(mode).save(path, form)
    return path


@pytest.mark.parametrize(("form", "mime"), [("PNG", "image/png"), ("JPEG", "image/jpeg"), ("WEBP", "image/webp")])
def test_a_file_that_will_do_is_sent_as_it_is(tmp_path: Path, form: str, mime: str) -> None:
    path = saved(tmp_path / "without_suffix", (40, 30), form)
    sent = encode_image(path, side=40)
    assert (sent.content, sent.mime, sent.note) == (path.read_bytes(), mime, None)


@pytest.mark.parametrize("form", ["GIF", "BMP", "TIFF"])
def test_other_formats_become_png(tmp_path: Path, form: str) -> None:
    sent = encode_image(saved(tmp_path / "a", (40, 30), form), side=40)
    assert sent.mime == "image/png"
    assert sent.note
    assert "40x30 image/png" in sent.note
    assert Image.open(io.BytesIO(sent.content)).size == (40, 30)


def test_an_image_with_too_many_pixels_is_made_smaller_and_that_is_noted(tmp_path: Path) -> None:
    path = saved(tmp_path / "a.png", (400, 100), "PNG")
    sent = encode_image(path, side=200)
    assert Image.open(io.BytesIO(sent.content)).size == (200, 50)
    assert sent.note == f"image sent as 200x50 image/png instead of 400x100, {path.stat().st_size} bytes"


def test_an_image_with_too_many_bytes_becomes_jpeg(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LARGEST", 60_000)
    path = saved(tmp_path / "a.png", (200, 200), "PNG")
    assert path.stat().st_size > 60_000
    sent = encode_image(path, side=200)
    assert sent.mime == "image/jpeg"
    assert len(sent.content) < 60_000
    assert sent.note
    assert "200x200 image/jpeg" in sent.note


def test_a_broken_image_is_named(tmp_path: Path) -> None:
    (tmp_path / "torn.png").write_bytes(b"\x89PNG and no more")
    with pytest.raises(UserError, match=r"torn\.png"):
        encode_image(tmp_path / "torn.png", side=100)


def test_a_photograph_on_its_side_is_sent_upright(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # turn by 90 degrees
    Image.new("RGB", (40, 20)).save(tmp_path / "a.jpg", exif=exif)
    sent = encode_image(tmp_path / "a.jpg", side=100)
    assert Image.open(io.BytesIO(sent.content)).size == (20, 40)
    assert sent.note
    assert sent.note.startswith("image sent as 20x40 image/png")
