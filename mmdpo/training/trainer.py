"""TRL's trainers for our batches: prefix sharing, precomputed reference log-probs, mixed images."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import torch
from datasets import Dataset
from transformers import Trainer
from trl import DPOTrainer, SFTTrainer

from mmdpo.errors import UserError
from mmdpo.models.device import to_device
from mmdpo.training.group_sampler import GroupSampler
from mmdpo.training.memory import peak_memory
from mmdpo.training.prompt_groups import GROUP
from mmdpo.training.resume import last_complete
from mmdpo.training.rows import Row
from mmdpo.training.scoring import Scorer

if TYPE_CHECKING:
    from peft import LoraConfig
    from transformers import PreTrainedModel, TrainingArguments

    from mmdpo.training.collate import Collator
    from mmdpo.training.custom_loss import CustomLoss
    from mmdpo.training.fit.weights import UpdateWeights
    from mmdpo.training.labelled import LabelledCollator

MAX_ROWS = 5  # that an error lists


def answer_inputs(mask: torch.Tensor) -> dict[str, torch.Tensor]:
    """Return the inputs of TRL's losses for answers whose log-probs are known, from the mask [N, A] of their tokens.

    TRL computes labels from the token ids for its model call, which is replaced.
    """
    return {"input_ids": torch.zeros_like(mask), "attention_mask": torch.ones_like(mask), "completion_mask": mask}


class LoraTrainerMixin(Trainer):
    """Changes to TRL's trainers that all of ours share.

    A loss or gradient that is not finite stops the training. Speed and memory are logged. A projector that is
    trained in addition to LoRA has its own learning rate. Checkpoints contain what resuming needs, without a copy
    of the processor. No telemetry is sent.
    """

    _rows = _tokens = 0  # since the last log
    _since = 0.0  # seconds of the monotonic clock
    scorer: Scorer
    projector_lr: float
    update_weights: UpdateWeights | None = None  # of micro-batches that are smaller than configured
    errors_named: Callable[[], AbstractContextManager[None]] = nullcontext  # around what `train.trl` may make fail

    def __init__(
        self,
        model: PreTrainedModel,
        args: TrainingArguments,
        rows: Sequence[Row],
        collator: Collator | LabelledCollator,
        peft_config: LoraConfig,
        projector_lr: float,
    ) -> None:
        """Build the trainer and add the LoRA layers to the model.

        Args:
            model: The base model.
            args: TRL's training arguments.
            rows: Rows to train on.
            collator: Makes batches of rows.
            peft_config: The LoRA layers.
            projector_lr: Learning rate of the projector, if it is trained.
        """
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

    def _prepare_model(self) -> None:
        """Prepare the model and the settings that TRL's constructor has made.

        Trained weights become float32, as LoRA's are: in bfloat16 most steps of a projector would round to zero.
        DeepSpeed keeps its own float32 copies.
        """
        for weight in [] if self.is_deepspeed_enabled else self.model.parameters():
            if weight.requires_grad:
                weight.data = weight.data.float()
        self.scorer = Scorer(self.model.get_base_model())

    def _prepare_inputs(self, inputs: dict[str, Any]) -> dict[str, Any]:
        """Move the batch to the device; only the model's inputs get DeepSpeed's type, which would round log-probs."""
        others = {name: value for name, value in inputs.items() if name != "model"}
        return {"model": super()._prepare_inputs(inputs["model"]), **to_device(others, self.args.device)}

    def _get_train_sampler(self, train_dataset: Any = None) -> Any:
        """Return a sampler that keeps the rows of a group in one batch, if rows have groups."""
        data = self.train_dataset if train_dataset is None else train_dataset
        if GROUP not in data.column_names:
            return super()._get_train_sampler(train_dataset)
        size = self.args.per_device_train_batch_size
        step_size = size * self.args.gradient_accumulation_steps * self.args.world_size
        return GroupSampler(data[GROUP], step_size, size, self.args.seed, lambda: self.state.epoch or 0.0)

    def _count_rows(self, batch: dict[str, Any]) -> None:
        inputs = batch["model"]
        self._since = self._since or time.monotonic()
        self._rows += len(batch["rows"])
        self._tokens += int((inputs["seen_until"] if "seen_until" in inputs else inputs["attention_mask"]).sign().sum())

    def _get_grad_norm(self, model: Any, grad_norm: Any = None) -> Any:
        norm = super()._get_grad_norm(model, grad_norm)
        self._stop_unless_finite("gradient norm", float(norm), [])  # before it reaches the weights
        return norm

    def _stop_unless_finite(self, quantity: str, value: float, ids: Sequence[str]) -> None:
        if math.isfinite(value):
            return
        last = last_complete(self.args.output_dir)
        more = f" and {len(ids) - MAX_ROWS} more" if len(ids) > MAX_ROWS else ""
        rows = f" Rows of the batch: {', '.join(ids[:MAX_ROWS])}{more}." if ids else ""
        raise UserError(
            f"Step {self.state.global_step + 1}: the {quantity} is {value}.{rows} Last complete checkpoint: "
            f"{last.path if last else 'none yet'}. Type a smaller lr=, or model.dtype=float32."
        )

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """Log TRL's metrics, the speed of all processes since the last log, and the peak memory (GiB)."""
        now = time.monotonic()
        if self._rows:
            seconds = max(now - self._since, 1e-9) / self.accelerator.num_processes
            logs["rows_per_second"] = self._rows / seconds
            logs["tokens_per_second"] = self._tokens / seconds
            logs["peak_memory_gib"] = peak_memory()
        self._rows, self._tokens, self._since = 0, 0, now
        super().log(logs, start_time)

    def create_optimizer(self, model: Any = None) -> Any:
        """Create the optimizer, with the projector's weights in parameter groups with their own learning rate."""
        with self.errors_named():
            optimizer = super().create_optimizer(model)
        named = (self.model if model is None else model).named_parameters()
        projector = {id(weight) for name, weight in named if ".modules_to_save." in name}
        for group in list(optimizer.param_groups):
            weights = [weight for weight in group["params"] if id(weight) in projector]
            if weights:
                group["params"] = [weight for weight in group["params"] if id(weight) not in projector]
                options = {name: value for name, value in group.items() if name != "params"}
                optimizer.add_param_group({**options, "params": weights, "lr": self.projector_lr})
        return optimizer

    def create_scheduler(self, num_training_steps: int, optimizer: Any = None) -> Any:
        """Create the schedule of the learning rate."""
        with self.errors_named():
            return super().create_scheduler(num_training_steps, optimizer)

    def _save(self, output_dir: str | None = None, state_dict: dict[str, Any] | None = None) -> None:
        if self.args.should_save:  # with DeepSpeed, all processes call this
            model = self.accelerator.unwrap_model(self.model)
            save_adapter(model, output_dir or self.args.output_dir, state_dict)

    def floating_point_ops(self, inputs: dict[str, Any]) -> int:
        """Return 0: counting visits all parameters in each step, and the number is not reported."""
        return 0

    def create_model_card(self, *args: Any, **kwargs: Any) -> None:
        """Write no model card beside checkpoints."""

    def _send_telemetry(self) -> None:
        pass


