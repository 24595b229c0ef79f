"""The pictures of a study, one file per kind, which defines `FIGURE`.

A report has the pictures that suit its study. mmdpo/analysis/figures/figure.py describes a kind of picture, and
docs/extending.md has an example.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from mmdpo import evaluation
from mmdpo.analysis.comparable import ComparablePart, comparable_parts
from mmdpo.analysis.figures import data
from mmdpo.analysis.figures.drawing import Drawing, drawn_with
from mmdpo.analysis.figures.figure import StudyFigure
from mmdpo.analysis.study import Study
from mmdpo.files import Unreadable, atomic_write, file_fingerprint, fingerprint, read_bytes, read_json, write_json
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


def draw_figures(study: Study, folder: Path, drawing: Drawing | None = None) -> list[Picture]:
    """Draw the study's pictures as PNG and PDF into a folder, with their captions as text files.

    A study without any score or logged step has no picture. Pictures are kept if neither the study nor the code
    that draws has changed since they were drawn.

    Args:
        study: The study. Points whose scores cannot be compared stand in different pictures.
        folder: The folder.
        drawing: The settings of all pictures; None for the usual ones.

    Returns:
        The pictures, the main one first.
    """
    drawing = drawing or Drawing()
    key = _key(study, drawing)
    if (drawn := _drawn(folder, key)) is not None:
        return drawn
    from mmdpo.analysis.figures import style

    found = []
    with style.applied():
        for kind, part, number in _pictures(study):
            with drawn_with(replace(drawing, heading=part.heading)):
                figures = kind.draw(part.study)
            for name, figure in figures.items():
                path = folder / f"{name}{f'_{number}' if number > 1 else ''}.png"
                caption = kind.caption(name) + (f" Of {part.heading}." if part.heading else "")
                found.append(Picture(style.save_figure(figure, path), caption))
                _write_text(path.with_suffix(".txt"), f"{caption}\n{figure.get_label()}".rstrip() + "\n")
    _remove_others(folder, found)
    if found:
        write_json(folder / DRAWN, {"key": key, "pictures": {one.path.name: one.caption for one in found}})
    return found


def _pictures(study: Study) -> list[tuple[StudyFigure, ComparablePart, int]]:
    """Return the kinds of pictures, each with the part of the study that it shows and the number of the part."""
    parts = comparable_parts(study)
    found = [(kind, ComparablePart("", study), 1) for kind in kinds(study) if not kind.by_part]
    for number, part in enumerate(parts, 1):
        found += [(kind, part, number) for kind in kinds(part.study) if kind.by_part]
    return sorted(found, key=lambda picture: (picture[0].order, picture[2]))


def _write_text(path: Path, text: str) -> None:
    with atomic_write(path) as aside:
        aside.write_text(text, encoding="utf-8")


def _remove_others(folder: Path, found: list[Picture]) -> None:
    """Remove the pictures of an earlier call that were not drawn now."""
    try:
        names = [Path(name).name for name in read_json(folder / DRAWN)["pictures"]]
    except (OSError, ValueError, KeyError, TypeError, Unreadable):
        return
    for name in set(names) - {one.path.name for one in found}:
        for suffix in (".png", ".pdf", ".txt"):
            (folder / name).with_suffix(suffix).unlink(missing_ok=True)


def kinds(study: Study) -> list[StudyFigure]:
    """Return the kinds of pictures that suit a study, the main one first."""
    found: list[StudyFigure] = [FIGURES.load(name) for name in FIGURES.names()]
    return [kind for kind in sorted(found, key=lambda kind: kind.order) if kind.suits(study)]


def _key(study: Study, drawing: Drawing) -> str:
    """Fingerprint all that the pictures depend on: the study and the code of analysis, figures and tasks."""
    folders = [ANALYSIS, *map(Path, [*__path__, *evaluation.__path__])]
    code = {str(file): file_fingerprint(file) for folder in folders for file in sorted(folder.rglob("*.py"))}
    return fingerprint([repr(study), repr(drawing), repr(data.training_curves(study)), code])


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
