"""Config keys of earlier versions and their present names."""

from __future__ import annotations

from collections.abc import Mapping

RENAMED: Mapping[str, str] = {
    "train.epochs": "train.num_train_epochs",
    "train.batch_size": "train.per_device_train_batch_size",
    "train.accumulation": "train.gradient_accumulation_steps",
    "train.schedule": "train.lr_scheduler_type",
    "train.gradient_checkpointing": "train.activation_checkpointing",
    "train.workers": "train.dataloader_num_workers",
    "train.zero": "train.zero_stage",
    "train.keep": "train.save_total_limit",
    "train.log_steps": "train.logging_steps",
    "train.reference_batch_size": "train.precompute_ref_batch_size",
    "method.batch_size": "method.per_device_train_batch_size",
    "method.accumulation": "method.gradient_accumulation_steps",
    "method.loss": "method.loss_type",
    "model.lora.rank": "model.lora.r",
    "model.lora.alpha": "model.lora.lora_alpha",
    "model.lora.dropout": "model.lora.lora_dropout",
    "judge.limits.requests_a_minute": "judge.limits.requests_per_minute",
    "judge.limits.tokens_a_minute": "judge.limits.tokens_per_minute",
    "judge.limits.requests_a_day": "judge.limits.requests_per_day",
    "judge.limits.attempts": "judge.limits.max_attempts",
    "cluster.parallel": "cluster.array_parallelism",
    "cluster.gpus": "cluster.gpus_per_node",
    "cluster.tasks": "cluster.tasks_per_node",
    "cluster.cpus": "cluster.cpus_per_task",
    "cluster.memory": "cluster.mem",
    "cluster.minutes": "cluster.timeout_min",
    "cluster.warning_seconds": "cluster.signal_delay_s",
    "cluster.sbatch": "cluster.additional_parameters",
    "bench.benchmarks": "bench.tasks",
    "data.sources.*.reader": "data.sources.*.format",
}
"""Old dotted key -> new dotted key; * stands for the name of a source."""


def new_name(key: str) -> str | None:
    """Return the present name of a key of an earlier version, or None if the key was not renamed.

    Keys below a renamed one are renamed with it, as in cluster.sbatch.exclusive.
    """
    parts = key.split(".")
    for old, new in RENAMED.items():
        pattern = old.split(".")
        if len(parts) >= len(pattern) and all(p in ("*", part) for p, part in zip(pattern, parts, strict=False)):
            names = iter(part for p, part in zip(pattern, parts, strict=False) if p == "*")
            renamed = [next(names) if part == "*" else part for part in new.split(".")]
            return ".".join([*renamed, *parts[len(pattern) :]])
    return None
