"""Checks of 4-bit bases, attention and arguments of TRL, before anything starts."""

from __future__ import annotations

from importlib.machinery import ModuleSpec

import pytest

from mmdpo.entry import library_checks
from mmdpo.entry.compose import compose_config
from mmdpo.entry.library_checks import require_libraries
from mmdpo.errors import UserError


@pytest.mark.parametrize(
    ("overrides", "facts"),
    [
        (["model.quantization=nf4"], ["'.[qlora]'"]),
        (["model.attn_implementation=eager"], ["train.prefix_sharing=false"]),
        (["model.attn_implementation=flash_attention_2", "method=sft"], ["pip install flash-attn"]),
        (["train.trl.adam_beta3=1"], ["train.trl.adam_beta3", "adam_beta2"]),
    ],
)
def test_what_the_libraries_do_not_allow_is_refused(overrides: list[str], facts: list[str]) -> None:
    config = compose_config(overrides)
    with pytest.raises(UserError) as raised:
        require_libraries([config])
    assert all(fact in str(raised.value) for fact in facts), str(raised.value)


def test_a_gpu_is_asked_for_where_the_points_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(library_checks, "find_spec", lambda name: ModuleSpec(name, None))
    with pytest.raises(UserError, match=r"model\.quantization=nf4: needs a GPU"):
        require_libraries([compose_config(["model.quantization=nf4"])])
    slurm = ["model.quantization=nf4", "cluster=slurm"]
    require_libraries([compose_config(slurm)])
    with pytest.raises(UserError, match=r"cluster\.gpus_per_node=1"):
        require_libraries([compose_config([*slurm, "cluster.gpus_per_node=0"])])
    with pytest.raises(UserError, match=r"train\.zero_stage=3"):
        require_libraries([compose_config([*slurm, "cluster.gpus_per_node=2", "train.zero_stage=3"])])
    require_libraries([compose_config(["model.quantization=nf4", "data_scale=0"])])
