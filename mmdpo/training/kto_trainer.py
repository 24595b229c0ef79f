"""TRL's KTO trainer for our batches."""

from __future__ import annotations

from typing import Any

import torch
from trl import KTOTrainer

from mmdpo.training.scoring import PER_TOKEN
from mmdpo.training.trainer import LoraTrainerMixin, answer_inputs


class LoraKTOTrainer(LoraTrainerMixin, KTOTrainer):
    """Trainer of LoRA on labelled answers: rows of `labelled.labelled_rows`.

    TRL computes loss and metrics: it gets the answers' log-probs as if its model call had returned them, and those of
    the KL term, of which no gradient is taken. Both come from one call of the model.
    """

    _kl_logps: torch.Tensor  # [B], of the batch

    def _prepare_model(self) -> None:
        super()._prepare_model()
        self.precompute_ref_logps = True  # TRL refuses it for vision data

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
