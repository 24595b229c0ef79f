"""TRL's settings, from ours; what is not named here is TRL's default."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from mmdpo.models.loading import torch_dtype
from mmdpo.training.distributed import deepspeed_config, world_size

if TYPE_CHECKING:
    from transformers import TrainingArguments
    from trl import DPOConfig, SFTConfig

    from mmdpo.config.schema import Config

DAY = 24 * 3600  # seconds

Settings = TypeVar("Settings", bound="TrainingArguments")


def loss_type(cfg: Config) -> str | None:
    """TRL's name of the loss: DPO's sums log-probs over an answer, or averages them over its tokens."""
    return "sigmoid_norm" if cfg.method.loss_type == "sigmoid" and cfg.logprob_avg else cfg.method.loss_type


def dpo_config(cfg: Config, checkpoints: Path) -> DPOConfig:
    """Settings of a preference loss."""
    from trl import DPOConfig

    return _on_one_device(
        DPOConfig(
            **_common(cfg, checkpoints),
            loss_type=[loss_type(cfg)],
            beta=cfg.beta,
            label_smoothing=cfg.method.label_smoothing,
            disable_dropout=False,  # the base has none already; LoRA's is wanted
        )
    )


def sft_config(cfg: Config, checkpoints: Path) -> SFTConfig:
    """Settings of plain SFT."""
    from trl import SFTConfig

    return _on_one_device(SFTConfig(**_common(cfg, checkpoints)))


def _on_one_device(settings: Settings) -> Settings:
    """A process alone would split each batch over all GPUs that it sees (nn.DataParallel)."""
    settings._n_gpu = 1
    return settings


def _common(cfg: Config, checkpoints: Path) -> dict[str, Any]:
    import torch

    settings = cfg.train
    gpu = torch.cuda.is_available()
    bfloat16 = torch_dtype(cfg.model.dtype) == torch.bfloat16
    # A checkpoint between two logs would lose the sums that the later one averages.
    save_steps = -(-settings.save_steps // settings.logging_steps) * settings.logging_steps
    return {
        "output_dir": str(checkpoints),
        "learning_rate": cfg.lr,
        "num_train_epochs": settings.num_train_epochs,
        "per_device_train_batch_size": settings.per_device_train_batch_size,
        "gradient_accumulation_steps": settings.gradient_accumulation_steps,
        "lr_scheduler_type": settings.lr_scheduler_type,
        "warmup_steps": settings.warmup_ratio,  # below 1 it is a share of all steps
        "weight_decay": settings.weight_decay,
        "max_grad_norm": settings.max_grad_norm,
        "gradient_checkpointing": settings.activation_checkpointing,
        "bf16": bfloat16,
        "tf32": settings.tf32 if gpu and torch.cuda.get_device_capability()[0] >= 8 else None,
        "use_cpu": not gpu,
        "deepspeed": deepspeed_config(settings, bfloat16),
        "ddp_find_unused_parameters": False,
        "ddp_timeout": DAY,  # the others wait while the first process measures
        "seed": cfg.seed,
        "data_seed": cfg.seed,
        "max_length": None,  # rows.py has seen to it
        "save_steps": save_steps,
        "save_total_limit": None,  # resume.Marking deletes old ones, after the new one is whole
        "logging_steps": settings.logging_steps,
        "logging_nan_inf_filter": False,  # a NaN stops the run
        "report_to": "none",
        "disable_tqdm": True,
        "dataloader_num_workers": settings.dataloader_num_workers,
        "dataloader_pin_memory": gpu,
    }


def total_steps(cfg: Config, examples: int) -> int:
    """Optimizer steps of a whole training, as transformers counts them, on all processes together."""
    batches = math.ceil(math.ceil(examples / world_size()) / cfg.train.per_device_train_batch_size)
    return math.ceil(math.ceil(batches / cfg.train.gradient_accumulation_steps) * cfg.train.num_train_epochs)
