"""`python -m mmdpo paper`: the files of a folder, what is not made, and what is made again."""

from __future__ import annotations

from pathlib import Path

import pytest

from mmdpo.__main__ import main
from mmdpo.analysis import figures
from mmdpo.analysis.paper import write
from mmdpo.analysis.paper.scaling import draw_scaling, paper_curve, scaling_panel
from mmdpo.analysis.study import read_study
from tests.analysis.paper.points import score_point
from tests.analysis.paper.test_agreement import write_table
from tests.support.latex import check_latex
from tests.support.studies import make_point, make_study

SHARES = [{"data_scale": share} for share in (0.5, 1.0)]


@pytest.fixture
def quick_figures(monkeypatch: pytest.MonkeyPatch) -> None:
    """Draw figures, and write a word in their place."""
    from mmdpo.analysis.figures import style

    def save(figure: object, path: Path) -> Path:
        for suffix in (".png", ".pdf"):
            path.with_suffix(suffix).write_text(str(figure.get_suptitle()) or "plain")  # type: ignore[attr-defined]
        return path

    monkeypatch.setattr(style, "save_figure", save)
    monkeypatch.setattr(figures, "kinds", lambda study: [])


@pytest.mark.usefixtures("quick_figures")
def test_the_command_writes_tables_figures_and_an_index(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    study = make_study(tmp_path / "s", SHARES, n=6)
    (tmp_path / "ratings").mkdir()
    write_table(tmp_path / "ratings")
    out = tmp_path / "out"
    command = ["paper", str(study), str(tmp_path / "ratings"), "--out", str(out)]
    assert main(command) == 0
    names = {path.name for path in out.iterdir() if path.name[0] != "."}
    tables = ("table_2", "table_3", "agreement", "correlations", "length")
    assert names == {
        "README.md",
        *(f"{table}.{suffix}" for table in tables for suffix in ("tex", "md", "csv", "txt")),
        *(f"{figure}.{suffix}" for figure in ("figure_2", "figure_3") for suffix in ("pdf", "png", "txt")),
    }
    for path in out.glob("*.tex"):
        check_latex(path.read_text())
    index = (out / "README.md").read_text()
    assert "not made" not in index
    assert str(tmp_path) not in "".join(path.read_text() for path in out.iterdir())
    before = {path.name: path.read_bytes() for path in out.iterdir()}
    assert main(command) == 0
    assert {path.name: path.read_bytes() for path in out.iterdir()} == before
    assert main(["paper", str(study), "--out", str(out), "--plain"]) == 0
    assert "not made: Figure 3" in capsys.readouterr().out
    assert not (out / "figure_3.pdf").exists()
    assert not (out / "agreement.csv").exists()
    assert (out / "figure_2.png").read_text() == "plain"
    assert "caption" not in (out / "table_2.tex").read_text()
    assert "Holm" in (out / "table_2.txt").read_text()


@pytest.mark.usefixtures("quick_figures")
def test_what_does_not_suit_is_said_with_what_to_type(tmp_path: Path) -> None:
    make_point(tmp_path / "s", {}, state="planned")
    paper = write.write_paper(read_study(tmp_path / "s"), [], tmp_path / "out")
    assert not paper.made
    missing = dict(paper.missing)
    assert missing.keys() == {"Table 2", "Table 3", "Figure 2", "Figure 3", "correlations", "length"}
    assert "data_scale=" in missing["Figure 2"]
    assert "stage=annotate" in missing["Figure 3"]
    assert "bench.tasks=" in missing["Table 3"]


def test_wrong_arguments_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    study = make_study(tmp_path / "s", [{}], n=2)
    (tmp_path / "file").write_text("")
    assert main(["paper", str(study), "--out", str(tmp_path / "file")]) == 2
    assert "--out" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        main(["paper", str(study), "--smooth", "0"])


def test_the_papers_curve_stands_beside_mt_bench_alone(tmp_path: Path) -> None:
    assert paper_curve("text") is None
    score_point(tmp_path, {"mt_bench": 6.0}, {"data_scale": 0.0}, role="base")
    for axes in SHARES:
        score_point(tmp_path, {"mt_bench": 6.1}, axes)
    study = read_study(tmp_path)
    panel = scaling_panel(study)
    assert panel is not None
    figure = draw_scaling(study, panel)
    curves = {line.get_label(): line for line in figure.axes[0].lines}
    curve = curves["paper, 13B (read off)"]
    assert [*map(float, curve.get_xdata())] == [0, 25, 50, 75, 100]
    assert [*map(float, curve.get_ydata())] == [5.99, 6.39, 6.46, 6.61, 6.73]
    assert "6.50 (Vicuna) and 6.10 (LLaVA)" in figure.get_label()


@pytest.mark.usefixtures("quick_figures")
def test_a_report_takes_over_the_figure_that_it_has_drawn(tmp_path: Path) -> None:
    study = read_study(make_study(tmp_path / "s", SHARES, n=4))
    for suffix in ("png", "pdf", "txt"):
        (tmp_path / f"data_scaling.{suffix}").write_text("drawn before")
    write.write_paper(study, [], tmp_path / "out", figures=tmp_path)
    assert {(tmp_path / f"out/figure_2.{suffix}").read_text() for suffix in ("png", "pdf", "txt")} == {"drawn before"}
