"""The config of W&B runs."""

from pathlib import Path

import pytest

from mmdpo.entry.compose import compose_config
from mmdpo.points.identity import Role, flatten
from mmdpo.points.run_config import run_config


@pytest.mark.parametrize(
    ("overrides", "role", "present", "absent"),
    [
        (["beta=0.3"], Role.trained, {"beta", "lr", "seed", "label_noise", "data_scale"}, set()),
        (["method=steerlm"], Role.trained, {"lr", "seed", "data_scale"}, {"beta", "logprob_avg", "label_noise"}),
        ([], Role.base, {"data_scale"}, {"beta", "lr", "logprob_avg", "label_noise", "seed", "method"}),
        ([], Role.before_visual_tuning, set(), {"data_scale", "beta", "lr", "seed", "method"}),
        ([], Role.start, set(), {"data_scale", "beta", "round", "method"}),
    ],
)
def test_a_run_has_the_axes_that_mean_something_for_it(
    tmp_path: Path, overrides: list[str], role: Role, present: set[str], absent: set[str]
) -> None:
    flat = flatten(compose_config([f"out={tmp_path}", *overrides]))
    found = run_config(flat, role, "name-0b54bd", "name")
    assert present <= found.keys()
    assert not absent & found.keys()
    assert (found["point"], found["result"], found["role"]) == ("name-0b54bd", "name", str(role))
    assert found["model"]["name"] == flat["model.name"]
    assert found["bench"]["judge"]["client"] == flat["bench.judge.client"]
