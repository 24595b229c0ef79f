"""TRL's training arguments from ours; arguments that are not set here keep TRL's defaults."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from mmdpo.config.losses import weighted_losses
from mmdpo.errors import UserError
from mmdpo.models.loading import torch_dtype
from mmdpo.training.custom_loss import is_custom_loss
from mmdpo.training.distributed import deepspeed_config
from mmdpo.training.recomputation import recomputation_argument
from mmdpo.training.schedule import warmup_share

if TYPE_CHECKING:
    from transformers import TrainingArguments
    from trl import DPOConfig, KTOConfig, SFTConfig

    from mmdpo.config.schema import TrainConfig
    from mmdpo.training.settings import TrainingSettings

DAY = 24 * 3600  # seconds

Arguments = TypeVar("Arguments", bound="TrainingArguments")


def trl_losses(settings: TrainingSettings) -> dict[str, float]:
    """Return TRL's names of the losses of pairs, with their weights.

    `sigmoid` is the sum of log-probs over an answer, `sigmoid_norm` their mean over its tokens. LoraDPOTrainer adds
    losses of mmdpo.training.losses. Without any other loss, TRL computes `sigmoid` with weight 0 and its metrics.
    """
    weights = {name: weight for name, weight in weighted_losses(settings.method).items() if not is_custom_loss(name)}
    if settings.averages_logps:
        weights = {"sigmoid_norm" if name == "sigmoid" else name: weight for name, weight in weights.items()}
    return weights or {"sigmoid": 0.0}


def dpo_config(settings: TrainingSettings, checkpoints: Path) -> DPOConfig:
    """Build the arguments of a training with a preference loss, which writes its checkpoints to a folder."""
    from trl import DPOConfig

    losses = trl_losses(settings)
    return _on_one_device(
        DPOConfig(
            **_common(settings, checkpoints),
            loss_type=[*losses],
            loss_weights=[*losses.values()],
            beta=settings.beta,
            label_smoothing=settings.method.label_smoothing,
            disable_dropout=False,  # run.py removes the base model's dropout; that of LoRA stays
        )
    )


def kto_config(settings: TrainingSettings, checkpoints: Path) -> KTOConfig:
    """Build the arguments of a training with labels, which writes its checkpoints to a folder."""
    from trl import KTOConfig

    return _on_one_device(
        KTOConfig(
            **_common(settings, checkpoints),
            loss_type=settings.method.loss_type,
            beta=settings.beta,
            desirable_weight=settings.method.desirable_weight,
            undesirable_weight=settings.method.undesirable_weight,
            disable_dropout=False,  # as above
        )
    )


def training_arguments(settings: TrainingSettings, checkpoints: Path) -> DPOConfig | KTOConfig | SFTConfig:
    """Build the arguments of a training. Raises UserError if TRL refuses one of `train.trl`."""
    with translate_trl_errors(settings.train):
        if settings.trains_on_pairs:
            return dpo_config(settings, checkpoints)
        if settings.trains_on_labels:
            return kto_config(settings, checkpoints)
        return sft_config(settings, checkpoints)


def sft_config(settings: TrainingSettings, checkpoints: Path) -> SFTConfig:
    """Build the arguments of an SFT training, which writes its checkpoints to a folder."""
    from trl import SFTConfig

    return _on_one_device(SFTConfig(**_common(settings, checkpoints)))


@contextmanager
def translate_trl_errors(train: TrainConfig) -> Iterator[None]:
    """Turn an error of TRL about arguments of `train.trl` into a UserError that names them."""
    try:
        yield
    except (ValueError, TypeError, ImportError, NotImplementedError) as error:
        if not train.trl or isinstance(error, UserError):
            raise
        given = " ".join(f"train.trl.{name}={value}" for name, value in train.trl.items())
        raise UserError(f"{given}: TRL refuses it: {error}. Type another value, or drop it") from error


def _on_one_device(args: Arguments) -> Arguments:
    """Use one device per process; a single process would split each batch over all GPUs (nn.DataParallel)."""
    args._n_gpu = 1
    return args


def _common(settings: TrainingSettings, checkpoints: Path) -> dict[str, Any]:
    import torch

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
        **recomputation_argument(train.activation_checkpointing),
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
        **train.trl,
    }
