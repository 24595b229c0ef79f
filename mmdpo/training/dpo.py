"""The recipe: preference pairs and a base model become a LoRA adapter. Read `train` from top to bottom."""

from __future__ import annotations

import math
import shutil
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mmdpo.files import fingerprint, written_aside
from mmdpo.models.loading import load_model, load_processor, torch_dtype, weights_fingerprint
from mmdpo.models.quiet import quiet
from mmdpo.progress import progress
from mmdpo.records import PreferencePair
from mmdpo.training.lora import lora
from mmdpo.training.reference import Reference, reference
from mmdpo.training.rows import contents, tokenised, usable

if TYPE_CHECKING:
    from trl import DPOConfig

    from mmdpo.config import Config

Log = Callable[[dict[str, float], int], None]

LOOP_TOTALS = ("num_tokens", "total_flos")  # counted anew after a resume, so not reported


@dataclass(frozen=True)
class TrainSummary:
    """How a training went."""

    steps: int
    pairs: int  # trained on
    epochs: float
    seconds: float  # of this process, from its call to the saved adapter
    dropped: dict[str, int]  # pairs left out, by reason
    metrics: dict[str, float]  # of the last logged step
    model_fingerprint: str
    data_fingerprint: str


def train(
    cfg: Config,
    pairs: Sequence[PreferencePair],
    image_root: Path,
    folder: Path,
    log: Log,
    resumed: Callable[[int], None],
    known: Reference | None = None,
) -> TrainSummary:
    """Train on `pairs` and leave the adapter in `folder`/adapter, in PEFT format.

    `log(metrics, step)` is called for each logged step; before the first of them, `resumed(step)` once,
    with the step of the checkpoint that training goes on from, or 0: later ones are logged again.
    `known` holds the reference log-probs of these pairs and any others; without it they are looked up,
    or computed, for these pairs alone.
    Raises UserError for data without a usable pair and for a loss or gradient that is not finite.
    """
    started = time.monotonic()
    with quiet():
        from transformers import set_seed

        from mmdpo.training.resume import continue_from
        from mmdpo.training.trainer import PreferenceTrainer, save_adapter

        pairs, dropped = usable(pairs)
        data = fingerprint(contents(pairs, image_root))
        weights = weights_fingerprint(cfg.model.path)
        run = _run_fingerprint(cfg, weights, data)

        set_seed(cfg.seed)
        processor = load_processor(cfg.model.path)
        model = load_model(cfg.model.path, cfg.model.dtype)
        _without_dropout(model)  # LoRA's own is made later, with lora()
        rows = tokenised(pairs, image_root, processor)
        known = known or reference(cfg, pairs, image_root, model)
        for row, pair in zip(rows, pairs, strict=True):
            row["ref_chosen_logps"], row["ref_rejected_logps"] = known.of(pair)

        checkpoints = folder / "checkpoints"
        start = continue_from(checkpoints, run)
        trainer = PreferenceTrainer(
            model, dpo_config(cfg, checkpoints), rows, processor, lora(model, cfg.model.lora)
        )
        resumed(start.step if start else 0)
        with progress("training", total_steps(cfg, len(pairs))) as advance:
            _attach(trainer, cfg, run, log, advance)
            advance(start.step if start else 0)
            trainer.train(resume_from_checkpoint=str(start.path) if start else None)

        with written_aside(folder / "adapter") as aside:
            save_adapter(trainer.accelerator.unwrap_model(trainer.model), str(aside))
        shutil.rmtree(checkpoints, ignore_errors=True)
        history = [_clean(entry) for entry in trainer.state.log_history if "loss" in entry]
        return TrainSummary(
            steps=trainer.state.global_step,
            pairs=len(pairs),
            epochs=round(float(trainer.state.epoch or 0.0), 6),
            seconds=round(time.monotonic() - started, 3),
            dropped=dropped,
            metrics=history[-1] if history else {},
            model_fingerprint=weights,
            data_fingerprint=data,
        )


def loss_type(cfg: Config) -> str:
    """TRL's name of the loss: DPO's sums log-probs over an answer, or averages them over its tokens."""
    return "sigmoid_norm" if cfg.method.loss == "sigmoid" and cfg.logprob_avg else cfg.method.loss


def dpo_config(cfg: Config, checkpoints: Path) -> DPOConfig:
    """TRL's settings, from ours; what is not named here is TRL's default."""
    import torch
    from trl import DPOConfig

    settings = cfg.train
    # A checkpoint between two logs would lose the sums that the later one averages.
    save_steps = -(-settings.save_steps // settings.log_steps) * settings.log_steps
    return DPOConfig(
        output_dir=str(checkpoints),
        loss_type=[loss_type(cfg)],
        **({} if cfg.beta is None else {"beta": cfg.beta}),
        learning_rate=cfg.lr,
        num_train_epochs=settings.epochs,
        per_device_train_batch_size=settings.batch_size,
        gradient_accumulation_steps=settings.accumulation,
        lr_scheduler_type=settings.schedule,
        warmup_steps=settings.warmup_ratio,  # below 1 it is a share of all steps
        weight_decay=settings.weight_decay,
        max_grad_norm=settings.max_grad_norm,
        gradient_checkpointing=settings.gradient_checkpointing,
        bf16=torch_dtype(cfg.model.dtype) == torch.bfloat16,
        use_cpu=not torch.cuda.is_available(),
        seed=cfg.seed,
        data_seed=cfg.seed,
        disable_dropout=False,  # the base has none already; LoRA's is wanted
        max_length=None,
        save_steps=save_steps,
        save_total_limit=None,  # resume.Marking deletes old ones, after the new one is whole
        logging_steps=settings.log_steps,
        logging_nan_inf_filter=False,  # a NaN stops the run
        report_to="none",
        disable_tqdm=True,
        dataloader_num_workers=0,
        dataloader_pin_memory=torch.cuda.is_available(),
    )


def total_steps(cfg: Config, pairs: int) -> int:
    """Optimizer steps of a whole training, as transformers counts them on one process."""
    batches = math.ceil(pairs / cfg.train.batch_size)
    return math.ceil(math.ceil(batches / cfg.train.accumulation) * cfg.train.epochs)


def _run_fingerprint(cfg: Config, weights: str, data: str) -> str:
    """Names what a checkpoint's numbers depend on; one of another run is not continued."""
    aside = ("name", "keep", "save_steps", "log_steps", "reference_batch_size")
    settings = {name: value for name, value in asdict(cfg.train).items() if name not in aside}
    values = [loss_type(cfg), cfg.beta, cfg.lr, cfg.seed, str(torch_dtype(cfg.model.dtype))]
    return fingerprint([weights, data, values, settings, asdict(cfg.model.lora)])


def _without_dropout(model: Any) -> None:
    from torch import nn

    for module in model.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0


def _attach(trainer: Any, cfg: Config, run: str, log: Log, advance: Callable[[int], None]) -> None:
    """Callbacks: marked checkpoints, logged steps, the bar; transformers' printing is taken out."""
    from transformers import PrinterCallback, TrainerCallback

    from mmdpo.training.resume import Marking

    class Reporting(TrainerCallback):
        def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **kwargs: Any) -> None:
            if "loss" in logs:  # the last log of all holds the totals instead
                log(_clean(logs), state.global_step)

        def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            advance(1)

    trainer.remove_callback(PrinterCallback)
    trainer.add_callback(Marking(run, cfg.train.keep))
    trainer.add_callback(Reporting())


def _clean(logs: dict[str, Any]) -> dict[str, float]:
    return {name: float(value) for name, value in logs.items() if name not in (*LOOP_TOTALS, "step")}
