"""Fitting of a training to its device: the plan that it runs with, and smaller ones if memory runs out."""

from __future__ import annotations

import gc
import importlib.util
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from mmdpo.config.choices import FITTED
from mmdpo.console import print_line
from mmdpo.errors import UserError
from mmdpo.files import read_json, write_json
from mmdpo.models.library_output import suppress_library_output
from mmdpo.models.loading import torch_dtype
from mmdpo.training.distributed import rank, world_size
from mmdpo.training.fit.choose import Choice, choose
from mmdpo.training.fit.memory import GIB, Predictor
from mmdpo.training.fit.micro_batches import MicroBatches
from mmdpo.training.fit.plan import BATCH, RECOMPUTE, Plan, Steps, kept_settings, smaller
from mmdpo.training.fit.weights import UpdateWeights
from mmdpo.training.memory import is_out_of_memory, out_of_memory_advice

if TYPE_CHECKING:
    from mmdpo.training.collate import Collator
    from mmdpo.training.rows import Row
    from mmdpo.training.settings import TrainingSettings

FILE = "plan.json"  # beside a run's checkpoints
CONTEXT_GIB = 0.6  # of a GPU, taken by CUDA and its libraries
USABLE = 0.94  # of the rest; torch's allocator leaves gaps

Result = TypeVar("Result")


@dataclass(frozen=True)
class Fit:
    """The plan of a training.

    Attributes:
        plan: The plan.
        reason: Why it was chosen, in one line; empty if the configured values are kept.
        acts: Whether `train.fit` acts on this device.
        out_of_memory: How often memory ran out, with larger plans.
        predicted_gib: Predicted peak memory; None if it was not predicted.
    """

    plan: Plan
    reason: str = ""
    acts: bool = False
    out_of_memory: int = 0
    predicted_gib: float | None = None

    def summary(self) -> dict[str, Any]:
        """Return what training.json records; nothing where `train.fit` does not act."""
        if not self.acts:
            return {}
        return {
            **asdict(self.plan),
            "predicted_peak_gib": self.predicted_gib,
            "out_of_memory": self.out_of_memory,
        }


@dataclass
class Fitting:
    """The fit of one training, kept in the folder of its checkpoints for when it is resumed.

    Attributes:
        settings: Settings of the training, as configured.
        rows: Its rows.
        collator: Makes batches of them.
        folder: Folder of the checkpoints.
        run: Fingerprint of the run, by which its plan is recognized.
    """

    settings: TrainingSettings
    rows: Sequence[Row]
    collator: Collator
    folder: Path
    run: str
    fit: Fit = field(init=False)

    def __post_init__(self) -> None:
        """Take the plan of the run if it has been started, or choose one, and say which."""
        self.steps = steps_of(self.settings, len(self.rows))
        limit = memory_limit(self.settings)
        configured = Plan.of(self.settings.train)
        if limit is None:
            self.fit = Fit(configured)
            return
        self.fit = self._begun() or chosen(self.settings, self.steps, self.rows, self.collator, limit)
        if rank() == 0:
            print_line(f"train.fit=auto: {self.fit.reason}")

    def run_fitted(self, train: Callable[[TrainingSettings], Result]) -> Result:
        """Train with the plan; after an out-of-memory error, again with a smaller one, from the last checkpoint.

        Several processes cannot repair an exchange that one of them has left: their smaller plan is written, and the
        same command continues with it.

        Args:
            train: Trains with the settings that it gets.

        Returns:
            What `train` returns. Raises UserError if memory runs out and no smaller plan gives the same steps.
        """
        while True:
            self._write()
            plan = self.fit.plan
            fitted = replace(self.settings, train=plan.applied(self.settings.train))
            try:
                return train(fitted)
            except (RuntimeError, MemoryError) as error:
                if not is_out_of_memory(error):
                    raise
                less = (
                    smaller(plan, self.steps, kept_settings(self.settings.method, self.settings.train))
                    if self.fit.acts
                    else None
                )
                if less is None:
                    raise UserError(out_of_memory_advice(fitted, str(error))) from error
                message = str(error).splitlines()[0] if str(error) else "no details"
            count = self.fit.out_of_memory + 1
            self.fit = replace(self.fit, plan=less, out_of_memory=count, reason=f"{less}, as a larger one did not fit")
            line = f"out of memory with {plan} ({message})"
            if world_size() > 1:
                self._write(all_ranks=True)
                raise UserError(f"{line}. Rerun the same command: it continues with {less}.")
            print_line(f"train.fit=auto: {line}; continuing from the last checkpoint with {less}")
            _free()

    def update_weights(self) -> UpdateWeights | None:
        """Return the weights of micro-batches that are smaller than configured; None if none are needed."""
        size = self.fit.plan.per_device_train_batch_size
        smaller_ones = size < self.steps.micro_batch and not self.steps.by_token and self.steps.processes == 1
        return UpdateWeights(self.steps, size) if smaller_ones else None

    def _begun(self) -> Fit | None:
        """Return the plan with which this run was started, if it was."""
        try:
            content = read_json(self.folder / FILE)
            if content["run"] != self.run:
                return None
            plan = Plan(**{name: content["plan"][name] for name in FITTED})
            predicted = content["predicted_gib"]
            count = int(content["out_of_memory"])
        except (OSError, ValueError, TypeError, KeyError):
            return None
        return Fit(plan, f"{plan}, as this run was started", True, count, predicted)

    def _write(self, all_ranks: bool = False) -> None:
        if self.fit.acts and (all_ranks or rank() == 0):
            content = {
                "run": self.run,
                "plan": asdict(self.fit.plan),
                "predicted_gib": self.fit.predicted_gib,
                "out_of_memory": self.fit.out_of_memory,
            }
            self.folder.mkdir(parents=True, exist_ok=True)
            write_json(self.folder / FILE, content)


