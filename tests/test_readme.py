"""The README: its commands, its links and its table."""

import re
import shlex

import pytest

from mmdpo.config.schema import AXES, options
from tests.support.program import ROOT, launch, program
from tests.support.raw_data import write_raw_data

README = (ROOT / "README.md").read_text(encoding="utf-8")
COMMANDS = [
    line.split("  #")[0].strip()
    for block in re.findall(r"```(?:bash|sh)\n(.*?)```", README, re.S)
    for line in block.splitlines()
    if line.strip() and not line.startswith("#")
]
LAUNCHES = [command for command in COMMANDS if command.startswith("python launch.py")]


def test_it_names_the_two_commands_and_the_main_job():
    assert {"make sweep", "make test"} <= set(COMMANDS)
    assert "python launch.py -m method=dpo beta=0.1,0.2,0.3" in COMMANDS


@pytest.mark.parametrize("command", LAUNCHES)
def test_every_launch_composes_and_plans(command, tmp_path):
    words = shlex.split(command)[2:]
    raw = write_raw_data(tmp_path / "raw", 3) if "data=paper" in words else tmp_path
    if any("FILE" in word or "DIR" in word for word in words):
        file = tmp_path / "pairs.jsonl"
        file.write_text('{"prompt": "Why?", "chosen": "So it is.", "rejected": "No."}\n')
        words = [word.replace("FILE", str(file)).replace("DIR", str(tmp_path)) for word in words]
    done = launch(*words, "dry_run=true", f"out={tmp_path}/outputs", MMDPO_DATA=str(raw))
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("command", [c for c in COMMANDS if c.startswith("python -m mmdpo")])
def test_every_look_is_a_known_command(command):
    words = shlex.split(command)
    module = ["-m", words[2]] if "." in words[2] else words[1:4]
    assert program(*module, "--help").returncode == 0


@pytest.mark.parametrize("script", sorted(set(re.findall(r"python (benchmarks/\w+\.py)", README))))
def test_every_benchmark_is_there(script):
    assert (ROOT / script).is_file()


def test_every_link_and_picture_resolves():
    for target in re.findall(r"\]\(([^)#]+)\)", README) + re.findall(r'src="([^"]+)"', README):
        if not target.startswith("http"):
            assert (ROOT / target).exists(), target


def test_its_tables_name_every_method_and_axis():
    for name in [*options("method"), *AXES]:
        assert f"`{name}`" in README, name


def test_make_targets_exist():
    makefile = (ROOT / "Makefile").read_text()
    for command in COMMANDS:
        if command.startswith("make "):
            assert f"\n{command.split()[1]}:" in makefile
