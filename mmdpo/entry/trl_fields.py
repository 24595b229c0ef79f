"""Fields of TRL's configs behind `train.trl`: those with a setting of their own, those without effect, and types."""

from __future__ import annotations

import dataclasses
import re
import types
import typing
from collections.abc import Mapping
from enum import Enum
from importlib.util import find_spec
from typing import Any, Literal

from mmdpo.config.choices import CUSTOM_LOSSES, WITHOUT_REFERENCE, Runner, TrainOn
from mmdpo.config.field_checks import did_you_mean
from mmdpo.config.losses import weighted_losses
from mmdpo.config.schema import Config

OWN: Mapping[str, str] = {
    **dict.fromkeys(("activation_checkpointing", "gradient_checkpointing"), "train.activation_checkpointing="),
    **dict.fromkeys(("bf16", "fp16", "bf16_full_eval", "fp16_full_eval"), "model.dtype="),
    **dict.fromkeys(("seed", "data_seed"), "seed="),
    **dict.fromkeys(("max_length", "truncation_mode"), "train.max_text_tokens= and train.too_long="),
    **dict.fromkeys(("max_steps", "num_train_epochs"), "train.num_train_epochs= (and data_limit=)"),
    **dict.fromkeys(("save_steps", "save_strategy"), "train.save_steps="),
    **dict.fromkeys(("logging_steps", "logging_strategy", "logging_first_step"), "train.logging_steps="),
    **dict.fromkeys(("report_to", "project", "run_name"), "tracking="),
    **dict.fromkeys(("loss_type", "loss_weights"), "method.loss_type= or method.losses="),
    **dict.fromkeys(("deepspeed", "fsdp", "fsdp_config"), "train.zero_stage="),
    "tf32": "train.tf32=",
    "learning_rate": "lr=",
    "lr_scheduler_type": "train.lr_scheduler_type=",
    "warmup_steps": "train.warmup_ratio=",
    "weight_decay": "train.weight_decay=",
    "max_grad_norm": "train.max_grad_norm=",
    "per_device_train_batch_size": "train.per_device_train_batch_size=",
    "gradient_accumulation_steps": "train.gradient_accumulation_steps=",
    "dataloader_num_workers": "train.dataloader_num_workers=",
    "precompute_ref_batch_size": "train.precompute_ref_batch_size=",
    "save_total_limit": "train.save_total_limit=",
    "beta": "beta=",
    "label_smoothing": "method.label_smoothing=",
    "desirable_weight": "method.desirable_weight=",
    "undesirable_weight": "method.undesirable_weight=",
    "output_dir": "out= and study=",
    "resume_from_checkpoint": "resume=",
    "model_init_kwargs": "model.dtype=, model.attn_implementation= or model.quantization=",
    "per_device_eval_batch_size": "bench.batch_size=",
    "chat_template_path": "model.chat_template=",
}
"""Fields that mmdpo sets itself, and the settings to type in their place."""

EARLIER: Mapping[str, str] = {
    "warmup_ratio": "train.warmup_ratio=",
    **dict.fromkeys(("max_prompt_length", "max_completion_length"), "train.max_text_tokens="),
}
"""Fields of earlier versions of TRL, and the settings to type in their place."""

_EVALUATION = "points are evaluated after training, by bench="
_BATCHES = "mmdpo makes the rows and batches itself"
_REFERENCE = "the reference is computed once, before the training"
_HUB = "results stay in the folder of the study"
_PROCESSES = "mmdpo starts the processes itself"
_SHAPES = "most batches have a new shape, and would be compiled again"
_STATE = "a killed training could not continue bit-equal"