class LoraDPOTrainer(LoraTrainerMixin, DPOTrainer):
    """Trainer of LoRA on preference pairs: rows with two answers, `ref_chosen_logps` and `ref_rejected_logps`.

    TRL computes losses and metrics: it gets the answers' log-probs, whatever their layout, as if its model call had
    returned them. Losses of mmdpo.training.losses are added to TRL's. TRL refuses precomputed reference log-probs for
    vision data, so they are enabled after its constructor.
    """

    custom_losses: Mapping[CustomLoss, float] = MappingProxyType({})  # added to those that `args` names, with weights

    def _prepare_model(self) -> None:
        super()._prepare_model()
        self.precompute_ref_logps = True

    def _compute_loss(self, model: Any, inputs: dict[str, Any], return_outputs: bool) -> Any:
        self._count_rows(inputs)
        outputs = self.scorer(model, inputs)
        if "weights" in inputs:
            outputs.log_probs = outputs.log_probs * inputs["weights"]
        references = {name: inputs[name] for name in ("ref_chosen_logps", "ref_rejected_logps")}
        answers = answer_inputs(inputs["completion_mask"]) | references
        result = super()._compute_loss(lambda **_: outputs, answers, return_outputs)
        loss = result[0] if return_outputs else result
        if self.custom_losses:
            loss = loss + self._custom_loss(outputs.log_probs, inputs)
        if self.update_weights is not None:
            loss = loss * self.update_weights.next(self.state.global_step, len(inputs["rows"]))
        chosen = outputs.log_probs.detach()[: len(inputs["rows"])].sum(dim=1)
        below = self.accelerator.gather((chosen < inputs["ref_chosen_logps"]).float()).mean()
        self._metrics["train"]["logps/chosen_below_reference"].append(float(below))
        self._stop_unless_finite("loss", float(loss.detach()), inputs["rows"])
        return (loss, result[1]) if return_outputs else loss

    def _custom_loss(self, log_probs: torch.Tensor, inputs: dict[str, Any]) -> torch.Tensor:
        """Compute the sum of the custom losses from the log-probs of the answers' tokens [2 B, A]."""
        chosen_logps, rejected_logps = log_probs.sum(dim=1).chunk(2)
        chosen_tokens, rejected_tokens = inputs["completion_mask"].sum(dim=1).chunk(2)
        offered = {
            "beta": self.beta,
            "label_smoothing": self.label_smoothing,
            "chosen_logps": chosen_logps,
            "rejected_logps": rejected_logps,
            "chosen_tokens": chosen_tokens,
            "rejected_tokens": rejected_tokens,
        }
        logratios = chosen_logps - inputs["ref_chosen_logps"], rejected_logps - inputs["ref_rejected_logps"]
        losses = [weight * loss(*logratios, **offered) for loss, weight in self.custom_losses.items()]
        return torch.stack(losses).sum()


