"""The results of a study: summary.csv, figures/ and report.html, and the table on the terminal."""

from __future__ import annotations

from pathlib import Path

from mmdpo.analysis import figures
from mmdpo.analysis.find import OUTPUTS
from mmdpo.analysis.html import write_html
from mmdpo.analysis.study import Study, read_study
from mmdpo.analysis.table import print_table, write_summary
from mmdpo.errors import UserError
from mmdpo.points.status import State

SUGGESTIONS = (
    ("data_scale", "python launch.py -m sweep=data_scaling"),
    ("beta", "python launch.py -m sweep=beta_lr_grid"),
    ("method", "python launch.py -m sweep=methods"),
    ("label_noise", "python launch.py -m sweep=label_noise"),
    ("seed", "python launch.py -m seed=0,1,2"),
)
"""The axes to vary next if no study has varied them, the paper's main result first."""


def write_report(study_folder: Path) -> Study:
    """Write summary.csv, figures/ and report.html; print the table and, last, the place of the report.

    A study that still runs, or has failed points, is shown as far as it got.
    """
    from mmdpo.console import make_console

    study = read_study(study_folder)
    write_summary(study, study_folder / "summary.csv")
    pictures = figures.draw_figures(study, study_folder / "figures")
    report = study_folder / "report.html"
    write_html(study, pictures, report)
    console = make_console()
    print_table(study, console)
    console.print(f"{report}  ·  next: {suggestion(study)}", soft_wrap=True, markup=False)
    return study


def suggestion(study: Study) -> str:
    """Return the next command: for points that failed or are missing, else for an axis that no study has varied."""
    name = study.name if Path(OUTPUTS, study.name).resolve() == study.folder.resolve() else study.folder
    if study.failed:
        return f"python -m mmdpo status {name}  (rerun the same command to retry)"
    unfinished = [row for row in study.rows if row.state != State.done]
    if unfinished:
        return f"python -m mmdpo status {name}  ({len(unfinished)} not finished)"
    varied = {axis for sibling in _siblings(study) for axis in sibling.varying}
    for axis, command in SUGGESTIONS:
        if axis not in varied:
            return command
    return "python -m mmdpo compare POINT_A POINT_B"


def _siblings(study: Study) -> list[Study]:
    """Return this study and those beside it, as far as they can be read."""
    found = [study]
    for folder in sorted(study.folder.resolve().parent.iterdir()):
        if folder.name.startswith(".") or folder == study.folder.resolve():
            continue
        try:
            found.append(read_study(folder))
        except (UserError, OSError):
            continue
    return found
