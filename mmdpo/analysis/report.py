"""The results of a study: summary.csv, figures/ and report.html, and the table on the terminal."""

from __future__ import annotations

import shlex
from pathlib import Path

from mmdpo.analysis import figures
from mmdpo.analysis.audit.write import refresh_study_audit
from mmdpo.analysis.find import OUTPUTS
from mmdpo.analysis.gains import study_gains
from mmdpo.analysis.html import write_html
from mmdpo.analysis.html_commands import commands
from mmdpo.analysis.html_examples import best_point
from mmdpo.analysis.paper.write import write_paper
from mmdpo.analysis.study import Study, read_study
from mmdpo.analysis.summary import write_results, write_summary
from mmdpo.analysis.table import print_table
from mmdpo.config.presets import default_presets
from mmdpo.console import make_console, printable
from mmdpo.errors import UserError
from mmdpo.points.commands import last_launch
from mmdpo.points.hints import hint
from mmdpo.points.identity import Role
from mmdpo.points.status import State

SUGGESTIONS = (
    ("data_scale", "sweep=data_scaling"),
    ("beta", "sweep=beta_lr_grid"),
    ("method", "sweep=methods"),
    ("label_noise", "sweep=label_noise"),
    ("seed", "seed=0,1,2"),
)
"""The axes to vary next if no study has varied them, the paper's main result first."""

REPLACED = {
    "beta": ("lr", "logprob_avg", "data_limit"),
    "method": ("beta", "lr", "logprob_avg", "label_noise"),
}
"""The keys that a suggestion sets, or that not all of its points have, apart from its axis and `sweep`."""


def write_report(study_folder: Path, by_seed: bool = False) -> Study:
    """Write the tables, figures and pages of a study; print the table and, last, the place of report.html.

    A study that still runs, or has failed points, is shown as far as it got.

    Args:
        study_folder: The folder of the study.
        by_seed: Whether the table has a row for each seed.
    """
    study = read_study(study_folder)
    gains = study_gains(study)
    write_summary(study, gains, study_folder / "summary.csv")
    write_results(study, gains, study_folder / "results.csv")
    pictures = figures.draw_figures(study, study_folder / "figures")
    if study.benchmarks:
        write_paper(study, [], study_folder / "paper", figures=study_folder / "figures")
    audit = refresh_study_audit(study)
    report = study_folder / "report.html"
    write_html(study, pictures, report)
    console = make_console()
    print_table(study, console, by_seed)
    if audit:
        console.print(printable(audit), soft_wrap=True, markup=False)
    console.print(printable(f"{report}  ·  next: {suggestion(study)}"), soft_wrap=True, markup=False)
    return study


def suggestion(study: Study) -> str:
    """Return the next command: for points that failed or are missing, else for an axis that no study has varied.

    It has the data, model and other settings that the user typed for this study.
    """
    name = study.name if Path(OUTPUTS, study.name).resolve() == study.folder.resolve() else study.folder
    typed = last_launch(study.folder)
    status = shlex.join(["python", "-m", "mmdpo", "status", str(name)])
    if study.failed:
        reasons = status.replace(" status ", " logs ", 1)
        retry = f"{shlex.join(typed)}  (to retry; {reasons} shows why)"
        return retry if typed else f"{status}  (rerun the same command to retry)"
    unfinished = [row for row in study.rows if row.state not in (State.done, State.pruned)]
    if unfinished:
        return f"{status}  ({len(unfinished)} not finished)"
    varied = {axis for sibling in _siblings(study) for axis in sibling.varying}
    for axis, change in SUGGESTIONS:
        if axis not in varied and _can_vary(study, axis):
            replaced = (axis, "sweep", "stage", "plan", *REPLACED.get(axis, ()))
            return hint(typed or _chosen(study), change, without=replaced, sweep=True)
    best, bases = best_point(study), study.of_role(Role.base)
    points = [f"{name}/{row.point}" for row in (*bases[:1], best) if row] if best and bases else ["POINT_A", "POINT_B"]
    return shlex.join(["python", "-m", "mmdpo", "compare", *points])


def _can_vary(study: Study, axis: str) -> bool:
    """Return whether the methods of the study have an axis; a file of pairs suits some methods only."""
    if axis == "method":
        return not any(row.group("data").get("path") for row in study.trained)
    known = [axes for row in study.trained if isinstance(axes := row.group("method").get("axes"), list)]
    return all(axis in axes for axes in known)


def _chosen(study: Study) -> list[str]:
    """Return a command with the presets and the data of a study whose commands are not known, without the defaults."""
    words = shlex.split(next(iter(commands(study)), "python launch.py"))
    defaults = [f"{group}={name}" for group, name in default_presets().items()]
    own = (*(f"{group}=" for group in default_presets()), "data.")
    return ["python", "launch.py", *(word for word in words if word.startswith(own) and word not in defaults)]


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
