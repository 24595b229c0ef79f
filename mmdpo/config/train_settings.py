"""Settings of `train`: optimization."""

from dataclasses import dataclass, field
from typing import Annotated

from omegaconf import MISSING

from mmdpo.config.choices import FITS, FITTED, SCHEDULERS, ZERO_STAGES, TooLong
from mmdpo.config.markers import AT_LEAST_ONE, NO_RESULT, NOT_NEGATIVE, POSITIVE, SHARE, OneOf


@dataclass
class TrainConfig:
    """Optimization, with TRL's names. Defaults are the paper's (A.1) or, where it is silent, the authors' scripts."""

    name: Annotated[str, NO_RESULT] = MISSING  # a label
    num_train_epochs: Annotated[float, POSITIVE] = 3.0
    per_device_train_batch_size: Annotated[int, AT_LEAST_ONE] = 8  # pairs per device and step
    gradient_accumulation_steps: Annotated[int, AT_LEAST_ONE] = 4
    lr_scheduler_type: Annotated[str, OneOf(SCHEDULERS)] = "cosine"
    warmup_ratio: Annotated[float, SHARE] = 0.03
    weight_decay: Annotated[float, NOT_NEGATIVE] = 0.0
    max_grad_norm: Annotated[float, POSITIVE] = 1.0
    max_text_tokens: Annotated[int | None, AT_LEAST_ONE] = None  # of prompt and answer, without image tokens
    too_long: TooLong = TooLong.cut_answer
    prefix_sharing: bool = True  # compute prompt and image once per pair, if the architecture allows it
    activation_checkpointing: Annotated[bool, NO_RESULT] = True
    tf32: bool = True  # on GPUs that support it
    dataloader_num_workers: Annotated[int, NOT_NEGATIVE, NO_RESULT] = 0  # per training process
    zero_stage: Annotated[int, OneOf(ZERO_STAGES), NO_RESULT] = 0  # DeepSpeed ZeRO; unused with a single process
    precompute_ref_batch_size: Annotated[int, AT_LEAST_ONE, NO_RESULT] = 16  # pairs
    save_steps: Annotated[int, AT_LEAST_ONE, NO_RESULT] = 50
    save_total_limit: Annotated[int, AT_LEAST_ONE, NO_RESULT] = 2  # checkpoints
    logging_steps: Annotated[int, AT_LEAST_ONE, NO_RESULT] = 1
    fit: Annotated[str, OneOf(FITS), NO_RESULT] = "auto"  # batches and recomputation by memory; on GPUs
    memory_gib: Annotated[float | None, POSITIVE, NO_RESULT] = None  # of a device, for `fit`; null: the GPU's own
    fit_keeps: Annotated[list[str], OneOf(FITTED), NO_RESULT] = field(
        default_factory=list
    )  # `fit` keeps them; typed ones are added
