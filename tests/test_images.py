"""Decoding of images: the same upright RGB picture from every format, and a named error for damage."""

import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mmdpo.errors import UserError
from mmdpo.images import check_image, inside, open_image
from tests.sources.photographs import SKIMAGE, SKLEARN, photograph


def difference(left: Image.Image, right: Image.Image) -> float:
    """Mean absolute difference of two pictures, 0..255."""
    assert left.mode == right.mode == "RGB"
    assert left.size == right.size
    return float(np.abs(np.asarray(left, np.int16) - np.asarray(right, np.int16)).mean())


@pytest.mark.parametrize("name", ["coffee.png", "astronaut.png", "rocket.jpg", "retina.jpg", "horse.png"])
def test_photographs_of_scikit_image(name: str) -> None:
    assert open_image(SKIMAGE / name).mode == "RGB"


@pytest.mark.parametrize("name", ["china.jpg", "flower.jpg"])
def test_photographs_of_scikit_learn(name: str) -> None:
    assert open_image(SKLEARN / name).size == (640, 427)


@pytest.mark.parametrize(
    ("file", "tolerance"),
    [("a.png", 0), ("a.bmp", 0), ("a.tiff", 0), ("a.jpg", 6), ("a.webp", 6), ("a.gif", 20)],
)
def test_formats_hold_the_same_picture(tmp_path: Path, file: str, tolerance: float) -> None:
    picture = photograph("coffee.png").convert("RGB")
    picture.save(tmp_path / file)
    assert difference(open_image(tmp_path / file), picture) <= tolerance


def test_grey(tmp_path: Path) -> None:
    grey = photograph("camera.png").convert("L")
    grey.save(tmp_path / "grey.png")
    opened = np.asarray(open_image(tmp_path / "grey.png"))
    assert (opened == np.asarray(grey)[..., None]).all()


def test_transparent_parts_become_white(tmp_path: Path) -> None:
    picture = photograph("astronaut.png").convert("RGBA")
    picture.paste((0, 0, 0, 0), (0, 0, 20, 20))
    picture.save(tmp_path / "clear.png")
    opened = open_image(tmp_path / "clear.png")
    assert opened.getpixel((5, 5)) == (255, 255, 255)
    assert opened.getpixel((60, 60)) == picture.getpixel((60, 60))[:3]


def test_palette_and_its_transparent_colour(tmp_path: Path) -> None:
    picture = photograph("flower.jpg").convert("RGB")
    palette = picture.quantize(256)
    palette.save(tmp_path / "palette.png")
    assert difference(open_image(tmp_path / "palette.png"), picture) < 10
    palette.save(tmp_path / "clear.png", transparency=palette.getpixel((0, 0)))
    assert open_image(tmp_path / "clear.png").getpixel((0, 0)) == (255, 255, 255)


def test_cmyk_jpeg(tmp_path: Path) -> None:
    picture = photograph("china.jpg").convert("RGB")
    picture.convert("CMYK").save(tmp_path / "print.jpg", quality=95)
    with Image.open(tmp_path / "print.jpg") as raw:
        assert raw.mode == "CMYK"
    assert difference(open_image(tmp_path / "print.jpg"), picture) < 6


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation(tmp_path: Path, orientation: int) -> None:
    stored = {  # how a camera that was held so stores the upright picture
        2: Image.Transpose.FLIP_LEFT_RIGHT,
        3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_90,
        7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_270,
    }
    picture = photograph("rocket.jpg").convert("RGB")
    turned = picture.transpose(stored[orientation]) if orientation > 1 else picture
    exif = Image.Exif()
    exif[0x0112] = orientation
    turned.save(tmp_path / "phone.jpg", exif=exif, quality=95)
    assert difference(open_image(tmp_path / "phone.jpg"), picture) < 6


@pytest.mark.parametrize("suffix", ["png", "tiff"])
def test_16_bits_keep_their_shades(tmp_path: Path, suffix: str) -> None:
    grey = photograph("camera.png").convert("L")
    deep = Image.fromarray(np.asarray(grey).astype(np.uint16) * 257)
    deep.save(tmp_path / f"deep.{suffix}")
    assert difference(open_image(tmp_path / f"deep.{suffix}"), grey.convert("RGB")) == 0


@pytest.mark.parametrize("kind", [np.int32, np.float32])
def test_32_bits_are_stretched(tmp_path: Path, kind: type) -> None:
    values = np.asarray(photograph("camera.png").convert("L")).astype(kind) * 1000
    Image.fromarray(values).save(tmp_path / "deep.tiff")
    opened = np.asarray(open_image(tmp_path / "deep.tiff"))
    assert opened.min() == 0
    assert opened.max() == 255


def test_animation_gives_its_first_frame(tmp_path: Path) -> None:
    first, second = (photograph(name).convert("RGB").resize((64, 64)) for name in ("coffee.png", "china.jpg"))
    first.save(tmp_path / "film.webp", save_all=True, append_images=[second], lossless=True)
    assert difference(open_image(tmp_path / "film.webp"), first) == 0


