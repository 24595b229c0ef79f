"""The pictures of a study: which ones are drawn follows from what varies."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from mmdpo.analysis.figures import data
from mmdpo.analysis.points import Study
from mmdpo.files import file_fingerprint, fingerprint, read_json, write_json

if TYPE_CHECKING:
    from matplotlib.figure import Figure

ANALYSIS = Path(__file__).parent.parent
DRAWN = ".drawn.json"  # beside the pictures: what they were drawn from
CAPTIONS = {
    "data_scaling": "Text score against the share of the preference pairs; 0 % is the base.",
    "scores": "Scores of every point.",
    "training": "Training curves.",
}


def draw(study: Study, folder: Path) -> list[Path]:
    """Draw the study's pictures as PNG and PDF into `folder`; returns the PNGs, the main one first.

    A study without any score or logged step yields no picture. Where neither it nor the code that draws has
    changed since, the pictures stay: drawing takes longer than all else that a repeated line does.
    """
    key = _key(study)
    if (drawn := _drawn(folder, key)) is not None:
        return drawn
    from mmdpo.analysis.figures import style

    with style.applied():
        found = [style.save(figure, folder / f"{name}.png") for name, figure in figures(study).items()]
    if found:
        write_json(folder / DRAWN, {"key": key, "pictures": [path.name for path in found]})
    return found


def _key(study: Study) -> str:
    """Of all that the pictures depend on."""
    code = {str(file): file_fingerprint(file) for file in sorted(ANALYSIS.rglob("*.py"))}
    return fingerprint([repr(study), repr(data.training(study)), code])


def _drawn(folder: Path, key: str) -> list[Path] | None:
    """The pictures that were drawn with this key, where all of them are there still."""
    try:
        note = read_json(folder / DRAWN)
        found = [folder / name for name in note["pictures"]] if note["key"] == key else None
    except (OSError, ValueError, KeyError, TypeError):
        return None
    complete = found and all(path.exists() and path.with_suffix(".pdf").exists() for path in found)
    return found if complete else None


def figures(study: Study) -> dict[str, Figure]:
    """The pictures by file name."""
    from mmdpo.analysis.figures import dots, heatmap, lines, training

    drawn: dict[str, Figure] = {}
    pattern = data.pattern(study)
    if pattern.kind == "scaling" and "text" in study.benchmarks:
        drawn["data_scaling"] = lines.scaling(study, data.curves(study, pattern, ["text"])[0])
    if pattern.kind in ("scaling", "curve"):
        drawn["scores"] = lines.small_multiples(study, pattern, data.curves(study, pattern))
    elif pattern.kind == "grid":
        drawn["scores"] = heatmap.grid(study, pattern, data.grid(study, pattern))
    elif pattern.kind == "rows":
        drawn["scores"] = dots.scores(study, pattern, data.rows(study, pattern))
    for benchmark in study.benchmarks:
        rated = any(f"{benchmark}/words" in row.scores for row in study.rows)
        if rated and (parts := data.parts(study, benchmark)):
            drawn[f"parts_{benchmark}"] = dots.parts(study, benchmark, parts, data.rows(study, pattern))
    if curves := data.training(study):
        drawn["training"] = training.curves(study, curves)
    return drawn


def caption(stem: str) -> str:
    """What a picture shows, for its alternative text."""
    if stem.startswith("parts_"):
        return f"What the {stem.removeprefix('parts_')} score is made of, and the answers' length."
    return CAPTIONS.get(stem, stem)
