"""Images of items beside the page."""

from pathlib import Path

from PIL import Image

from mmdpo.analysis.page.pictures import SIDE, ItemImages


def image(path: Path, side: int) -> Path:
    Image.new("RGB", (side, side // 2), "red").save(path)
    return path


def test_small_images_are_copied_and_large_ones_scaled_down(tmp_path: Path):
    pictures = ItemImages(tmp_path / "images")
    small, large = image(tmp_path / "small.png", 64), image(tmp_path / "large.png", 2 * SIDE)
    assert pictures.add(small, "aa") == "aa.png"
    assert (tmp_path / "images" / "aa.png").read_bytes() == small.read_bytes()
    assert pictures.add(large, "bb") == "bb.jpg"
    with Image.open(tmp_path / "images" / "bb.jpg") as found:
        assert found.size == (SIDE, SIDE // 2)


def test_an_image_that_is_there_needs_no_source(tmp_path: Path):
    ItemImages(tmp_path / "images").add(image(tmp_path / "a.png", 8), "aa")
    assert ItemImages(tmp_path / "images").add(tmp_path / "gone.png", "aa") == "aa.png"


def test_images_beyond_the_limit_and_unreadable_ones_are_left_out(tmp_path: Path):
    first, second = image(tmp_path / "a.png", 8), image(tmp_path / "b.png", 8)
    pictures = ItemImages(tmp_path / "images", limit=first.stat().st_size)
    assert pictures.add(first, "aa") == "aa.png"
    assert pictures.add(first, "aa") == "aa.png"  # counted once
    assert pictures.add(second, "bb") is None
    (tmp_path / "c.png").write_text("no image")
    assert pictures.add(tmp_path / "c.png", "cc") is None
    pictures.remove_unused()
    assert [path.name for path in (tmp_path / "images").iterdir()] == ["aa.png"]