NO_EFFECT: Mapping[str, str] = {
    **dict.fromkeys(
        (
            *("do_eval", "do_predict", "do_train", "eval_accumulation_steps", "eval_delay", "eval_do_concat_batches"),
            *("eval_on_start", "eval_steps", "eval_strategy", "eval_use_gather_object", "eval_packing"),
            *("batch_eval_metrics", "include_for_metrics", "prediction_loss_only", "label_names"),
            *("load_best_model_at_end", "metric_for_best_model", "greater_is_better"),
        ),
        _EVALUATION,
    ),
    **dict.fromkeys(
        (
            *("packing", "packing_strategy", "padding_free", "pad_token", "eos_token", "pad_to_multiple_of"),
            *("dataset_kwargs", "dataset_num_proc", "dataset_text_field", "shuffle_dataset", "length_column_name"),
            *("completion_only_loss", "assistant_only_loss", "remove_unused_columns", "train_sampling_strategy"),
            *("dataloader_drop_last", "dataloader_in_order", "auto_find_batch_size", "label_smoothing_factor"),
            *("disable_dropout", "trust_remote_code", "use_cache", "include_num_input_tokens_seen"),
            *("router_aux_loss_coef", "use_liger_kernel", "liger_kernel_config", "optim_target_modules"),
        ),
        _BATCHES,
    ),
    **dict.fromkeys(
        ("precompute_ref_log_probs", "sync_ref_model", "ref_model_mixup_alpha", "ref_model_sync_steps", "ld_alpha"),
        _REFERENCE,
    ),
    **dict.fromkeys(
        (
            *("push_to_hub", "hub_always_push", "hub_model_id", "hub_private_repo", "hub_revision", "hub_strategy"),
            *("hub_token", "trackio_bucket_id", "trackio_space_id", "trackio_static_space_id"),
            *("disable_tqdm", "log_level", "log_level_replica", "log_on_each_node", "logging_nan_inf_filter"),
        ),
        _HUB,
    ),
    **dict.fromkeys(
        (
            *("accelerator_config", "parallelism_config", "local_rank", "use_cpu", "ddp_backend", "ddp_timeout"),
            *("ddp_find_unused_parameters", "ddp_static_graph", "dataloader_pin_memory", "debug"),
            *("average_tokens_across_devices", "skip_memory_metrics"),
            "full_determinism",
        ),
        _PROCESSES,
    ),
    **dict.fromkeys(("torch_compile", "torch_compile_backend", "torch_compile_mode"), _SHAPES),
    **dict.fromkeys(
        (
            *("ignore_data_skip", "restore_callback_states_from_checkpoint", "save_on_each_node", "save_only_model"),
            "enable_jit_checkpoint",
        ),
        _STATE,
    ),
}
"""Fields that would have no effect, or a wrong one, in mmdpo's trainers, and the reason."""

DIVERGENCE_LOSSES = ("sigmoid", "hinge", "ipo", "exo_pair", "robust", "discopop", "sigmoid_norm", "sft")
"""The losses that TRL takes with another `f_divergence_type`."""

UNWEIGHTED = ("aot", "aot_unpaired", "sft", "hinge")
"""The losses of TRL that fail with `use_weighting=true`."""

CHOICES = {"f_divergence_type": ("reverse_kl", "forward_kl", "js_divergence", "alpha_divergence")}
"""Choices that TRL's fields do not name themselves."""


WITHOUT_ARGUMENTS = (
    *("adafactor", "adamw_torch", "adamw_torch_fused", "adamw_torch_xla", "adamw_torch_npu_fused"),
    *("adamw_8bit", "adamw_bnb_8bit", "lion_8bit", "lion_32bit"),
    *("paged_adamw_8bit", "paged_adamw_32bit", "paged_lion_8bit", "paged_lion_32bit"),
)
"""The optimizers that take no `optim_args`; transformers would ignore them."""

WITHOUT_BETAS = ("adafactor", "sgd", "adagrad", "rmsprop")
"""The optimizers that are not of Adam's kind."""

BITSANDBYTES = re.compile(r"(?!adamw_torch|galore)(.*8bit|.*bnb|.*lion|.*ademamix|paged)")
"""The names of optimizers that come with bitsandbytes."""


def trl_problems(config: Config) -> list[str]:
    """Describe each entry of `train.trl` that cannot be passed on, with what to type.

    TRL is imported if there is an entry.
    """
    values = config.train.trl
    if not values:
        return []
    fields = _fields(config.method.train_on)
    found = []
    for name, value in values.items():
        key = f"train.trl.{name}"
        if name in OWN:
            found.append(f"{key}={value}: has a setting of its own; type {OWN[name]}")
        elif name in NO_EFFECT:
            found.append(f"{key}={value}: has no effect here: {NO_EFFECT[name]}; drop it")
        elif name in EARLIER:
            found.append(f"{key}={value}: is a field of earlier versions; type {EARLIER[name]}")
        elif name not in fields:
            near = did_you_mean(name, sorted(fields.keys() - OWN.keys() - NO_EFFECT.keys()), " ")
            found.append(f"{key}: {_class_name(config.method.train_on)} has no such field;{near or ' drop it'}")
        elif (problem := _type_problem(*fields[name], value)) or (problem := _condition(config, name)):
            found.append(f"{key}={value}: {problem}")
    return found


def _class_name(train_on: TrainOn) -> str:
    return {TrainOn.pairs: "DPOConfig", TrainOn.labelled: "KTOConfig"}.get(train_on, "SFTConfig")


def _fields(train_on: TrainOn) -> dict[str, tuple[Any, Any]]:
    """Return the fields of TRL's config for a method: their types, and their choices or None."""
    import trl

    schema = getattr(trl, _class_name(train_on))
    hints = typing.get_type_hints(schema)
    return {
        field.name: (hints[field.name], CHOICES.get(field.name) or field.metadata.get("choices"))
        for field in dataclasses.fields(schema)
        if field.init
    }


