"""Checks of README and docs/: links, commands, keys and paths are those of the project, and the site builds."""

from __future__ import annotations

import re
import shlex
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from hydra.core.override_parser.overrides_parser import OverridesParser
from markdown.extensions.toc import slugify

from mmdpo.analysis.search_terms import read_term
from mmdpo.cli.parser import make_parser
from mmdpo.config.free_text import quoted_names
from mmdpo.config.group_aliases import spelled_out
from mmdpo.config.keys import key_problem
from mmdpo.config.schema import AXES, GROUPS, SWEEPS, options
from mmdpo.entry.blocks import split_into_blocks
from mmdpo.entry.compose import compose_data, composed
from mmdpo.entry.compose_points import compose_points
from mmdpo.entry.overrides import check_overrides
from tests.support.adapters import write_adapter
from tests.support.docs import BLOCK, PAGES, add_module, commands, examples, write_presets
from tests.support.program import ROOT
from tests.support.raw_data import write_raw_data

NEW_SETTING = "train.patience"
"""The key that docs/extending.md adds to the schema; tests/test_extending.py uses it."""

README = (ROOT / "README.md").read_text(encoding="utf-8")
COMMANDS = {page: [*commands(page)] for page in PAGES}
EVERY = list(dict.fromkeys(command for found in COMMANDS.values() for command in found))
LAUNCHES = [command for command in EVERY if command.startswith("python launch.py") and NEW_SETTING not in command]
LOOKS = [command for command in EVERY if command.startswith("python -m mmdpo ")]


