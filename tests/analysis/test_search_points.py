"""Points are found again in all studies."""

import pytest

from mmdpo.__main__ import main
from tests.support.studies import make_point, make_study


@pytest.fixture(scope="module")
def outputs(tmp_path_factory):
    outputs = tmp_path_factory.mktemp("outputs")
    make_study(outputs / "grid", [{"beta": 0.1, "seed": 0}, {"beta": 0.1, "seed": 1}, {"beta": 0.3}], n=6)
    make_point(outputs / "methods", {"method": "ipo"}, n=6, config={"model": {"name": "other"}})
    make_point(outputs / "methods", {"method": "sft", "beta": None}, state="failed")
    return outputs


@pytest.fixture
def find(outputs, capsys, monkeypatch):
    """Return a function that runs the command, and gives its exit code and the lines that it prints."""

    def run(*terms: str, width: int = 200) -> tuple[int, list[str]]:
        monkeypatch.setenv("COLUMNS", str(width))
        code = main(["find", *terms, "--out", str(outputs)])
        return code, capsys.readouterr().out.splitlines()

    return run


def rows(lines: list[str]) -> list[list[str]]:
    """Return the study and the point of each row of the table."""
    return [line.split()[:2] for line in lines if "00abcd" in line or "-seed" in line]


def test_points_of_all_studies_are_found(find):
    code, lines = find("method=dpo,ipo", "beta<0.2")
    grid, methods = rows(lines)
    assert (code, grid) == (0, ["grid", "dpo-beta0.1-lr0.0005-sum-data1.0-seed0,1"])
    assert methods[0] == "methods"
    assert "3 points" in lines


def test_a_result_has_its_gain_and_single_seeds_are_told_apart(find):
    _, lines = find("beta=0.1", "study=grid")
    assert any("+ −: gain over the base" in line for line in lines)
    _, single = find("beta=0.1", "seed=1")
    assert len(rows(single)) == 1
    assert any("single seeds" in line for line in single)


def test_states_and_missing_values_are_found(find):
    code, lines = find("state=failed")
    assert (code, len(rows(lines))) == (0, 1)
    assert rows(find("beta=null", "role=trained")[1]) == rows(lines)


def test_benchmarks_without_room_are_named(find):
    _, lines = find("model=other", width=90)
    assert any(line.startswith("not shown: ") for line in lines)
    assert all(len(line) <= 90 for line in lines if "ipo" in line)


def test_nothing_found_says_what_is_there(find):
    code, lines = find("beta=0.1", "model=llava")
    assert code == 1
    assert any("model=llava: 0 points; there are nano, other" in line for line in lines)
    assert any("beta=0.1: 3 points" in line for line in lines)


def test_unknown_keys_are_refused(find):
    assert find("betta=0.1")[0] == 2
