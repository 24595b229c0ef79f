"""The notebooks, run from top to bottom on studies in the folders that they read."""

import ast
import json

import pytest
from pandas import DataFrame

from mmdpo.analysis import figures
from mmdpo.analysis.study import read_study
from tests.support.program import ROOT
from tests.support.studies import make_study

NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
GRID = [{"beta": b, "lr": lr, "logprob_avg": avg} for b in (0.1, 0.3) for lr in (5e-4, 5e-5) for avg in (False, True)]
STUDIES = {
    "nano": [{"beta": 0.1}, {"beta": 0.3}],
    "nano-data_scaling": [{"data_scale": scale, "seed": seed} for scale in (0.5, 1.0) for seed in (0, 1)],
    "nano-beta_lr_grid": GRID,
    "nano-methods": [{"method": "dpo"}, {"method": "sft", "beta": None, "logprob_avg": None}],
}
"""The points of the studies that the notebooks name."""

SCORES = (10, 20)
"""The order of the pictures that the notebooks show; the others are not drawn here."""

FRAMES = {"data_scaling": 5, "beta_lr_grid": 5, "methods": 6, "judge_audit": 5}
"""The number of tables that each notebook shows."""


def cells(path):
    return [cell for cell in json.loads(path.read_text(encoding="utf-8"))["cells"] if cell["cell_type"] == "code"]


def run(path):
    """Run the cells of a notebook and return what it shows, the pictures as PNG: the last expression of each cell."""
    names: dict[str, object] = {}
    shown = []
    for cell in cells(path):
        tree = ast.parse("".join(cell["source"]))
        last = tree.body.pop() if isinstance(tree.body[-1], ast.Expr) else None
        exec(compile(tree, path.name, "exec"), names)
        if isinstance(last, ast.Expr):
            value = eval(compile(ast.Expression(last.value), path.name, "eval"), names)
            shown.append(value._repr_png_() if isinstance(value, figures.Picture) else value)
    return shown


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_it_shows_pictures_and_tables(path, tmp_path, monkeypatch):
    text = path.read_text(encoding="utf-8")
    (study,) = (name for name in STUDIES if f'"../outputs/{name}\\"' in text)
    folder = make_study(tmp_path / "outputs" / study, STUDIES[study], n=16)
    (tmp_path / "notebooks").mkdir()
    monkeypatch.chdir(tmp_path / "notebooks")
    shown_kinds = [kind for kind in figures.kinds(read_study(folder)) if kind.order in SCORES]
    monkeypatch.setattr(figures, "kinds", lambda study: shown_kinds)
    shown = run(path)
    assert [value[:4] for value in shown if isinstance(value, bytes)] == [b"\x89PNG"]
    frames = [value for value in shown if isinstance(value, DataFrame)]
    assert len(frames) == FRAMES[path.stem]
    assert not [frame for frame in frames if frame.empty or frame.isna().all(axis=None)]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_no_outputs_are_stored(path):
    assert all(cell["outputs"] == [] and cell["execution_count"] is None for cell in cells(path))
