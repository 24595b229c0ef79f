"""TRL's trainers, taught our batches: a shared prefix, reference log-probs made beforehand, any image."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch
from datasets import Dataset
from transformers import Trainer
from trl import DPOConfig, DPOTrainer, SFTConfig, SFTTrainer

from mmdpo.errors import UserError
from mmdpo.training.lora_forward import speed_up
from mmdpo.training.memory import peak_memory
from mmdpo.training.prefix import to_device
from mmdpo.training.resume import last_complete
from mmdpo.training.rows import Row
from mmdpo.training.scoring import Scorer

if TYPE_CHECKING:
    from peft import LoraConfig
    from transformers import PreTrainedModel

    from mmdpo.training.collate import Collator

ROWS_NAMED = 5  # in a message about a batch


class LoraTrainerMixin(Trainer):
    """What both trainers do apart from TRL's.

    A loss or gradient that is not finite stops the run; speed and memory are logged; a projector that
    is trained beside LoRA has a learning rate of its own; checkpoints hold what resuming needs and no
    copy of the processor; nothing is sent anywhere.
    """

    _rows = _tokens = 0
    _since = 0.0
    scorer: Scorer
    projector_lr: float

    def _prepare_model(self) -> None:
        """Ready for steps what TRL's constructor has made.

        Float32 weights are trained, as LoRA's are: in bfloat16 most steps of a projector would round to
        nothing. DeepSpeed keeps float32 copies of its own.
        """
        for weight in [] if self.is_deepspeed_enabled else self.model.parameters():
            if weight.requires_grad:
                weight.data = weight.data.float()
        speed_up(self.model)
        self.scorer = Scorer(self.model.get_base_model())

    def _prepare_inputs(self, inputs: dict[str, Any]) -> dict[str, Any]:
        """The batch on the device. The model's inputs alone get DeepSpeed's type, which rounds log-probs."""
        others = {name: value for name, value in inputs.items() if name != "model"}
        return {"model": super()._prepare_inputs(inputs["model"]), **to_device(others, self.args.device)}

    def _count(self, batch: dict[str, Any]) -> None:
        inputs = batch["model"]
        self._since = self._since or time.monotonic()
        self._rows += len(batch["rows"])
        self._tokens += int((inputs["segments"] if "segments" in inputs else inputs["attention_mask"]).sign().sum())

    def _get_grad_norm(self, model: Any, grad_norm: Any = None) -> Any:
        norm = super()._get_grad_norm(model, grad_norm)
        self._stop_unless_finite("gradient norm", float(norm), [])  # before it reaches the weights
        return norm

    def _stop_unless_finite(self, what: str, value: float, ids: Sequence[str]) -> None:
        if math.isfinite(value):
            return
        last = last_complete(self.args.output_dir)
        more = f" and {len(ids) - ROWS_NAMED} more" if len(ids) > ROWS_NAMED else ""
        rows = f" Rows of the batch: {', '.join(ids[:ROWS_NAMED])}{more}." if ids else ""
        raise UserError(
            f"Step {self.state.global_step + 1}: the {what} is {value}.{rows} Last good checkpoint: "
            f"{last.path if last else 'none yet'}. Type a smaller lr=, or model.dtype=float32."
        )

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """TRL's metrics, the speed of all processes since the last log, and the peak memory in GiB."""
        now = time.monotonic()
        if self._rows:
            seconds = max(now - self._since, 1e-9) / self.accelerator.num_processes
            logs["rows_per_second"] = self._rows / seconds
            logs["tokens_per_second"] = self._tokens / seconds
            logs["peak_memory_gib"] = peak_memory()
        self._rows, self._tokens, self._since = 0, 0, now
        super().log(logs, start_time)

    def create_optimizer(self, model: Any = None) -> Any:
        """The trainer's own, with the projector's weights in groups of their own."""
        optimizer = super().create_optimizer(model)
        named = (self.model if model is None else model).named_parameters()
        projector = {id(weight) for name, weight in named if ".modules_to_save." in name}
        for group in list(optimizer.param_groups):
            apart = [weight for weight in group["params"] if id(weight) in projector]
            if apart:
                group["params"] = [weight for weight in group["params"] if id(weight) not in projector]
                settings = {name: value for name, value in group.items() if name != "params"}
                optimizer.add_param_group({**settings, "params": apart, "lr": self.projector_lr})
        return optimizer

    def _save(self, output_dir: str | None = None, state_dict: dict[str, Any] | None = None) -> None:
        if self.args.should_save:  # with DeepSpeed all processes come here
            model = self.accelerator.unwrap_model(self.model)
            save_adapter(model, output_dir or self.args.output_dir, state_dict)

    def floating_point_ops(self, inputs: dict[str, Any]) -> int:
        """None are counted: it walks all parameters in each step, and nobody reads the number."""
        return 0

    def create_model_card(self, *args: Any, **kwargs: Any) -> None:
        """No card beside checkpoints."""

    def _send_telemetry(self) -> None:
        pass


