"""What the end of a sweep, and `python -m mmdpo report`, leave of a study."""

from __future__ import annotations

from pathlib import Path

from mmdpo.analysis import figures
from mmdpo.analysis.points import Study, read_study
from mmdpo.analysis.report import write_report
from mmdpo.analysis.table import print_table, write_summary
from mmdpo.errors import UserError

OUTPUTS = "outputs"  # where `python -m mmdpo` finds studies by their names

# What to try where nothing has varied it yet, the paper's main result first.
SUGGESTIONS = (
    ("data_scale", "python launch.py -m sweep=data_scaling"),
    ("beta", "python launch.py -m sweep=beta_lr_grid"),
    ("method", "python launch.py -m sweep=methods"),
    ("label_noise", "python launch.py -m sweep=label_noise"),
    ("seed", "python launch.py -m seed=0,1,2"),
)


def finish(study_folder: Path) -> Study:
    """Write summary.csv, figures/ and report.html; print the table and, last, where they lie.

    Works on a study that still runs or has failed points: it shows what is there.
    """
    from rich.console import Console

    study = read_study(study_folder)
    write_summary(study, study_folder / "summary.csv")
    pictures = figures.draw(study, study_folder / "figures")
    report = study_folder / "report.html"
    write_report(study, pictures, report)
    console = Console(highlight=False)
    print_table(study, console)
    console.print(f"{report}  ·  next: {suggestion(study)}", soft_wrap=True, markup=False)
    return study


def suggestion(study: Study) -> str:
    """What to try next: mend what failed, then vary what no study beside this one has varied."""
    word = study.name if Path(OUTPUTS, study.name).resolve() == study.folder.resolve() else study.folder
    if study.failed:
        return f"python -m mmdpo status {word}  (the same command again retries what failed)"
    unfinished = [row for row in study.rows if row.state != "done"]
    if unfinished:
        return f"python -m mmdpo status {word}  ({len(unfinished)} not finished)"
    varied = {axis for sibling in _siblings(study) for axis in sibling.varying}
    for axis, command in SUGGESTIONS:
        if axis not in varied:
            return command
    return "python -m mmdpo compare POINT_A POINT_B"


def _siblings(study: Study) -> list[Study]:
    """This study and those beside it, as far as they can be read."""
    found = [study]
    for folder in sorted(study.folder.resolve().parent.iterdir()):
        if folder.name.startswith(".") or folder == study.folder.resolve():
            continue
        try:
            found.append(read_study(folder))
        except (UserError, OSError):
            continue
    return found
