"""The recipe: examples and a base model become a LoRA adapter. Read `train_adapter` from top to bottom."""

from __future__ import annotations

import gc
import shutil
import time
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mmdpo.config.losses import weighted_losses
from mmdpo.console import print_line, progress
from mmdpo.errors import UserError
from mmdpo.files import atomic_write
from mmdpo.models.adapter_files import check_adapter_weights
from mmdpo.models.fingerprints import weights_fingerprint
from mmdpo.models.library_output import suppress_library_output
from mmdpo.models.quantization import load_training_base
from mmdpo.signals import training_loop
from mmdpo.timings import timed
from mmdpo.training.amounts import training_amounts, training_kind
from mmdpo.training.causality import require_causal
from mmdpo.training.custom_loss import CustomLoss, is_custom_loss
from mmdpo.training.disk import full_disk_advice
from mmdpo.training.distributed import barrier, deepspeed_session, rank, release_deepspeed, world_size
from mmdpo.training.fit.fitting import Fitting
from mmdpo.training.libraries import import_training_libraries
from mmdpo.training.lora import lora
from mmdpo.training.precision import tf32
from mmdpo.training.prepare import TrainingData, prepare
from mmdpo.training.reference import Reference
from mmdpo.training.resume import Checkpoint, continue_from, last_of_run, run_fingerprint
from mmdpo.training.rows import Example
from mmdpo.training.rungs import Rung, keep_rung, step_to_stop_at
from mmdpo.training.schedule import check_schedule, schedule_warnings, total_steps
from mmdpo.training.settings import TrainingSettings
from mmdpo.training.start import StartAdapter, describe_start
from mmdpo.training.trl_config import training_arguments, translate_trl_errors

if TYPE_CHECKING:
    from mmdpo.training.trainer import LoraTrainerMixin

Log = Callable[[dict[str, float], int], None]


@dataclass(frozen=True)
class TrainSummary:
    """Outcome of a training."""

    steps: int
    examples: int  # trained on
    epochs: float
    seconds: float  # of this process, from the call to the saved adapter
    dropped: dict[str, int]  # examples left out, by reason
    lengths: dict[str, Any]  # text tokens per row, and the effect of the limit
    prefix_sharing: bool
    metrics: dict[str, float]  # of the last logged step
    model_fingerprint: str
    data_fingerprint: str
    changed: dict[str, int] = field(default_factory=dict)  # rows whose tokens differ from their texts, by the way
    start: dict[str, str] = field(default_factory=dict)  # the adapter that it started from, its use, the reference
    fit: dict[str, Any] = field(default_factory=dict)  # the plan that `train.fit` ran; empty where it does not act
    prompts: int = 0  # groups of rows that shared a batch and computed their prompt once; 0 for separate rows
    processes: int = 1  # that trained together