class LoraSFTTrainer(LoraTrainerMixin, SFTTrainer):
    """Trainer of LoRA on rows with one answer, by the mean negative log-likelihood of the answers' tokens."""

    def _prepare_model(self) -> None:
        super()._prepare_model()
        self._loss_shifts_labels = False  # the batch's labels are shifted already; the loss divides by their number

    def compute_loss(
        self,
        model: Any,
        inputs: dict[str, Any],
        return_outputs: bool = False,
        num_items_in_batch: torch.Tensor | int | None = None,
    ) -> Any:
        """Compute TRL's loss.

        Args:
            model: The model, possibly wrapped.
            inputs: A batch of the collator.
            return_outputs: Whether to return the model's outputs, too.
            num_items_in_batch: Number of answer tokens to divide by.

        Returns:
            The loss, or the loss and the outputs.

        Raises:
            UserError: The loss is NaN or infinite.
        """
        self._count_rows(inputs)
        outputs = self.scorer(model, inputs)
        answers = {"attention_mask": inputs["completion_mask"]}
        loss = super().compute_loss(lambda **_: outputs, answers, return_outputs, num_items_in_batch)
        value = loss[0] if return_outputs else loss
        self._stop_unless_finite("loss", float(value.detach()), inputs["rows"])
        return loss


def save_adapter(model: Any, folder: str, state_dict: dict[str, Any] | None = None) -> None:
    """Write the adapter in PEFT format, without PEFT's blank model card.

    Embeddings are never trained, so PEFT need not ask the hub about their size.

    Args:
        model: The PEFT model.
        folder: Folder to write to.
        state_dict: Gathered weights, if the model's own are partitioned.
    """
    model.create_or_update_model_card = lambda *args, **kwargs: None
    model.save_pretrained(folder, state_dict=state_dict, save_embedding_layers=False)