def steps_of(settings: TrainingSettings, rows: int) -> Steps:
    """Return the steps of a training as configured."""
    micro_batch, accumulation = (getattr(settings.train, name) for name in BATCH)
    return Steps(rows, micro_batch, accumulation, world_size(), by_token=settings.trains_on_answers)


def memory_limit(settings: TrainingSettings) -> int | None:
    """Return the bytes that a plan may use on this process's device; None if `train.fit` does not act on it.

    A CPU is fitted only with `train.memory_gib`, which then limits the model and its tensors, not the libraries.
    """
    import torch

    train = settings.train
    if train.fit == "off":
        return None
    if not torch.cuda.is_available():
        return None if train.memory_gib is None else int(train.memory_gib * GIB)
    whole = torch.cuda.get_device_properties(0).total_memory / GIB
    return usable(whole if train.memory_gib is None else min(whole, train.memory_gib))


def usable(gib: float) -> int:
    """Return the bytes of a GPU's memory that the tensors of a plan may use."""
    return int(max(0.0, gib - CONTEXT_GIB) * USABLE * GIB)


def has_deepspeed() -> bool:
    """Return whether ZeRO can be used."""
    return importlib.util.find_spec("deepspeed") is not None


def chosen(settings: TrainingSettings, steps: Steps, rows: Sequence[Row], collator: Collator, limit: int) -> Fit:
    """Choose the plan of a training.

    Args:
        settings: Settings of the training, as configured.
        steps: The steps as configured.
        rows: The rows.
        collator: Makes batches of them.
        limit: Bytes that a process may use.

    Returns:
        The fit; the configured plan if the model cannot be run without weights.
    """
    import torch

    from mmdpo.training.fit.meta import Device

    if settings.model.quantization is not None:
        return quantized(settings)
    configured, kept = Plan.of(settings.train), kept_settings(settings.method, settings.train)
    device = Device(torch.cuda.is_available(), torch_dtype(settings.model.dtype))
    predictor = Predictor(settings.model, MicroBatches.of(settings, steps, rows, collator), device)
    try:
        with suppress_library_output():
            choice = choose(configured, steps, kept, predictor, limit, has_deepspeed())
    except UserError:
        raise
    except Exception as error:  # architectures fail without values in different ways
        return _as_configured(configured, f"the memory of this architecture cannot be predicted ({error})")
    return Fit(choice.plan, _reason(choice, configured), True, 0, round(choice.peak.total / GIB, 2))


def quantized(settings: TrainingSettings) -> Fit:
    """Return the fit of a training on 4-bit weights: the configured plan."""
    reason = f"memory of 4-bit weights (model.quantization={settings.model.quantization}) is not predicted"
    return _as_configured(Plan.of(settings.train), reason)


def _as_configured(configured: Plan, reason: str) -> Fit:
    """Return the fit of a training whose memory is not predicted, with what to type for another one."""
    others = " ".join(f"train.{name}=" for name in (*BATCH, RECOMPUTE))
    return Fit(configured, f"the configured {configured}, as {reason}. For another plan, type {others}", acts=True)


def _reason(choice: Choice, configured: Plan) -> str:
    """Say what was chosen and what was configured."""
    same = choice.plan == configured
    return f"{choice}{'' if same else f'. Configured are {configured}; values that you type are kept'}"


def _free() -> None:
    """Free what a failed training has left."""
    import torch

    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