def damaged(tmp_path: Path, content: bytes, name: str = "broken.png") -> str:
    path = tmp_path / name
    path.write_bytes(content)
    for read in (check_image, open_image):
        with pytest.raises(UserError) as error:
            read(path)
        assert str(path) in str(error.value)
    return str(error.value)


@pytest.mark.parametrize("name", ["coffee.png", "rocket.jpg"])
def test_truncated(tmp_path: Path, name: str) -> None:
    content = (SKIMAGE / name).read_bytes()
    assert "damaged" in damaged(tmp_path, content[: len(content) // 2], name)


def test_damaged_inside(tmp_path: Path) -> None:
    content = bytearray((SKIMAGE / "coffee.png").read_bytes())
    content[5000:6000] = bytes(1000)
    assert "damaged" in damaged(tmp_path, bytes(content))


@pytest.mark.parametrize("content", [b"", b"not a picture", b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n"])
def test_not_an_image(tmp_path: Path, content: bytes) -> None:
    assert "not an image; allowed: PNG, JPEG" in damaged(tmp_path, content)


def test_decompression_bomb(tmp_path: Path) -> None:
    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", 60_000, 60_000, 8, 2, 0, 0, 0))
    assert "too large" in damaged(tmp_path, b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", b""))


@pytest.mark.parametrize("name", ["a.png", "palette.png", "film.gif", "film.webp", "a.tiff", "a.bmp", "a.ppm", "a.jpg"])
def test_pixels_are_counted_before_they_are_decoded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    picture = photograph("coffee.png").convert("RGB").resize((40, 30))
    kind = picture.quantize(16) if name in ("palette.png", "film.gif") else picture
    film = {"save_all": True, "append_images": [kind.rotate(9)]} if name.startswith("film") else {}
    kind.save(tmp_path / name, **film)
    monkeypatch.setattr("mmdpo.images.MAX_PIXELS", 1200)
    assert open_image(tmp_path / name).size == (40, 30)
    monkeypatch.setattr("mmdpo.images.MAX_PIXELS", 1199)
    with monkeypatch.context() as patch:
        patch.setattr(Image.Image, "load", lambda self: pytest.fail("decoded"))
        assert "too large" in damaged(tmp_path, (tmp_path / name).read_bytes(), name)


def test_a_tile_larger_than_its_picture_is_refused(tmp_path: Path) -> None:
    tags = {256: 10, 257: 10, 258: 8, 259: 8, 262: 1, 277: 1, 322: 60_000, 323: 60_000, 324: 200, 325: 20}
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags.items())
    content = b"II*\0\x08\0\0\0" + struct.pack("<H", len(tags)) + entries + bytes(4)
    assert "too large" in damaged(tmp_path, content.ljust(300, b"\0"), "tile.tiff")


def test_a_jpeg_of_many_scans_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    photograph("coffee.png").convert("RGB").save(tmp_path / "slow.jpg", progressive=True)
    assert open_image(tmp_path / "slow.jpg")
    monkeypatch.setattr("mmdpo.images.MAX_SCANS", 2)
    with pytest.raises(UserError, match="scans"):
        open_image(tmp_path / "slow.jpg")


@pytest.mark.parametrize("kind", [np.uint16, np.int32, np.float32])
def test_bands_give_the_same_picture(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: type) -> None:
    values = np.random.default_rng(0).integers(0, 60_000, (3, 50)).astype(kind)
    Image.fromarray(values).save(tmp_path / "deep.tiff")
    whole = open_image(tmp_path / "deep.tiff")
    monkeypatch.setattr("mmdpo.images.BAND", 7)
    assert difference(open_image(tmp_path / "deep.tiff"), whole) == 0


def test_missing_file_and_folder(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no such file"):
        open_image(tmp_path / "absent.png")
    with pytest.raises(UserError, match="unreadable"):
        open_image(tmp_path)


def test_inside(tmp_path: Path) -> None:
    root = tmp_path / "root"
    (root / "deep").mkdir(parents=True)
    (root / "deep" / "a.png").touch()
    assert inside(root, "deep/a.png") == (root / "deep" / "a.png").resolve()
    assert inside(root, "deep/../deep/a.png") == (root / "deep" / "a.png").resolve()


@pytest.mark.parametrize("name", ["../out.png", "deep/../../out.png", "link.png", "folder/out.png", "ABSOLUTE"])
def test_nothing_leaves_the_root(tmp_path: Path, name: str) -> None:
    root = tmp_path / "root"
    (root / "deep").mkdir(parents=True)
    (tmp_path / "out.png").touch()
    (root / "link.png").symlink_to(tmp_path / "out.png")
    (root / "folder").symlink_to(tmp_path)
    name = str(tmp_path / "out.png") if name == "ABSOLUTE" else name
    with pytest.raises(UserError, match="is outside the image root"):
        inside(root, name)


@pytest.mark.parametrize("name", ["absent.png", ".", "", "a\0b.png", "x" * 5000, "loop"])
def test_names_of_nothing(tmp_path: Path, name: str) -> None:
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    with pytest.raises(UserError, match="image '"):
        inside(tmp_path, name)
