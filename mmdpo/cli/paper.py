"""The command that makes the paper's tables and figures from studies: paper."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from mmdpo.analysis.find import OUTPUTS, find_study
from mmdpo.cli.arguments import Commands
from mmdpo.console import print_line
from mmdpo.errors import UserError

if TYPE_CHECKING:
    from mmdpo.analysis.study import Study

PAPER = """\
Make the tables and figures of the paper from the results of one or several studies: the
methods by the benchmarks with gains over the base (Table 2), the noisy image with the
difference to the clean run (Table 3), data scaling (Figure 2), people against the judge
(Figure 3), and correlations of benchmarks and of length and score. Where a row is one of
the paper's, the paper's number stands beside it, with the known reasons of the difference.
Tables are written as LaTeX (booktabs), Markdown and CSV, figures as PDF and PNG, captions
as text. README.md in the folder lists what was made, and why something was not.

STUDY is a study, or the folder that stage=annotate prints, for Figure 3."""
PAPER_EPILOG = """\
examples:
  python -m mmdpo paper nano-data_scaling
  python -m mmdpo paper llava-methods llava-imported --out paper --plain
  python -m mmdpo paper llava-methods ANNOTATIONS
"""


def paper(options: argparse.Namespace) -> int:
    """Write tables and figures. Returns 0, or 1 if there was nothing to make."""
    from mmdpo.analysis.figures import draw_figures
    from mmdpo.analysis.figures.drawing import Drawing
    from mmdpo.analysis.paper.agreement import is_annotations, read_agreement
    from mmdpo.analysis.paper.write import write_paper
    from mmdpo.analysis.study import read_study

    names = options.studies or [None]
    annotations = [Path(name) for name in names if name and is_annotations(Path(name))]
    folders = [find_study(name) for name in names if not name or Path(name) not in annotations]
    out = Path(options.out) if options.out else _default_folder(folders)
    _make_folder(out)
    agreements = [read_agreement(folder) for folder in annotations]
    study = _joined([read_study(folder) for folder in folders], out)
    drawing = Drawing(plain=options.plain, smooth=options.smooth)
    written = write_paper(study, agreements, out, drawing)
    pictures = draw_figures(study, out / "figures", drawing) if study else []
    for files, title in written.made:
        print_line(f"{files[0].partition('.')[0]}: {title}")
    if pictures:
        print_line(f"figures/: {', '.join(one.path.stem for one in pictures)}")
    for name, reason in written.missing:
        print_line(f"not made: {name}: {reason}")
    print_line(f"{out}")
    return 0 if written.made else 1


def _joined(studies: list[Study], out: Path) -> Study | None:
    from mmdpo.analysis.paper.joined import joined_study

    return joined_study(studies, out) if studies else None


def _default_folder(folders: list[Path]) -> Path:
    """Return `paper` in the folder of a single study, else beside the studies."""
    return folders[0] / "paper" if len(folders) == 1 else OUTPUTS / "paper"


def _make_folder(out: Path) -> None:
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"{out}: the folder cannot be made ({error.strerror}); type --out DIR") from None


def _count(text: str) -> int:
    """Read the number of `--smooth`."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r}: type a number of logged steps from 1, such as 10")
    return int(text)


def add_commands(commands: Commands[argparse.ArgumentParser]) -> None:
    """Add the command paper."""
    command = commands.add_parser(
        "paper",
        help="make the paper's tables and figures from studies, as LaTeX, Markdown, CSV, PDF and PNG",
        description=PAPER,
        epilog=PAPER_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    command.add_argument("studies", nargs="*", metavar="STUDY", help="folders or names; default: the newest study")
    text = "the folder to write to; default: paper/ in the study, or outputs/paper for several"
    command.add_argument("--out", metavar="DIR", help=text)
    text = "figures without titles and notes, tables without captions and notes: these stand in text files alone"
    command.add_argument("--plain", action="store_true", help=text)
    text = "draw the mean over N logged steps in learning curves; default: each step as it was logged"
    command.add_argument("--smooth", metavar="N", type=_count, default=1, help=text)
    command.set_defaults(run=paper)