def name_of(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


def prose(page: Path) -> str:
    """Return a page without its code blocks."""
    return BLOCK.sub("", page.read_text(encoding="utf-8"))


def anchors(page: Path) -> set[str]:
    text = re.sub(r"^```.*?^```", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    return {slugify(title.replace("`", ""), "-") for title in re.findall(r"^#+ (.+)$", text, re.MULTILINE)}


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_links_and_pictures_resolve(page: Path) -> None:
    text = prose(page)
    for link in re.findall(r"\]\(([^)\s]+)\)", text) + re.findall(r'(?:src|href)="([^"]+)"', text):
        if link.startswith("https://"):
            continue
        target, _, anchor = link.partition("#")
        file = page.parent / target if target else page
        assert file.is_file(), link
        assert not anchor or anchor in anchors(file), link


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder with pairs, the paper's raw data, and the examples of docs/extending.md."""
    root = tmp_path_factory.mktemp("docs")
    (root / "pairs.jsonl").write_text('{"prompt": "Why?", "chosen": "So it is.", "rejected": "No."}\n')
    write_presets(root / "own")
    write_adapter(root / "adapter")
    (root / "trivia.jsonl").write_text('{"question": "What is 1 + 1?", "answer": "2"}\n')
    with pytest.MonkeyPatch.context() as patch:
        for place in examples():
            if place.endswith(".py"):
                add_module(place, root, patch)
        patch.setenv("MMDPO_DATA", str(write_raw_data(root / "raw", 3)))
        yield root


def words_of(command: str, files: Path) -> tuple[list[str], Path | None]:
    """Split a command of the docs behind `launch.py` or `-m mmdpo`; returns its words and its config directory."""
    words = shlex.split(command)[2 if "launch.py" in command else 3 :]
    directory = None
    if "--config-dir" in words:
        place = words.index("--config-dir")
        assert words[place + 1] == "DIR"
        del words[place : place + 2]
        directory = files / "own"
    values = {"FILE": files / "pairs.jsonl", "DIR": files, "outputs/STUDY/POINT/adapter": files / "adapter"}
    return [
        re.sub(r"=(FILE|DIR|outputs/STUDY/POINT/adapter)$", lambda found: f"={values[found[1]]}", word)
        for word in words
    ], directory


def points_of(words: list[str], directory: Path | None) -> list[list[str]]:
    """Return the overrides of so many points of a command that each value of each swept key occurs."""
    typed = [word for word in words if "=" in word and not word.startswith(("hydra/", "hydra."))]
    overrides = [quoted_names(word) for word in typed]
    names = [word.removeprefix("sweep=") for word in overrides if word.startswith("sweep=")]
    for name in names:
        folders = [SWEEPS, *([directory / "sweep"] if directory else [])]
        file = next(folder / f"{name}.yaml" for folder in folders if (folder / f"{name}.yaml").is_file())
        sweeper = yaml.safe_load(file.read_text(encoding="utf-8"))["hydra"]["sweeper"]
        if "blocks" in sweeper:
            blocks = split_into_blocks(OverridesParser.create(), [], sweeper["blocks"], overrides)
            return [[*point] for block in blocks for point in block.points]
        params = sweeper["params"]
        given = {word.partition("=")[0] for word in overrides}
        overrides += [f"{key}={values}" for key, values in params.items() if key not in given]
    parsed = OverridesParser.create().parse_overrides([word.replace("interval(", "choice(") for word in overrides])
    values = [
        [f"{one.key_or_group}={value}" for value in one.sweep_string_iterator()]
        if one.is_sweep_override()
        else [str(one.input_line)]
        for one in parsed
    ]
    return [[one[index % len(one)] for one in values] for index in range(max(map(len, values), default=1))]


@pytest.mark.parametrize("command", LAUNCHES)
def test_every_launch_composes(command: str, files: Path) -> None:
    words, directory = words_of(command, files)
    points = [spelled_out(point) for point in points_of(words, directory)]
    assert len(points) == 1 or "-m" in words or any(word.startswith("sweep=") for word in words)
    assert [*compose_points(lambda point: composed(point, directory), points)]


@pytest.mark.parametrize("command", LOOKS)
def test_every_look_is_understood(command: str, files: Path) -> None:
    words, directory = words_of(command, files)
    options = make_parser().parse_args(words)
    if words[0] == "doctor":
        compose_data(options.overrides, directory)
    if words[0] == "find":
        assert all(map(read_term, options.terms))
    elif words[0] != "power":  # whose KEY=GAIN is no override
        check_overrides(word for word in words if "=" in word)


def test_every_other_command_exists() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    for command in [one for one in EVERY if one not in (*LAUNCHES, *LOOKS) and NEW_SETTING not in one]:
        words = command.split()
        if words[0] == "make":
            assert f"\n{words[1]}:" in makefile, command
        elif words[:2] == ["python", "-m"]:
            assert (ROOT / words[2].replace(".", "/")).with_suffix(".py").is_file(), command
        else:
            assert words[0] in ("bash", "pip", "wandb") or (ROOT / words[1]).is_file(), command


QUOTED = re.compile(r"`([^`\n]+)`")
KEY = re.compile(r"^[a-z_]+(\.[A-Za-z_]+)+$")


@pytest.mark.parametrize("page", [page for page in PAGES if page.name != "CHANGELOG.md"], ids=name_of)
def test_quoted_keys_and_paths_exist(page: Path) -> None:
    for quoted in QUOTED.findall(prose(page)):
        for word in quoted.split():
            key, _, value = word.lstrip("+").partition("=")
            root = key.partition(".")[0]
            if KEY.match(key) and root in GROUPS and not key.endswith((".yaml", ".json", ".jsonl")):
                assert key == NEW_SETTING or key_problem(key) is None, quoted
            if root in GROUPS and root == key and value and value.isidentifier() and value.islower():
                assert value in options(root), quoted
        if re.match(r"^(mmdpo|conf|sweeps|tests|benchmarks|hydra_plugins|docs|notebooks)/[a-z0-9_/.]*$", quoted):
            assert (ROOT / quoted).exists(), quoted


def test_renamed_keys_of_the_changelog_are_those_of_the_code() -> None:
    from mmdpo.config.renamed import new_name

    rows = re.findall(r"^\| (`.*`) \| (`.*`) \|$", (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert len(rows) > 10
    for old, new in rows:
        for before, after in zip(QUOTED.findall(old), QUOTED.findall(new), strict=True):
            assert new_name(before.replace("NAME", "x")) == after.replace("NAME", "x"), before
            assert key_problem(after) is None, after


def test_the_readme_is_short_and_names_every_method_and_axis() -> None:
    assert len(README.splitlines()) <= 150
    assert {"make sweep", "make test", "python launch.py -m method=dpo beta=0.1,0.2,0.3"} <= {*EVERY}
    for name in [*options("method"), *AXES]:
        assert f"`{name}`" in README, name


def test_the_layout_names_every_folder_from_top_to_bottom() -> None:
    """Its order is that of the import-linter contract."""
    text = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    layout = text.partition("    mmdpo/\n")[2].partition("\n    hydra_plugins/")[0]
    names = [name.rstrip("/") for line in layout.splitlines() for name in line.split("  ")[3].split()]
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    *layers, modules = project["tool"]["importlinter"]["contracts"][0]["layers"]
    assert [name.removesuffix(".py") for name in names[: len(layers)]] == layers
    assert sorted(names[len(layers) :]) == sorted(f"{name}.py" for name in modules.split(" : "))


def test_forbidden_words() -> None:
    wrong = re.compile(r"\b(anew|goes on|the same line|for ever)\b")
    for page in PAGES:
        assert not wrong.search(page.read_text(encoding="utf-8")), page


def test_the_site_builds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In strict mode a warning, such as a broken link, stops the build."""
    monkeypatch.setenv("NO_MKDOCS_2_WARNING", "1")
    pytest.importorskip("mkdocs")
    from mkdocs.commands.build import build
    from mkdocs.config import load_config

    build(load_config(str(ROOT / "mkdocs.yml"), strict=True, site_dir=str(tmp_path)))
    assert {page.stem for page in ROOT.glob("docs/*.md")} <= {page.stem for page in tmp_path.glob("*.html")}
