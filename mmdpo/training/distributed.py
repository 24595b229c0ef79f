"""Training by several processes: ranks, agreement on stopping, DeepSpeed."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from mmdpo import signals
from mmdpo.models.device import device

if TYPE_CHECKING:
    from mmdpo.config.schema import TrainConfig


def rank() -> int:
    """Return this process's rank among those that torchrun or srun started together; 0 for a single process."""
    return int(os.environ.get("RANK", 0))


def world_size() -> int:
    """Return the number of processes that train together."""
    return int(os.environ.get("WORLD_SIZE", 1))


def from_slurm() -> None:
    """Export rank and world size from SLURM's variables if srun started several processes.

    A process that sees all GPUs of its node takes the one of its local rank; CUDA_VISIBLE_DEVICES stays as SLURM set
    it. If the cluster binds each process to one GPU, the process sees only that one and takes it.
    """
    if int(os.environ.get("SLURM_NTASKS", 1)) > 1 and "RANK" not in os.environ:
        from submitit.helpers import TorchDistributedEnvironment

        TorchDistributedEnvironment().export(set_cuda_visible_devices=False)
        import torch

        if torch.cuda.device_count() == 1:
            os.environ["LOCAL_RANK"] = "0"


def any_asked_to_stop() -> str | None:
    """Return the cause for which any process was asked to stop; all processes get the same result.

    Several processes exchange one number. Returns None at once if no signal handler is installed.
    """
    if not signals.is_listening():
        return None
    causes = list(signals.CAUSES.values())
    asked = signals.asked()
    if world_size() == 1:
        return asked
    import torch.distributed

    number = torch.tensor(causes.index(asked) + 1 if asked else 0, device=device())
    torch.distributed.all_reduce(number, torch.distributed.ReduceOp.MAX)
    return causes[int(number) - 1] if int(number) else None


def barrier() -> None:
    """Wait until all processes have come here; a single process does not wait."""
    import torch.distributed

    if torch.distributed.is_available() and torch.distributed.is_initialized():
        torch.distributed.barrier()


def deepspeed_config(train: TrainConfig, bfloat16: bool) -> dict[str, Any] | None:
    """Build DeepSpeed's configuration; the trainer fills in "auto" values.

    It has no optimizer block, with which DeepSpeed would compile its own; the trainer's AdamW is used.

    Args:
        train: Names the ZeRO stage.
        bfloat16: Whether the model is in bfloat16.

    Returns:
        The configuration, or None for `train.zero_stage=0`.
    """
    if train.zero_stage == 0:
        return None
    zero: dict[str, Any] = {"stage": train.zero_stage, "contiguous_gradients": True, "overlap_comm": True}
    if train.zero_stage == 3:
        # Gathers the adapter when it is saved; frozen weights are left out.
        zero["stage3_gather_16bit_weights_on_model_save"] = True
        # Keeps small tensors, LoRA's among them, unpartitioned: gathering each costs more than it saves.
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
def deepspeed_session(train: TrainConfig) -> Iterator[None]:
    """Set up DeepSpeed for a training with ZeRO, and reset its global state afterwards.

    On CPUs this starts the process group. Without the reset, a model that is loaded later for evaluation would be
    partitioned as well.
    """
    if train.zero_stage == 0:
        yield
        return
    import torch
    from transformers.integrations.deepspeed import unset_hf_deepspeed_config

    if not torch.cuda.is_available():
        import deepspeed

        # DeepSpeed would compile it now, for two minutes; gloo does not need it.
        deepspeed.ops.__compatible_ops__["deepspeed_shm_comm"] = False
        if not deepspeed.comm.is_initialized():
            deepspeed.init_distributed("gloo", auto_mpi_discovery=False, verbose=False)
    try:
        yield
    finally:
        from accelerate.state import AcceleratorState

        unset_hf_deepspeed_config()
        AcceleratorState._reset_state()  # the next training of this process may not use DeepSpeed


@contextmanager
def release_deepspeed(trainer: Any) -> Iterator[None]:
    """Destroy DeepSpeed's engine at the end of the block, with its hooks and caches that hold the model."""
    try:
        yield
    finally:
        if trainer.is_deepspeed_enabled:
            from deepspeed.runtime.zero import parameter_offload
            from deepspeed.runtime.zero.partitioned_param_coordinator import PartitionedParameterCoordinator

            if hasattr(trainer.model_wrapped, "destroy"):  # the engine was created
                trainer.model_wrapped.destroy()
            parameter_offload.FWD_MODULE_STACK.clear()
            released = PartitionedParameterCoordinator._PartitionedParameterCoordinator__params_to_release
            for cell in released.__closure__:  # a cache with every coordinator in its keys
                if hasattr(cell.cell_contents, "cache_clear"):
                    cell.cell_contents.cache_clear()
