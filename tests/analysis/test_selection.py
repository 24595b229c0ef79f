"""Results by names, parts of names, patterns and studies."""

from __future__ import annotations

from pathlib import Path

import pytest

from mmdpo.analysis.selection import select
from mmdpo.errors import UserError
from mmdpo.files import read_json
from tests.support.studies import make_point, make_study, write


@pytest.fixture
def outputs(tmp_path: Path) -> Path:
    """Two studies: betas with two seeds, and another learning rate with one."""
    points = [{"beta": beta, "seed": seed} for beta in (0.1, 0.2) for seed in (0, 1)]
    make_study(tmp_path / "betas", points, n=2)
    make_study(tmp_path / "rates", [{"beta": 0.1, "lr": 1e-5}], n=2)
    return tmp_path


def names(outputs: Path, *words: str) -> list[str]:
    """Return the labels of the selected results with their number of points, the reference first."""
    found = select(words, outputs)
    return [f"{group.label} x{len(group.rows)}" for group in (found.reference, *found.others)]


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["betas/base", "betas/beta0.1"], ["base x1", "DPO x2"]),
        (["betas/beta0.1", "betas/beta0.2"], ["beta 0.1 x2", "beta 0.2 x2"]),
        (["betas/beta0.1*seed1*", "betas/beta0.1*seed0*"], ["DPO x1", "DPO x1"]),
        (["betas"], ["base x1", "before visual tuning x1", "beta 0.1 x2", "beta 0.2 x2"]),
        (["betas/base", "betas/dpo"], ["base x1", "beta 0.1 x2", "beta 0.2 x2"]),
        (["base", "*/dpo"], ["base x1", "beta 0.1, lr 5e-4 x2", "beta 0.1, lr 1e-5 x1", "beta 0.2, lr 5e-4 x2"]),
        (
            ["betas/beta0.2", "rates"],
            ["beta 0.2, lr 5e-4 x2", "base x1", "before visual tuning x1", "beta 0.1, lr 1e-5 x1"],
        ),
    ],
)
def test_words_name_results(outputs: Path, words: list[str], expected: list[str]) -> None:
    found = names(outputs, *words)
    assert found[0] == expected[0]
    assert sorted(found) == sorted(expected)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["betas/dpo", "betas/base"], r"'betas/dpo' names 2 results"),
        (["betas/base"], "names one result"),
        (["betas/base", "betas/base"], "names one result"),
        (["betas/base", "nothing"], "no point 'nothing'"),
        (["gone/base", "base"], "no study 'gone'"),
        (["betas/*empty*", "base"], r"no point '\*empty\*' in betas/"),
    ],
)
def test_words_that_name_no_comparison_are_refused(outputs: Path, words: list[str], message: str) -> None:
    with pytest.raises(UserError, match=message):
        select(words, outputs)


def test_points_without_scores(outputs: Path) -> None:
    make_point(outputs / "betas", {"beta": 0.1, "seed": 2}, state="failed", error="no memory")
    found = select(["betas/base", "betas/beta0.1"], outputs)
    assert len(found.others[0].rows) == 2
    assert [name.split("-")[5] for name in found.left_out] == ["seed2"]
    with pytest.raises(UserError, match=r"result\.json.*stage=judge"):
        select(["betas/base", "betas/beta0.1*seed2"], outputs)
    folder = next((outputs / "betas").glob("dpo-beta0.2*seed0*"))
    (folder / "result.json").write_text('{"judge"')
    with pytest.raises(UserError, match="cannot be read"):
        select(["betas/base", str(folder)], outputs)


def test_the_same_seed_twice_is_no_pair_of_seeds(outputs: Path) -> None:
    """Points of other data, whose content is no setting, are no seeds of one result."""
    folder = make_point(outputs / "other", {"beta": 0.1}, n=2)
    content = read_json(folder / "result.json")
    folder.rename(folder.parent / "dpo-beta0.1-other")
    write(folder.parent / "dpo-beta0.1-other" / "result.json", content)
    found = select(["betas/base", "dpo-beta0.1*lr0.0005*", "other/dpo"], outputs)
    assert [len(group.rows) for group in found.others] == [2, 1]
    found = select(["betas/base", "[bo]*/dpo-beta0.1*"], outputs)
    assert [len(group.rows) for group in found.others] == [1, 1, 1]
