"""Commands that run a study again."""

import shlex
from pathlib import Path

from mmdpo.analysis.html_commands import commands
from mmdpo.analysis.study import read_study
from tests.support.studies import make_point, make_study


def test_one_command_for_a_whole_grid(tmp_path: Path):
    points = [{"beta": beta, "logprob_avg": average} for beta in (0.1, 0.2) for average in (False, True)]
    (command,) = commands(read_study(make_study(tmp_path / "grid", points)))
    assert shlex.split(command) == [
        *("python", "launch.py", "-m", "beta=0.1,0.2", "logprob_avg=false,true", "study=grid", "method=dpo"),
        *("lr=0.0005", "data_scale=1.0", "label_noise=0.0", "seed=0"),
        *("model=nano", "data=nano", "judge=oracle", "bench=nano", "train=nano"),
    ]


def test_a_command_a_point_where_they_are_no_grid(tmp_path: Path):
    points = [{"method": "dpo"}, {"method": "sft", "beta": None, "logprob_avg": None}]
    found = commands(read_study(make_study(tmp_path / "m", points)))
    assert ["beta=0.1" in command for command in found] == [True, False]
    assert all("null" not in command and "-m" not in command.split() for command in found)


def test_the_users_own_data_is_in_the_command(tmp_path: Path):
    make_point(tmp_path / "s", {}, config={"data": {"name": "pairs", "path": "my pairs.jsonl"}})
    (command,) = commands(read_study(tmp_path / "s"))
    assert {"data=pairs", "data.path=my pairs.jsonl"} <= set(shlex.split(command))