def train_adapter(
    settings: TrainingSettings,
    examples: Sequence[Example],
    image_root: Path,
    folder: Path,
    log: Log,
    resumed: Callable[[int], None],
    reference_logps: Reference | None = None,
    rung: Rung | None = None,
) -> TrainSummary:
    """Train a LoRA adapter and write it to `folder`/adapter in PEFT format.

    With a rung, the training stops there, and leaves a checkpoint and the adapter of that step. The next call continues
    from the checkpoint.

    If several processes train together, each calls this, and the first one writes.

    Args:
        settings: Settings of the training.
        examples: Preference pairs, labelled answers or SFT examples, as the method needs them.
        image_root: Folder of the images.
        folder: Folder of the point, for checkpoints and the adapter.
        log: Called as `log(metrics, step)` for each logged step.
        resumed: Called once before the first step with the step of the checkpoint that training resumes from, or 0.
            Later steps are logged again.
        reference_logps: Reference log-probs of these pairs, and possibly others. None takes them from the cache, or
            computes them, for these pairs alone.
        rung: The place to stop at, if it is before the end; None for the end.

    Returns:
        The outcome; at a rung that of the steps so far.

    Raises:
        UserError: No example can be used, nothing would be or was learned, a loss or gradient is not finite, or
            memory or disk are full.
        Interrupted: The process was asked to stop; a checkpoint has been saved.
    """
    started = time.monotonic()
    settings = _without_zero_if_single(settings)
    checkpoints = folder / "checkpoints"
    with suppress_library_output():
        gc.collect()  # the last point's trainer and model hold each other in a cycle
        import_training_libraries()
        data = prepare(settings, examples, image_root, reference_logps)
        rows = len(data.tokenized.rows)
        check_schedule(settings.train, rows, world_size())
        for warning in schedule_warnings(settings.train, rows, world_size()):
            print_line(warning)
        weights = weights_fingerprint(settings.model.path)
        run = run_fingerprint(settings, weights, data.batches_fingerprint)
        last = step_to_stop_at(settings.train, rung, rows, world_size()) if rung is not None else None
        fitting = Fitting(settings, data.tokenized.rows, data.collator, checkpoints, run)

        def train(fitted: TrainingSettings) -> LoraTrainerMixin:
            # Before the model is loaded: with these arguments, ZeRO-3 partitions it while it is loaded.
            args = training_arguments(fitted, checkpoints)
            with deepspeed_session(fitted.train), full_disk_advice(folder):
                start = _start(fitted)
                trainer = _make_trainer(fitted, args, data, start)
                trainer.update_weights = fitting.update_weights()
                checkpoint = _find_checkpoint(checkpoints, run)
                resumed(checkpoint.step if checkpoint else 0)
                with release_deepspeed(trainer), tf32(fitted.train.tf32):
                    with timed(training_kind(settings.method, settings.model, settings.train)) as block:
                        _run_loop(trainer, fitted, run, checkpoint, log, last)
                        done = trainer.state.global_step - (checkpoint.step if checkpoint else 0)
                        # By the batches that were asked for: a prediction knows no others.
                        block.amounts |= training_amounts(settings.train, data.tokenized.examples, world_size(), done)
                        block.recorded = done > 0
                    if last is None:
                        _save(trainer, folder / "adapter", start)
                    barrier()
            return trainer

        trainer = fitting.run_fitted(train)
        if rank() == 0 and rung is not None and last is not None:
            keep_rung(last_of_run(checkpoints, run), last, rung)
        elif rank() == 0:
            shutil.rmtree(checkpoints, ignore_errors=True)
        summary = _summary(trainer, data, weights, time.monotonic() - started)
        return replace(summary, start=describe_start(settings), fit=fitting.fit.summary())


def _without_zero_if_single(settings: TrainingSettings) -> TrainingSettings:
    """Turn ZeRO off for a single process, which has nobody to share weights and states with."""
    if settings.train.zero_stage == 0 or world_size() > 1:
        return settings
    print_line(f"train.zero_stage={settings.train.zero_stage} needs several processes; training without DeepSpeed")
    return replace(settings, train=replace(settings.train, zero_stage=0))


def _start(settings: TrainingSettings) -> StartAdapter | None:
    """Return the adapter that the training starts from, if any, and print it with its use and the reference."""
    if settings.model.adapter is None:
        return None
    facts = describe_start(settings)
    reference_model = f", method.reference={facts['reference']}" if "reference" in facts else ""
    print_line(f"starting from {settings.model.adapter}: model.adapter_use={facts['use']}{reference_model}")
    return StartAdapter(settings.model)


def _make_trainer(
    settings: TrainingSettings, args: Any, data: TrainingData, start: StartAdapter | None
) -> LoraTrainerMixin:
    """Load the model to start from and build its trainer, which adds the LoRA layers."""
    from transformers import set_seed

    from mmdpo.training.kto_trainer import LoraKTOTrainer
    from mmdpo.training.labelled import LabelledCollator
    from mmdpo.training.trainer import LoraDPOTrainer, LoraSFTTrainer

    model = start.load() if start else load_training_base(settings.model)
    require_causal(model, data.collator.processor, data.tokenized.rows, settings.model.path)
    set_seed(settings.seed)  # after loading: a model from the cache draws no random numbers
    _disable_dropout(model)
    rows, collator = data.tokenized.rows, data.collator
    adapter = lora(model, settings.model), settings.model.projector_lr
    trainer: LoraTrainerMixin
    with translate_trl_errors(settings.train):
        if settings.trains_on_labels:
            assert isinstance(collator, LabelledCollator)
            trainer = LoraKTOTrainer(model, args, rows, collator, *adapter)
        elif not settings.trains_on_pairs:
            trainer = LoraSFTTrainer(model, args, rows, collator, *adapter)
        else:
            weights = weighted_losses(settings.method)
            custom = {CustomLoss(name): weights[name] for name in weights if is_custom_loss(name)}
            trainer = LoraDPOTrainer(model, args, rows, collator, *adapter)
            trainer.custom_losses = custom
    trainer.errors_named = partial(translate_trl_errors, settings.train)
    if start:
        start.begin(trainer.model)
    return trainer


