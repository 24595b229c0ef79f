"""Checks that ask the libraries: 4-bit weights, attention, and arguments that are passed on to TRL.

They import torch or TRL if a setting needs it, so the planner does not call them: the command does, before it runs or
submits anything.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from importlib.util import find_spec

from mmdpo.config.choices import Runner, Stage
from mmdpo.config.schema import Config
from mmdpo.entry.trl_fields import may_have_gpu, sharing_setting, trl_problems
from mmdpo.errors import UserError

TRAINING_STAGES = (Stage.reference, Stage.train, Stage.experiment)


def require_libraries(configs: Sequence[Config]) -> None:
    """Raise UserError naming every setting of the points that the installed libraries or this machine do not allow."""
    checks = trl_problems, quantization_problems, attention_problems
    problems = [problem for config in configs for check in checks for problem in check(config)]
    if problems:
        raise UserError("\n".join(dict.fromkeys(problems)))


def quantization_problems(config: Config) -> Iterator[str]:
    """Describe why a quantized base cannot be trained; the GPU is looked for where the points run."""
    name = config.model.quantization
    if name is None or config.is_base or config.stage not in TRAINING_STAGES:
        return
    key = f"model.quantization={name}"
    if find_spec("bitsandbytes") is None:
        yield f"{key}: needs bitsandbytes; run pip install -e '.[qlora]', or type model.quantization=null"
    elif not may_have_gpu(config):
        yield f"{key}: needs a GPU, and this machine has none; type model.quantization=null or cluster=slurm"
    if config.cluster.runner is Runner.slurm and not config.cluster.gpus_per_node:
        yield f"{key}: needs a GPU; type cluster.gpus_per_node=1"
    if config.train.zero_stage == 3 and config.cluster.processes > 1:
        yield f"{key}: train.zero_stage=3 cannot partition 4-bit weights; type train.zero_stage=0 or 2"


def attention_problems(config: Config) -> Iterator[str]:
    """Describe why an implementation of attention cannot be used in training."""
    name = config.model.attn_implementation
    if name == "auto" or config.is_base or config.stage not in TRAINING_STAGES:
        return
    key = f"model.attn_implementation={name}"
    if name != "sdpa" and (shared := sharing_setting(config)):
        those = "rows" if shared == "train.prompt_once" else "answers"
        yield f"{key}: {those} that share their prompt need a mask of sdpa; add {shared}=false"
    if name != "flash_attention_2":
        return
    if find_spec("flash_attn") is None:
        yield f"{key}: needs flash-attn; run pip install flash-attn, or type model.attn_implementation=auto"
    elif not may_have_gpu(config):
        yield f"{key}: needs a GPU, and this machine has none; type model.attn_implementation=auto"
    if config.model.dtype == "float32":
        yield f"{key}: takes no float32; type model.dtype=bfloat16"
