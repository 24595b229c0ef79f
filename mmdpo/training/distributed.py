"""Several processes that train one model: who is who, and DeepSpeed's settings from ours."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from mmdpo import signals as stopping
from mmdpo.models.device import device

if TYPE_CHECKING:
    from mmdpo.config.schema import TrainConfig


def rank() -> int:
    """This process's number among those that torchrun or srun started together; 0 when it is alone."""
    return int(os.environ.get("RANK", 0))


def world_size() -> int:
    """How many processes train together."""
    return int(os.environ.get("WORLD_SIZE", 1))


def from_slurm() -> None:
    """Take rank and world size from srun, where it started several processes.

    Each sees all GPUs of its node and takes the one of its local rank; CUDA_VISIBLE_DEVICES stays as SLURM
    set it. Where a site binds each process to a GPU of its own, that is the only one it sees.
    """
    if int(os.environ.get("SLURM_NTASKS", 1)) > 1 and "RANK" not in os.environ:
        from submitit.helpers import TorchDistributedEnvironment

        TorchDistributedEnvironment().export(set_cuda_visible_devices=False)
        import torch

        if torch.cuda.device_count() == 1:
            os.environ["LOCAL_RANK"] = "0"


def any_asked_to_stop() -> str | None:
    """The cause for which one of the processes was asked to stop; the same answer in all of them.

    Free where nothing listens. Several processes exchange one number.
    """
    if not stopping.is_listening():
        return None
    causes = list(stopping.CAUSES.values())
    asked = stopping.asked()
    if world_size() == 1:
        return asked
    import torch.distributed

    number = torch.tensor(causes.index(asked) + 1 if asked else 0, device=device())
    torch.distributed.all_reduce(number, torch.distributed.ReduceOp.MAX)
    return causes[int(number) - 1] if int(number) else None


def barrier() -> None:
    """Wait until all processes are here; nothing where there is one."""
    import torch.distributed

    if torch.distributed.is_available() and torch.distributed.is_initialized():
        torch.distributed.barrier()


def deepspeed_config(train: TrainConfig, bfloat16: bool) -> dict[str, Any] | None:
    """DeepSpeed's configuration for `train.zero_stage`, None for 0; "auto" values come from the trainer.

    There is no optimizer block: it would compile one; the trainer's AdamW is used.
    """
    if train.zero_stage == 0:
        return None
    zero: dict[str, Any] = {"stage": train.zero_stage, "contiguous_gradients": True, "overlap_comm": True}
    if train.zero_stage == 3:
        # The adapter is gathered when it is saved; frozen weights are left out.
        zero["stage3_gather_16bit_weights_on_model_save"] = True
        # Small tensors, LoRA's among them, are kept whole: gathering each costs more than its memory.
        zero["stage3_param_persistence_threshold"] = "auto"
        zero["stage3_prefetch_bucket_size"] = "auto"
        zero["reduce_bucket_size"] = "auto"
    return {
        "zero_optimization": zero,
        "zero_allow_untested_optimizer": True,
        "bf16": {"enabled": bfloat16},
        "train_batch_size": "auto",
        "train_micro_batch_size_per_gpu": "auto",
        "gradient_accumulation_steps": "auto",
        "gradient_clipping": "auto",
    }


@contextmanager
def deepspeed_ready(train: TrainConfig) -> Iterator[None]:
    """Around a training with ZeRO: a process group on CPUs, and no trace of DeepSpeed's hooks after it.

    Without the latter, a model that is loaded later, to be measured, would be partitioned as well.
    """
    if train.zero_stage == 0:
        yield
        return
    import torch
    from transformers.integrations.deepspeed import unset_hf_deepspeed_config

    if not torch.cuda.is_available():
        import deepspeed

        # It would be compiled now, for two minutes, and gloo does without it.
        deepspeed.ops.__compatible_ops__["deepspeed_shm_comm"] = False
        if not deepspeed.comm.is_initialized():
            deepspeed.init_distributed("gloo", auto_mpi_discovery=False, verbose=False)
    try:
        yield
    finally:
        from accelerate.state import AcceleratorState

        unset_hf_deepspeed_config()
        AcceleratorState._reset_state()  # the next training in this process may go without DeepSpeed


@contextmanager
def deepspeed_freed(trainer: Any) -> Iterator[None]:
    """Let go of DeepSpeed's engine after a training: hooks and caches of its own hold the model."""
    try:
        yield
    finally:
        if trainer.is_deepspeed_enabled:
            from deepspeed.runtime.zero import parameter_offload
            from deepspeed.runtime.zero.partitioned_param_coordinator import PartitionedParameterCoordinator

            if hasattr(trainer.model_wrapped, "destroy"):  # there is an engine
                trainer.model_wrapped.destroy()
            parameter_offload.FWD_MODULE_STACK.clear()
            released = PartitionedParameterCoordinator._PartitionedParameterCoordinator__params_to_release
            for cell in released.__closure__:  # a cache that has every coordinator in its keys
                if hasattr(cell.cell_contents, "cache_clear"):
                    cell.cell_contents.cache_clear()
