"""Locations of models and templates."""

from __future__ import annotations

from pathlib import Path

import pytest

from mmdpo.errors import UserError
from mmdpo.models import paths
from mmdpo.models.paths import resolve_path


def test_a_package_folder_is_found() -> None:
    assert resolve_path("pkg://mmdpo/training") == str(Path(paths.__file__).parents[1] / "training")


def test_a_local_folder_is_itself(tmp_path: Path) -> None:
    assert resolve_path(str(tmp_path)) == str(tmp_path.resolve())


def test_a_hub_id_stays() -> None:
    assert resolve_path("llava-hf/llava-1.5-7b-hf") == "llava-hf/llava-1.5-7b-hf"


@pytest.mark.parametrize(
    "path",
    [
        "/no/such",
        "./nowhere",
        "~/nowhere/at/all",
        "a/b/c",
        "plain",
        "pkg://mmdpo/no",
        "pkg://nope/x",
        "pkg://",
        "-x/--help",
        "--help/x",
        "owner/na--me",
        "owner/..",
        "owner/name.git",
        "owner/na me",
        "a\0b/c",
        "x" * 5000,
        "~nobody-of-this-name/x",
        "pkg://mmdpo/..",
        "pkg://mmdpo/nano/../../tests",
        "pkg://mmdpo//etc",
        "pkg://mmdpo/nano/a\0b",
    ],
)
def test_a_missing_folder_names_the_override(path: str) -> None:
    with pytest.raises(UserError, match=r"model\.path="):
        resolve_path(path)


def test_a_file_is_no_hub_id(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "weights").mkdir()
    (tmp_path / "weights" / "model.gguf").touch()
    with pytest.raises(UserError, match=r"model\.path=weights/model\.gguf: is a file; type model\.path=FOLDER"):
        resolve_path("weights/model.gguf")


def test_a_link_out_of_a_package_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "linked_package"
    (package / "inner").mkdir(parents=True)
    (package / "__init__.py").touch()
    (package / "out").symlink_to(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    assert resolve_path("pkg://linked_package/inner") == str(package / "inner")
    with pytest.raises(UserError, match=r"model\.path=pkg://linked_package/out: leads out"):
        resolve_path("pkg://linked_package/out")
