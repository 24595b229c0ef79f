"""The recipe: examples and a base model become a LoRA adapter. Read `train` from top to bottom."""

from __future__ import annotations

import functools
import gc
import shutil
import time
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mmdpo.config.choices import TrainOn
from mmdpo.console import print_line, progress
from mmdpo.files import atomic_write, fingerprint
from mmdpo.models.fingerprints import processor_fingerprint, weights_fingerprint
from mmdpo.models.library_output import suppress_library_output
from mmdpo.models.loading import load_model, load_processor, torch_dtype
from mmdpo.signals import training_loop
from mmdpo.training.collate import Collator, Kept
from mmdpo.training.disk import full_disk_advice
from mmdpo.training.distributed import barrier, deepspeed_freed, deepspeed_ready, rank, world_size
from mmdpo.training.lora import lora
from mmdpo.training.memory import out_of_memory_advice
from mmdpo.training.reference import Reference, add_reference, reference
from mmdpo.training.rows import Example, Tokenised, contents, tokenised
from mmdpo.training.trl_config import dpo_config, loss_type, sft_config, total_steps

if TYPE_CHECKING:
    from mmdpo.config.schema import Config

Log = Callable[[dict[str, float], int], None]

LOOP_TOTALS = ("num_tokens", "total_flos")  # counted anew after a resume, so not reported


@dataclass(frozen=True)
class TrainSummary:
    """How a training went."""

    steps: int
    examples: int  # trained on
    epochs: float
    seconds: float  # of this process, from its call to the saved adapter
    dropped: dict[str, int]  # examples left out, by reason
    lengths: dict[str, Any]  # text tokens a row, and what the limit did
    prefix_sharing: bool
    metrics: dict[str, float]  # of the last logged step
    model_fingerprint: str
    data_fingerprint: str


def train(
    cfg: Config,
    examples: Sequence[Example],
    image_root: Path,
    folder: Path,
    log: Log,
    resumed: Callable[[int], None],
    known: Reference | None = None,
) -> TrainSummary:
    """Train on `examples` and leave the adapter in `folder`/adapter, in PEFT format.

    `log(metrics, step)` is called for each logged step; before the first of them, `resumed(step)` once,
    with the step of the checkpoint that training goes on from, or 0: later ones are logged again.
    `known` holds the reference log-probs of these pairs and any others; without it they are looked up,
    or computed, for these pairs alone. Of several processes each calls this; the first one writes.
    Raises UserError for data without a usable example, for a loss or gradient that is not finite, for
    memory or a disk that is full; stopping.Interrupted, with a checkpoint saved, where the cluster asks.
    """
    started = time.monotonic()
    if cfg.train.zero_stage and world_size() == 1:
        print_line(
            f"train.zero_stage={cfg.train.zero_stage}: a process alone shares with none, so DeepSpeed is left out"
        )
        cfg = replace(cfg, train=replace(cfg.train, zero_stage=0))
    preferences = cfg.method.train_on is TrainOn.pairs
    with suppress_library_output():
        from transformers import set_seed

        from mmdpo.training.resume import StopWhenAsked, continue_from
        from mmdpo.training.scoring import shared_attention
        from mmdpo.training.trainer import LoraDPOTrainer, LoraSFTTrainer

        gc.collect()  # the last point's trainer and model hold each other
        _freeze_libraries()
        processor = load_processor(cfg.model)
        rows = _rows(cfg, examples, image_root, processor)
        made, data = rows.made, rows.data
        print_line(str(made.lengths))
        shared = False
        if preferences:
            known = known or reference(cfg, examples, image_root)
            add_reference(cfg, made, known)
            shared = known.sharing.holds
            if known.sharing.reason:
                print_line(f"prefix sharing is off, each answer gets its own row: {known.sharing.reason}")
        collator = Collator(processor, shared=shared, image_always=world_size() > 1, kept=rows.kept)

        weights = weights_fingerprint(cfg.model.path)
        run = _run_fingerprint(cfg, weights, data)
        checkpoints = folder / "checkpoints"
        # Before the model: ZeRO-3 partitions it while it is loaded.
        settings = (dpo_config if preferences else sft_config)(cfg, checkpoints)
        with deepspeed_ready(cfg.train), out_of_memory_advice(cfg), full_disk_advice(folder):
            model = load_model(cfg.model.path, cfg.model.dtype)
            set_seed(cfg.seed)  # after it: a model in memory draws no random numbers
            _without_dropout(model)  # LoRA's own is made later, with lora()
            adapter = lora(model, cfg.model)
            trainer: Any = (LoraDPOTrainer if preferences else LoraSFTTrainer)(
                model, settings, made.rows, collator, adapter, cfg.model.projector_lr
            )
            if rank() == 0:
                continue_from(checkpoints, run)  # deletes what cannot be used
            barrier()
            start = continue_from(checkpoints, run)
            resumed(start.step if start else 0)
            attention = shared_attention(model) if shared else nullcontext()
            stop = StopWhenAsked()
            bar = progress("training", total_steps(cfg, len(made.rows)))
            with deepspeed_freed(trainer), attention, bar as advance:
                _attach(trainer, cfg, run, log, advance)
                trainer.add_callback(stop)
                advance(start.step if start else 0)
                with training_loop():
                    trainer.train(resume_from_checkpoint=str(start.path) if start else None)
                stop.raise_if_asked()
                _save(trainer, folder / "adapter")
                barrier()
        if rank() == 0:
            shutil.rmtree(checkpoints, ignore_errors=True)
        history = [_clean(entry) for entry in trainer.state.log_history if "loss" in entry]
        return TrainSummary(
            steps=trainer.state.global_step,
            examples=len(made.rows),
            epochs=round(float(trainer.state.epoch or 0.0), 6),
            seconds=round(time.monotonic() - started, 3),
            dropped=made.dropped,
            lengths=asdict(made.lengths),
            prefix_sharing=shared,
            metrics=history[-1] if history else {},
            model_fingerprint=weights,
            data_fingerprint=data,
        )