def _type_problem(kind: Any, choices: Any, value: Any) -> str | None:
    """Describe why a field does not take a value; None if it does."""
    options = typing.get_args(kind) if typing.get_origin(kind) in (typing.Union, types.UnionType) else (kind,)
    enums = [option for option in options if isinstance(option, type) and issubclass(option, Enum)]
    if choices is None and enums and isinstance(value, str):
        choices = [one.value for one in enums[0]]
    if choices is not None and value is not None:
        allowed = [str(one) for one in choices]
        known = str(value) in allowed
        return None if known else f"allowed are {', '.join(allowed)}{did_you_mean(str(value), allowed)}"
    if any(_fits(option, value) for option in options):
        return None
    return f"must be {' or '.join(dict.fromkeys(map(_word, options)))}"


def _fits(kind: Any, value: Any) -> bool:
    origin, inner = typing.get_origin(kind), typing.get_args(kind)
    if kind is Any:
        return True
    if origin is Literal:
        return any(value is one or (type(value) is type(one) and value == one) for one in inner)
    if kind is type(None):
        return value is None
    if kind is float:
        return isinstance(value, int | float) and not isinstance(value, bool)
    if kind is int:
        return isinstance(value, int) and not isinstance(value, bool)
    if origin is list:
        return isinstance(value, list) and all(any(_fits(one, entry) for one in inner) for entry in value)
    if (origin or kind) is dict:
        return isinstance(value, dict) and (not inner or all(_fits(inner[1], entry) for entry in value.values()))
    return isinstance(kind, type) and isinstance(value, kind)


def _word(kind: Any) -> str:
    words = {float: "a number", int: "a whole number", bool: "true or false", str: "a text", type(None): "null"}
    if kind in words:
        return words[kind]
    return {list: "a list", dict: "a dictionary"}.get(typing.get_origin(kind) or kind, str(kind))


def _condition(config: Config, name: str) -> str | None:
    """Describe what a field needs to have an effect; None if it has one."""
    losses = weighted_losses(config.method).keys()
    if name == "f_divergence_type" and (others := sorted(losses - {*DIVERGENCE_LOSSES})):
        return f"{', '.join(others)} takes no other divergence; the losses {', '.join(DIVERGENCE_LOSSES)} do"
    if name == "use_weighting" and (others := sorted(losses & {*CUSTOM_LOSSES.names(), *UNWEIGHTED})):
        return f"{', '.join(others)} cannot be weighted; type method.loss_type=sigmoid"
    if name == "optim" and BITSANDBYTES.match(str(config.train.trl[name])) and find_spec("bitsandbytes") is None:
        return "needs bitsandbytes; run pip install -e '.[qlora]'"
    if name in ("optim_args", "adam_beta1", "adam_beta2", "adam_epsilon") and config.train.trl[name] is not None:
        optimizer = str(config.train.trl.get("optim", "adamw_torch"))
        if optimizer in (WITHOUT_ARGUMENTS if name == "optim_args" else WITHOUT_BETAS):
            return f"train.trl.optim={optimizer} does not use it; drop it, or choose another train.trl.optim="
    if name == "activation_offloading" and config.train.trl[name] and not may_have_gpu(config):
        return "needs a GPU; drop it"
    if name == "f_alpha_divergence_coef" and config.train.trl.get("f_divergence_type") != "alpha_divergence":
        return "has no effect; add train.trl.f_divergence_type=alpha_divergence"
    if name == "neftune_noise_alpha" and config.train.trl[name] and (shared := sharing_setting(config)):
        return f"its noise would depend on which rows share their prompt; add {shared}=false"
    if name == "discopop_tau" and "discopop" not in losses:
        return "only the loss discopop uses it; type method.loss_type=discopop"
    if name.endswith("checkpointing_kwargs") and not config.train.activation_checkpointing:
        return "has no effect; add train.activation_checkpointing=true"
    if name in ("dataloader_prefetch_factor", "dataloader_persistent_workers", "dataloader_multiprocessing_context"):
        return None if config.train.dataloader_num_workers else "has no effect; add train.dataloader_num_workers=2"
    if name in ("ddp_broadcast_buffers", "ddp_bucket_cap_mb") and config.cluster.processes == 1:
        return "has no effect with one process; type cluster.tasks_per_node="
    return None


def sharing_setting(config: Config) -> str | None:
    """Return the setting by which rows of a training share their prompt; None if it is off."""
    key = "prompt_once" if config.method.train_on in WITHOUT_REFERENCE else "prefix_sharing"
    return f"train.{key}" if getattr(config.train, key) else None


def may_have_gpu(config: Config) -> bool:
    """Return whether trainings run on a GPU, here or perhaps in a job."""
    import torch

    return config.cluster.runner is Runner.slurm or torch.cuda.is_available()
