"""The pictures of a study, one file per kind, which defines `FIGURE`.

A report has the pictures that suit its study. mmdpo/analysis/figures/figure.py describes a kind of picture, and
docs/extending.md has an example.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from mmdpo import evaluation
from mmdpo.analysis.figures import data
from mmdpo.analysis.figures.figure import StudyFigure
from mmdpo.analysis.study import Study
from mmdpo.files import file_fingerprint, fingerprint, read_bytes, read_json, write_json
from mmdpo.registry import Kind

FIGURES = Kind("mmdpo.analysis.figures", "FIGURE", "figure")
"""The kinds of pictures: the files of mmdpo/analysis/figures that define `FIGURE`."""

ANALYSIS = Path(__file__).parent.parent
DRAWN = ".drawn.json"
"""The file beside the pictures that names what they were drawn from."""


@dataclass(frozen=True)
class Picture:
    """A picture as a PNG file, with its caption; a PDF of the same name is beside it."""

    path: Path
    caption: str

    def _repr_png_(self) -> bytes:
        """Return the picture for a notebook."""
        return self.path.read_bytes()


def draw_figures(study: Study, folder: Path) -> list[Picture]:
    """Draw the study's pictures as PNG and PDF into `folder`; returns them, the main one first.

    A study without any score or logged step has no picture. Pictures are kept if neither the study nor the code
    that draws has changed since they were drawn.
    """
    key = _key(study)
    if (drawn := _drawn(folder, key)) is not None:
        return drawn
    from mmdpo.analysis.figures import style

    with style.applied():
        found = [
            Picture(style.save_figure(figure, folder / f"{name}.png"), kind.caption(name))
            for kind in kinds(study)
            for name, figure in kind.draw(study).items()
        ]
    if found:
        write_json(folder / DRAWN, {"key": key, "pictures": {one.path.name: one.caption for one in found}})
    return found


def kinds(study: Study) -> list[StudyFigure]:
    """Return the kinds of pictures that suit a study, the main one first."""
    found: list[StudyFigure] = [FIGURES.load(name) for name in FIGURES.names()]
    return [kind for kind in sorted(found, key=lambda kind: kind.order) if kind.suits(study)]


def _key(study: Study) -> str:
    """Fingerprint all that the pictures depend on: the study and the code of analysis, figures and tasks."""
    folders = [ANALYSIS, *map(Path, [*__path__, *evaluation.__path__])]
    code = {str(file): file_fingerprint(file) for folder in folders for file in sorted(folder.rglob("*.py"))}
    return fingerprint([repr(study), repr(data.training_curves(study)), code])


def _drawn(folder: Path, key: str) -> list[Picture] | None:
    """Return the pictures that were drawn with this key; None if one of them is missing or torn."""
    try:
        note = read_json(folder / DRAWN)
        if note["key"] != key:
            return None
        found = [Picture(folder / name, str(caption)) for name, caption in note["pictures"].items()]
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None
    return found if found and all(map(_is_whole, found)) else None


def _is_whole(picture: Picture) -> bool:
    """Return whether both files of a picture end as their formats do."""
    files = {picture.path: b"IEND", picture.path.with_suffix(".pdf"): b"%%EOF"}
    try:
        return all(end in read_bytes(path)[-16:] for path, end in files.items())
    except (OSError, ValueError):
        return False