class LoraDPOTrainer(LoraTrainerMixin, DPOTrainer):
    """Trains LoRA on rows with two answers that carry `ref_chosen_logps` and `ref_rejected_logps`.

    Losses and metrics are TRL's own code: it is handed the answers' log-probs, however they were laid
    out, as if its model call had returned them. It refuses precomputed reference log-probs for vision
    data, so it is told of them only after it is built.
    """

    def __init__(
        self,
        model: PreTrainedModel,
        args: DPOConfig,
        rows: Sequence[Row],
        collator: Collator,
        peft_config: LoraConfig,
        projector_lr: float,
    ) -> None:
        args.precompute_ref_log_probs = False
        args.remove_unused_columns = False  # the collator knows its columns
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
        self._count(inputs)
        outputs = self.scorer(model, inputs)
        if "weights" in inputs:
            outputs.log_probs = outputs.log_probs * inputs["weights"]
        mask = inputs["completion_mask"]
        answers = {
            "input_ids": torch.zeros_like(mask),  # TRL makes labels of them for its own model call
            "attention_mask": torch.ones_like(mask),
            "completion_mask": mask,
            "ref_chosen_logps": inputs["ref_chosen_logps"],
            "ref_rejected_logps": inputs["ref_rejected_logps"],
        }
        loss = super()._compute_loss(lambda **_: outputs, answers, return_outputs)
        chosen = outputs.log_probs.detach()[: len(inputs["rows"])].sum(dim=1)
        below = self.accelerator.gather((chosen < inputs["ref_chosen_logps"]).float()).mean()
        self._metrics["train"]["logps/chosen_below_reference"].append(float(below))
        value = loss[0] if return_outputs else loss
        self._stop_unless_finite("loss", float(value.detach()), inputs["rows"])
        return loss


class LoraSFTTrainer(LoraTrainerMixin, SFTTrainer):
    """Trains LoRA on rows with one answer: the mean negative log-likelihood of the answers' tokens."""

    def __init__(
        self,
        model: PreTrainedModel,
        args: SFTConfig,
        rows: Sequence[Row],
        collator: Collator,
        peft_config: LoraConfig,
        projector_lr: float,
    ) -> None:
        args.remove_unused_columns = False
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
        self._loss_shifts_labels = False  # the batch's are shifted: the loss divides by their number

    def compute_loss(
        self,
        model: Any,
        inputs: dict[str, Any],
        return_outputs: bool = False,
        num_items_in_batch: torch.Tensor | int | None = None,
    ) -> Any:
        """TRL's loss. Raises UserError where it is NaN or infinite."""
        self._count(inputs)
        outputs = self.scorer(model, inputs)
        answers = {"attention_mask": inputs["completion_mask"]}
        loss = super().compute_loss(lambda **_: outputs, answers, return_outputs, num_items_in_batch)
        value = loss[0] if return_outputs else loss
        self._stop_unless_finite("loss", float(value.detach()), inputs["rows"])
        return loss


def save_adapter(model: Any, folder: str, state_dict: dict[str, Any] | None = None) -> None:
    """Write the adapter in PEFT format, without PEFT's blank model card.

    The embeddings are never trained, so the hub isn't asked about them.
    """
    model.create_or_update_model_card = lambda *args, **kwargs: None  # rendering it takes longer than saving
    model.save_pretrained(folder, state_dict=state_dict, save_embedding_layers=False)
