"""TRL's KTO trainer for our batches."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch
from datasets import Dataset
from trl import KTOConfig, KTOTrainer

from mmdpo.training.rows import Row
from mmdpo.training.scoring import PER_TOKEN
from mmdpo.training.trainer import LoraTrainerMixin, answer_inputs

if TYPE_CHECKING:
    from peft import LoraConfig
    from transformers import PreTrainedModel

    from mmdpo.training.labelled import LabelledCollator


class LoraKTOTrainer(LoraTrainerMixin, KTOTrainer):
    """Trainer of LoRA on labelled answers: rows of `labelled.labelled_rows`.

    TRL computes loss and metrics: it gets the answers' log-probs as if its model call had returned them, and those of
    the KL term, of which no gradient is taken. Both come from one call of the model.
    """

    _kl_logps: torch.Tensor  # [B], of the batch

    def __init__(
        self,
        model: PreTrainedModel,
        args: KTOConfig,
        rows: Sequence[Row],
        collator: LabelledCollator,
        peft_config: LoraConfig,
        projector_lr: float,
    ) -> None:
        """Build the trainer and add the LoRA layers to the model.

        Args:
            model: The base model.
            args: TRL's training arguments.
            rows: Rows to train on, in order.
            collator: Makes batches of rows.
            peft_config: The LoRA layers.
            projector_lr: Learning rate of the projector, if it is trained.
        """
        args.precompute_ref_log_probs = False
        args.remove_unused_columns = False  # the collator needs all columns
        self.projector_lr = projector_lr
        super().__init__(
            model=model,
            args=args,
            data_collator=collator,
            train_dataset=Dataset.from_list(list(rows)),
            processing_class=collator.processor,
            peft_config=peft_config,
        )
        self._prepare_model()
        self.precompute_ref_logps = True

    def _compute_loss(self, model: Any, inputs: dict[str, Any], return_outputs: bool) -> Any:
        self._count_rows(inputs)
        outputs = self.scorer(model, inputs)
        count = len(inputs["rows"])
        self._kl_logps = outputs.log_probs[count:].sum(dim=1).detach()
        for name in PER_TOKEN:
            values = getattr(outputs, name)
            setattr(outputs, name, None if values is None else values[:count])
        labels = {name: inputs[name] for name in ("label", "ref_logps", "ref_KL_logps")}
        answers = answer_inputs(inputs["completion_mask"][:count]) | labels
        result = super()._compute_loss(lambda **_: outputs, answers, return_outputs)
        loss = result[0] if return_outputs else result
        self._count_below_reference(outputs.log_probs.detach().sum(dim=1), inputs)
        self._stop_unless_finite("loss", float(loss.detach()), inputs["rows"])
        return result

    def _compute_kl_logps(self, model: Any, batch: dict[str, Any]) -> torch.Tensor:
        return self._kl_logps

    def _count_below_reference(self, logps: torch.Tensor, inputs: dict[str, Any]) -> None:
        """Log the share of the desirable answers that are less likely than under the reference model."""
        label = inputs["label"]
        below = ((logps < inputs["ref_logps"]) & label).sum()
        counts = self.accelerator.gather(torch.stack([below, label.sum()])[None]).sum(dim=0)
        if counts[1]:
            self._metrics["train"]["logps/chosen_below_reference"].append(float(counts[0] / counts[1]))
