"""Contents of the kit of `make gpu-kit`: requirements by their markers and extras, and those of this installation."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from tests.gpu import kit

REQUIRES = {
    "mine": ["Some_Lib>=1", 'tests[fast]; extra == "test"', 'other; extra == "docs"'],
    "some-lib": ['old-only; python_version < "3.12"', 'windows-only; sys_platform == "win32"', "mine"],
    "tests": ['slow; extra == "slow"', 'fast.lib; extra == "fast"'],
}


def requires(name: str) -> Sequence[str]:
    return REQUIRES.get(name, ())


@pytest.mark.parametrize(
    ("extras", "python", "expected"),
    [
        ([], "3.12", ["some-lib"]),
        ([], "3.11", ["old-only", "some-lib"]),
        (["test"], "3.12", ["fast-lib", "some-lib", "tests"]),
    ],
)
def test_requirements_follow_markers_and_extras(extras: list[str], python: str, expected: list[str]) -> None:
    assert kit.requirements("mine", extras, python, requires) == expected


def test_the_lists_name_what_this_installation_needs() -> None:
    names = kit.requirements("mmdpo", ["test"], "3.12", kit.carried_requires)
    assert {*kit.BUILT, "torch", "transformers", "trl", "peft"} <= {*names}
    assert [one.partition("==")[0] for one in kit.pinned(names)] == names
    own = {Requirement(line).name for line in kit.installed_requires("mmdpo")}
    assert {*kit.SKIPPED} <= own - {*names}


def test_a_package_that_is_not_installed_is_named() -> None:
    with pytest.raises(SystemExit, match=r"absent-package.*make test"):
        kit.installed_requires("absent-package")


@pytest.mark.parametrize("limit", [1, 3])
def test_a_kit_that_is_too_large_names_its_largest_wheels(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], limit: int
) -> None:
    def gather(folder: Path, python: str, image: Sequence[str]) -> None:
        assert (python, image) == ("3.11", ["torch"])
        for name, mib in {"big-1.whl": 2, "small-1.whl": 0}.items():
            (folder / name).write_bytes(bytes(mib << 20))

    monkeypatch.setattr(kit, "gather", gather)
    monkeypatch.setattr(
        sys, "argv", ["kit", str(tmp_path), "--python", "3.11", "--image", "torch", "--limit", str(limit)]
    )
    if limit < 2:
        with pytest.raises(SystemExit, match=r"big 2\.0.*--image"):
            kit.main()
    else:
        kit.main()
    assert "2 wheels, 2.0 MiB" in capsys.readouterr().out
