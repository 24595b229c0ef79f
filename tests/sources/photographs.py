"""Real photographs that scikit-image and scikit-learn ship, to be saved in the formats of users."""

from pathlib import Path

import skimage
import sklearn
from PIL import Image

SKIMAGE = Path(skimage.__file__).parent / "data"
SKLEARN = Path(sklearn.__file__).parent / "datasets" / "images"


def photograph(name: str, side: int = 128) -> Image.Image:
    """One of coffee.png, astronaut.png, camera.png, rocket.jpg, china.jpg, flower.jpg; made small."""
    folder = SKLEARN if name in ("china.jpg", "flower.jpg") else SKIMAGE
    with Image.open(folder / name) as image:
        image.load()
    image.thumbnail((side, side))
    return image