def _find_checkpoint(checkpoints: Path, run: str) -> Checkpoint | None:
    """Find the checkpoint to resume from; the first process deletes those that cannot be used."""
    found = continue_from(checkpoints, run) if rank() == 0 else None
    barrier()
    return found if rank() == 0 else last_of_run(checkpoints, run)


def _run_loop(
    trainer: Any, settings: TrainingSettings, run: str, checkpoint: Checkpoint | None, log: Log, last: int | None
) -> None:
    """Run the training loop to its end or to a step. Raises Interrupted if the process was asked to stop."""
    from transformers import PrinterCallback, TrainerState

    from mmdpo.training.callbacks import MarkCompleteCheckpoint, ReportSteps, StopAtRung, StopWhenAsked
    from mmdpo.training.scoring import shared_attention

    attention = shared_attention(trainer.model.get_base_model()) if trainer.data_collator.shared else nullcontext()
    if last is not None and checkpoint is not None and checkpoint.step >= last:
        trainer.state = TrainerState.load_from_json(str(checkpoint.path / "trainer_state.json"))
        return
    stop = StopWhenAsked()
    bar = progress("training", total_steps(settings.train, len(trainer.train_dataset), world_size()))
    with attention, bar as advance:
        trainer.remove_callback(PrinterCallback)
        trainer.add_callback(MarkCompleteCheckpoint(run, settings.train.save_total_limit))
        trainer.add_callback(ReportSteps(log, advance))
        trainer.add_callback(StopAtRung(last))
        trainer.add_callback(stop)
        advance(checkpoint.step if checkpoint else 0)
        with training_loop():
            trainer.train(resume_from_checkpoint=str(checkpoint.path) if checkpoint else None)
    stop.raise_if_asked()


def _save(trainer: Any, adapter: Path, start: StartAdapter | None) -> None:
    """Write the complete adapter or nothing; with ZeRO-3, all processes take part in gathering it.

    Raises UserError for an adapter that the training has not changed.
    """
    if rank() == 0:
        with atomic_write(adapter) as partial:
            trainer.save_model(str(partial))
            _check_trained(partial, adapter)
            if start:
                start.finish(trainer.model, partial)
    else:
        trainer.save_model(str(adapter))


def _check_trained(partial: Path, adapter: Path) -> None:
    try:
        check_adapter_weights(partial)
    except UserError as error:
        reason = str(error).replace(str(partial), str(adapter))
        raise UserError(
            f"the training was without effect: {reason}; type a larger lr= or train.num_train_epochs="
        ) from error


def _summary(trainer: Any, data: TrainingData, weights: str, seconds: float) -> TrainSummary:
    from mmdpo.training.callbacks import step_metrics

    history = [step_metrics(entry) for entry in trainer.state.log_history if "loss" in entry]
    return TrainSummary(
        steps=trainer.state.global_step,
        examples=len(data.tokenized.rows),
        epochs=round(float(trainer.state.epoch or 0.0), 6),
        seconds=round(seconds, 3),
        dropped=data.tokenized.dropped,
        lengths=asdict(data.tokenized.lengths),
        prefix_sharing=data.collator.shared,
        metrics=history[-1] if history else {},
        model_fingerprint=weights,
        data_fingerprint=data.fingerprint,
        changed=data.tokenized.changed,
        prompts=data.prompts,
        processes=world_size(),
    )


def _disable_dropout(model: Any) -> None:
    """Set the base model's dropout to 0; the LoRA layers, which get their own, are added later."""
    from torch import nn

    for module in model.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0
