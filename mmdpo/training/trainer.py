"""TRL's DPOTrainer, taught to take reference log-probs for vision data that were computed beforehand."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from datasets import Dataset
from trl import DPOConfig, DPOTrainer

from mmdpo.errors import UserError
from mmdpo.training.collate import PreferenceCollator
from mmdpo.training.resume import last_complete
from mmdpo.training.rows import Row

if TYPE_CHECKING:
    from peft import LoraConfig
    from transformers import PreTrainedModel, TrainerCallback


class PreferenceTrainer(DPOTrainer):
    """Trains LoRA on `rows` that carry `ref_chosen_logps` and `ref_rejected_logps`.

    Losses and metrics are TRL's own code. What differs: TRL refuses precomputed reference log-probs
    for vision data, so it is told of them only after it is built; text is tokenised before and not
    in each step; a loss or gradient that is not finite stops the run; checkpoints hold what resuming
    needs and no copy of the processor; nothing is sent anywhere.
    """

    def __init__(
        self,
        model: PreTrainedModel,
        args: DPOConfig,
        rows: Sequence[Row],
        processor: Any,
        peft_config: LoraConfig,
        callbacks: Sequence[TrainerCallback] = (),
    ) -> None:
        args.precompute_ref_log_probs = False
        args.remove_unused_columns = False  # the collator knows its columns
        super().__init__(
            model=model,
            args=args,
            data_collator=PreferenceCollator(processor),
            train_dataset=Dataset.from_list(list(rows)),
            processing_class=processor,
            callbacks=list(callbacks),
            peft_config=peft_config,
        )
        self.precompute_ref_logps = True
        self._pairs_since, self._time_since = 0, time.monotonic()

    def compute_loss(
        self,
        model: Any,
        inputs: dict[str, Any],
        return_outputs: bool = False,
        num_items_in_batch: torch.Tensor | int | None = None,
    ) -> Any:
        """TRL's loss. Raises UserError where it is NaN or infinite."""
        ids = inputs.pop("rows")
        self._pairs_since += len(ids)
        loss = super().compute_loss(model, inputs, return_outputs, num_items_in_batch)
        self._stop_unless_finite("loss", float((loss[0] if return_outputs else loss).detach()), ids)
        return loss

    def _get_grad_norm(self, model: Any, grad_norm: Any = None) -> Any:
        norm = super()._get_grad_norm(model, grad_norm)
        self._stop_unless_finite("gradient norm", float(norm), [])  # before it reaches the weights
        return norm

    def _stop_unless_finite(self, what: str, value: float, ids: Sequence[str]) -> None:
        if math.isfinite(value):
            return
        last = last_complete(self.args.output_dir)
        rows = f" Rows of the batch: {', '.join(ids)}." if ids else ""
        raise UserError(
            f"Step {self.state.global_step + 1}: the {what} is {value}.{rows} Last good checkpoint: "
            f"{last.path if last else 'none yet'}. Type a smaller lr=, or model.dtype=float32."
        )

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """TRL's metrics and the speed since the last log."""
        now = time.monotonic()
        if self._pairs_since:
            logs["pairs_per_second"] = self._pairs_since / max(now - self._time_since, 1e-9)
        self._pairs_since, self._time_since = 0, now
        super().log(logs, start_time)

    def _save(self, output_dir: str | None = None, state_dict: dict[str, Any] | None = None) -> None:
        save_adapter(
            self.accelerator.unwrap_model(self.model), output_dir or self.args.output_dir, state_dict
        )

    def floating_point_ops(self, inputs: dict[str, Any]) -> int:
        """None are counted: it walks all parameters in each step, and nobody reads the number."""
        return 0

    def create_model_card(self, *args: Any, **kwargs: Any) -> None:
        """No card beside checkpoints."""

    def _send_telemetry(self) -> None:
        pass


def save_adapter(model: Any, folder: str, state_dict: dict[str, Any] | None = None) -> None:
    """Write the adapter in PEFT format, without PEFT's blank model card.

    The embeddings are never trained, so the hub isn't asked about them.
    """
    model.save_pretrained(folder, state_dict=state_dict, save_embedding_layers=False)
    (Path(folder) / "README.md").unlink(missing_ok=True)
