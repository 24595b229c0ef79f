"""TRL's training arguments from ours; arguments that are not set here keep TRL's defaults."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from mmdpo.models.loading import torch_dtype
from mmdpo.training.custom_loss import is_custom_loss
from mmdpo.training.distributed import deepspeed_config
from mmdpo.training.schedule import warmup_share

if TYPE_CHECKING:
    from transformers import TrainingArguments
    from trl import DPOConfig, SFTConfig

    from mmdpo.training.settings import TrainingSettings

DAY = 24 * 3600  # seconds
CHECKPOINTING = ("activation_checkpointing", "gradient_checkpointing")

Arguments = TypeVar("Arguments", bound="TrainingArguments")


def trl_loss_type(settings: TrainingSettings) -> str:
    """Return TRL's name of the preference loss.

    `sigmoid` is the sum of log-probs over an answer, `sigmoid_norm` their mean over its tokens. For a loss of
    mmdpo.training.losses it is `sigmoid`: TRL computes its metrics, and LoraDPOTrainer replaces the loss.
    """
    name = settings.method.loss_type
    assert name is not None
    if is_custom_loss(name):
        return "sigmoid"
    return "sigmoid_norm" if settings.averages_logps else name


def dpo_config(settings: TrainingSettings, checkpoints: Path) -> DPOConfig:
    """Build the arguments of a training with a preference loss, which writes its checkpoints to a folder."""
    from trl import DPOConfig

    return _on_one_device(
        DPOConfig(
            **_common(settings, checkpoints),
            loss_type=[trl_loss_type(settings)],
            beta=settings.beta,
            label_smoothing=settings.method.label_smoothing,
            disable_dropout=False,  # run.py removes the base model's dropout; that of LoRA stays
        )
    )


def sft_config(settings: TrainingSettings, checkpoints: Path) -> SFTConfig:
    """Build the arguments of an SFT training, which writes its checkpoints to a folder."""
    from trl import SFTConfig

    return _on_one_device(SFTConfig(**_common(settings, checkpoints)))


def _on_one_device(args: Arguments) -> Arguments:
    """Use one device per process; a single process would split each batch over all GPUs (nn.DataParallel)."""
    args._n_gpu = 1
    return args


def _common(settings: TrainingSettings, checkpoints: Path) -> dict[str, Any]:
    import torch
    from transformers import TrainingArguments

    # transformers before 5.23 has the older name
    checkpointing = next(name for name in CHECKPOINTING if name in TrainingArguments.__dataclass_fields__)
    train = settings.train
    gpu = torch.cuda.is_available()
    bfloat16 = torch_dtype(settings.model.dtype) == torch.bfloat16
    # A checkpoint between two logs would lose the sums that the later log averages.
    save_steps = -(-train.save_steps // train.logging_steps) * train.logging_steps
    return {
        "output_dir": str(checkpoints),
        "learning_rate": settings.lr,
        "num_train_epochs": train.num_train_epochs,
        "per_device_train_batch_size": train.per_device_train_batch_size,
        "gradient_accumulation_steps": train.gradient_accumulation_steps,
        "lr_scheduler_type": train.lr_scheduler_type,
        "warmup_steps": warmup_share(train),  # a value below 1 is a share of all steps
        "weight_decay": train.weight_decay,
        "max_grad_norm": train.max_grad_norm,
        checkpointing: train.activation_checkpointing,
        "bf16": bfloat16,
        "tf32": None,  # training/precision.py sets it
        "use_cpu": not gpu,
        "deepspeed": deepspeed_config(train, bfloat16),
        "ddp_find_unused_parameters": False,
        "ddp_timeout": DAY,  # the other processes wait while the first one evaluates
        "seed": settings.seed,
        "data_seed": settings.seed,
        "max_length": None,  # rows.py limits the length
        "save_steps": save_steps,
        "save_total_limit": None,  # MarkCompleteCheckpoint deletes old checkpoints once the new one is complete
        "logging_steps": train.logging_steps,
        "logging_nan_inf_filter": False,  # NaN stops the training
        "report_to": "none",
        "disable_tqdm": True,
        "dataloader_num_workers": train.dataloader_num_workers,
        "dataloader_pin_memory": gpu,
    }
