"""Overlap of training data and benchmarks, by hand."""

from PIL import Image

from mmdpo.evaluation.contamination import (
    WORDS,
    ImageIndex,
    difference_hash,
    is_long_enough,
    shared_images,
    shared_words,
)

THIRTEEN = "one two three four five six seven eight nine ten eleven twelve thirteen"


def test_thirteen_words_in_a_row_are_an_overlap_and_twelve_are_not():
    items = {
        "same": ["Please count: " + THIRTEEN.title().replace(" ", ", ") + "!"],
        "twelve": [THIRTEEN.removesuffix(" thirteen") + " more"],
        "reference": ["How?", f"So: {THIRTEEN}."],
        "short": ["one two three"],
    }
    found = shared_words(["nothing", f"zero {THIRTEEN} fourteen"], items)
    assert found == {"same": THIRTEEN, "reference": THIRTEEN}
    assert len(THIRTEEN.split()) == WORDS
    assert [is_long_enough(texts) for texts in items.values()] == [True, True, True, False]


def picture(path, size=(40, 32), shift=0, flat=False):
    image = Image.new("L", size)
    for x in range(size[0]):
        for y in range(size[1]):
            level = 128 if flat else ((x * 8 // size[0]) ^ (y * 8 // size[1])) * 32 % 256 + shift
            image.putpixel((x, y), min(255, level))
    image.convert("RGB").save(path)


def test_copies_of_an_image_are_found_by_bytes_or_nearly_and_flat_images_never(tmp_path):
    picture(tmp_path / "train.png")
    (tmp_path / "copy.png").write_bytes((tmp_path / "train.png").read_bytes())
    picture(tmp_path / "scaled.png", size=(80, 64), shift=3)
    Image.open(tmp_path / "train.png").rotate(90, expand=True).save(tmp_path / "other.png")
    for name in ("flat.png", "flat_too.png"):
        picture(tmp_path / name, flat=True, size=(40, 40) if "too" in name else (32, 32))
    training = ImageIndex.of(tmp_path, ["train.png", "flat.png", "absent.png"])
    benchmark = ImageIndex.of(tmp_path, ["copy.png", "scaled.png", "other.png", "flat_too.png"])
    assert training.unreadable == 1
    assert difference_hash(tmp_path / "flat.png") is None
    assert shared_images(training, benchmark) == ({"copy.png": "train.png"}, {"scaled.png": "train.png"})