@dataclass(frozen=True)
class _Rows:
    """The rows of examples, what names their content, and what the collator keeps of them."""

    made: Tokenised
    data: str
    kept: Kept


_LAST: dict[str, _Rows] = {}


def _rows(cfg: Config, examples: Sequence[Example], image_root: Path, processor: Any) -> _Rows:
    """The rows of the examples.

    The last ones are kept: the points of a sweep that one process trains mostly have the same.
    """
    limits = [cfg.train.max_text_tokens, cfg.train.too_long.value]
    key = fingerprint([contents(examples, image_root), processor_fingerprint(cfg.model), limits])
    if key not in _LAST:
        _LAST.clear()
        made = tokenised(examples, image_root, processor, cfg.train)
        _LAST[key] = _Rows(made, fingerprint(contents(made.examples, image_root)), {})
    last = _LAST[key]
    rows = [dict(row) for row in last.made.rows]  # reference log-probs come into them
    return replace(last, made=replace(last.made, rows=rows))


def _run_fingerprint(cfg: Config, weights: str, data: str) -> str:
    """Names what a checkpoint's numbers depend on; one of another run is not continued."""
    aside = (
        *("name", "save_total_limit", "save_steps", "logging_steps"),
        *("precompute_ref_batch_size", "dataloader_num_workers"),
    )
    settings = {name: value for name, value in asdict(cfg.train).items() if name not in aside}
    settings["too_long"] = cfg.train.too_long.value
    method = cfg.method
    values = [
        *(loss_type(cfg), cfg.beta, cfg.lr, cfg.seed, str(torch_dtype(cfg.model.dtype)), world_size()),
        *(method.label_smoothing, method.fine_grained and method.fine_grained_weight),
        *(processor_fingerprint(cfg.model), cfg.model.train_projector and cfg.model.projector_lr),
    ]
    return fingerprint([weights, data, values, settings, asdict(cfg.model.lora)])


@functools.cache
def _freeze_libraries() -> None:
    """Spare collections, as accelerate's, what is loaded. Once: a trainer that is frozen along would stay."""
    gc.freeze()


def _without_dropout(model: Any) -> None:
    from torch import nn

    for module in model.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0


def _save(trainer: Any, adapter: Path) -> None:
    """Write the adapter whole or not at all; with ZeRO-3 all processes help to gather it."""
    if rank() == 0:
        with atomic_write(adapter) as aside:
            trainer.save_model(str(aside))
    else:
        trainer.save_model(str(adapter))


def _attach(trainer: Any, cfg: Config, run: str, log: Log, advance: Callable[[int], None]) -> None:
    """Callbacks: marked checkpoints, logged steps, the bar; transformers' printing is taken out."""
    from transformers import PrinterCallback, TrainerCallback

    from mmdpo.training.resume import MarkCompleteCheckpoint

    class Reporting(TrainerCallback):
        def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **kwargs: Any) -> None:
            if "loss" in logs:  # the last log of all holds the totals instead
                log(_clean(logs), state.global_step)

        def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            advance(1)

    trainer.remove_callback(PrinterCallback)
    trainer.add_callback(MarkCompleteCheckpoint(run, cfg.train.save_total_limit))
    trainer.add_callback(Reporting())


def _clean(logs: dict[str, Any]) -> dict[str, float]:
    return {name: float(value) for name, value in logs.items() if name not in (*LOOP_TOTALS, "step")}
