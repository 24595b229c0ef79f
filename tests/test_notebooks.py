"""The notebooks, run from top to bottom on a study in the folder that they read."""

import json

import pytest

from tests.support.program import ROOT
from tests.support.studies import make_study

NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_it_runs(path, tmp_path, monkeypatch):
    make_study(tmp_path / "outputs" / "nano", [{"beta": 0.1}, {"beta": 0.3}])
    (tmp_path / "notebooks").mkdir()
    monkeypatch.chdir(tmp_path / "notebooks")
    cells = json.loads(path.read_text())["cells"]
    code = ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]
    assert code
    names: dict[str, object] = {}
    for source in code:
        exec(compile(source, path.name, "exec"), names)
    assert names["pictures"]
