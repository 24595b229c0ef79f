"""People against the judge: the correlations of differences.csv, and the paper's."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest
from scipy.stats import pearsonr

from mmdpo.analysis.paper.agreement import agreement_table, draw_agreement, published_agreement, read_agreement
from mmdpo.errors import UserError

NAMES = ("helpfulness", "correctness", "coherence", "complexity", "verbosity")
ROWS = [(1, 2, 1, 0, 3, 0), (2, -1, -2, 1, 0, 0), (1, 0, 1, 1, -1, 0), (2, 1, -1, 0, 2, 0), (2, -3, -3, -2, 0, 0)]


def write_table(folder: Path, rows: list[tuple[int, ...]] = ROWS) -> Path:
    with (folder / "differences.csv").open("w", newline="") as out:
        table = csv.writer(out)
        table.writerow(["id", "preference", *NAMES])
        table.writerows([f"p{number}", *row] for number, row in enumerate(rows))
    return folder


def test_correlations_agree_with_scipy_and_one_that_does_not_vary_has_none(tmp_path: Path) -> None:
    found = read_agreement(write_table(tmp_path))
    assert (found.variables, found.n, len(found.cells)) == (("preference", *NAMES), 5, 15)
    columns = list(zip(*ROWS, strict=True))
    expected = pearsonr(columns[0], columns[1])
    cell = found.cells["preference", "helpfulness"]
    assert cell is not None
    assert (cell.r, cell.p) == pytest.approx((expected.statistic, expected.pvalue))
    assert (cell.low, cell.high) == pytest.approx(tuple(expected.confidence_interval(0.95)))
    assert found.cells["preference", "verbosity"] is None
    first, *_, last = agreement_table(found).sections[0]
    assert [cell.text for cell in first.cells][::3] == [f"{expected.statistic:+.2f}", "-0.08"]
    assert [cell.text for cell in last.cells] == ["–", "–", "–", "+0.69"]


def test_the_papers_matrix() -> None:
    printed = published_agreement()
    assert len(printed) == 15
    assert printed["helpfulness", "correctness"] == 0.93
    assert printed["coherence", "verbosity"] == 0.39
    assert printed["preference", "complexity"] == -0.12


def test_the_figure_shows_both_matrices_with_n(tmp_path: Path) -> None:
    figure = draw_agreement(read_agreement(write_table(tmp_path)))
    here, paper, _ = figure.axes
    assert (here.get_title(loc="left"), paper.get_title(loc="left")) == ("here, n = 5", "paper, n = 500")
    assert len(paper.texts) == 36
    assert "negative correlation" in figure.get_label()


@pytest.mark.parametrize("text", ["id,preference,a\nx,1", "id,a\nx,2\n", "id,preference,a\nx,1,many\n"])
def test_a_damaged_table_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "differences.csv").write_text(text)
    with pytest.raises(UserError, match=r"differences\.csv: damaged"):
        read_agreement(tmp_path)


def test_no_pair_and_no_table(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="data=pairs"):
        read_agreement(tmp_path)
    assert read_agreement(write_table(tmp_path, [])).n == 0
