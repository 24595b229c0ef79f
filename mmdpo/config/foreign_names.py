"""Names that other tools give to settings: TRL, transformers, PEFT, LLaMA-Factory, SLURM, submitit."""

from __future__ import annotations

from collections.abc import Mapping

SAME: Mapping[str, str] = {
    # TRL and transformers
    "learning_rate": "lr",
    "learning_rates": "lr",
    "num_epochs": "train.num_train_epochs",
    "n_epochs": "train.num_train_epochs",
    "train_batch_size": "train.per_device_train_batch_size",
    "micro_batch_size": "train.per_device_train_batch_size",
    "per_gpu_train_batch_size": "train.per_device_train_batch_size",
    "per_device_eval_batch_size": "bench.batch_size",
    "eval_batch_size": "bench.batch_size",
    "grad_accum": "train.gradient_accumulation_steps",
    "grad_accumulation": "train.gradient_accumulation_steps",
    "accumulate_grad_batches": "train.gradient_accumulation_steps",
    "max_length": "train.max_text_tokens",
    "max_seq_length": "train.max_text_tokens",
    "max_seq_len": "train.max_text_tokens",
    "max_prompt_length": "train.max_text_tokens",
    "max_completion_length": "train.max_text_tokens",
    "model_max_length": "train.max_text_tokens",
    "cutoff_len": "train.max_text_tokens",
    "truncation_mode": "train.too_long",
    "warmup_steps": "train.warmup_ratio",
    "warmup": "train.warmup_ratio",
    "lr_schedule": "train.lr_scheduler_type",
    "grad_clip": "train.max_grad_norm",
    "clip_grad_norm": "train.max_grad_norm",
    "deepspeed": "train.zero_stage",
    "ds_config": "train.zero_stage",
    "gradient_checkpointing": "train.activation_checkpointing",
    "num_workers": "train.dataloader_num_workers",
    "preprocessing_num_workers": "train.dataloader_num_workers",
    "save_limit": "train.save_total_limit",
    "bf16": "model.dtype",
    "fp16": "model.dtype",
    "torch_dtype": "model.dtype",
    "precision": "model.dtype",
    "load_in_4bit": "model.quantization",
    "quantization_bit": "model.quantization",
    "bnb_4bit_quant_type": "model.quantization",
    "flash_attn": "model.attn_implementation",
    "use_flash_attention_2": "model.attn_implementation",
    "optimizer": "train.trl.optim",
    "model_name_or_path": "model.path",
    "model_path": "model.path",
    "model_id": "model.path",
    "template": "model.chat_template",
    "dataset": "data",
    "dataset_name": "data",
    "dataset_path": "data.path",
    "train_file": "data.path",
    "data_path": "data.path",
    "data_dir": "data.root",
    "image_folder": "data.image_root",
    "image_dir": "data.image_root",
    "image_path": "data.image_root",
    "max_samples": "data_limit",
    "max_train_samples": "data_limit",
    "num_samples": "data_limit",
    "pref_beta": "beta",
    "dpo_beta": "beta",
    "pref_loss": "method.loss_type",
    "loss": "method.loss_type",
    "loss_weights": "method.losses",
    "rpo_alpha": "method.losses.sft",
    "pref_ftx": "method.losses.sft",
    "kto_chosen_weight": "method.desirable_weight",
    "kto_rejected_weight": "method.undesirable_weight",
    "finetuning_type": "method",
    "algorithm": "method",
    "output_dir": "out",
    "output": "out",
    "run_name": "study",
    "experiment_name": "study",
    "exp_name": "study",
    "experiment": "study",
    "random_seed": "seed",
    "report_to": "tracking",
    "wandb": "tracking",
    "wandb_project": "tracking.project",
    "wandb_entity": "tracking.entity",
    "wandb_mode": "tracking.mode",
    "num_return_sequences": "data.sampling.completions",
    "num_generations": "data.sampling.completions",
    "judge_model": "judge.model",
    "api_base": "judge.base_url",
    # PEFT
    "lora_r": "model.lora.r",
    "lora_rank": "model.lora.r",
    "rank": "model.lora.r",
    "alpha": "model.lora.lora_alpha",
    "dropout": "model.lora.lora_dropout",
    "modules_to_save": "model.train_projector",
    "mm_projector_lr": "model.projector_lr",
    # SLURM and submitit
    "time": "cluster.timeout_min",
    "timeout": "cluster.timeout_min",
    "time_limit": "cluster.timeout_min",
    "walltime": "cluster.timeout_min",
    "memory": "cluster.mem",
    "mem_gb": "cluster.mem",
    "memory_gb": "cluster.mem",
    "gpu": "cluster.gpus_per_node",
    "gpus": "cluster.gpus_per_node",
    "n_gpu": "cluster.gpus_per_node",
    "n_gpus": "cluster.gpus_per_node",
    "num_gpus": "cluster.gpus_per_node",
    "gpus_per_task": "cluster.gpus_per_node",
    "cpus": "cluster.cpus_per_task",
    "ntasks_per_node": "cluster.tasks_per_node",
    "ntasks": "cluster.tasks_per_node",
    "queue": "cluster.partition",
    "comment": "study",
    "job_name": "study",
    "nodelist": "+cluster.additional_parameters.nodelist",
    "reservation": "+cluster.additional_parameters.reservation",
    "exclusive": "+cluster.additional_parameters.exclusive",
    "signal_delay": "cluster.signal_delay_s",
    "max_num_timeout": "cluster.max_attempts.time_limit",
}
"""The last word of a key elsewhere, and the key here."""

ABSENT: Mapping[str, str] = {
    "target_modules": "LoRA is on every linear layer of the language model; its size is model.lora.r=",
    "lora_target": "LoRA is on every linear layer of the language model; its size is model.lora.r=",
    "bias": "LoRA has no biases here; its size is model.lora.r=",
    "max_steps": "the length of a training is train.num_train_epochs= (and data_limit=)",
    "eval_steps": "points are evaluated after training; metrics are logged every train.logging_steps=",
    "eval_strategy": "points are evaluated after training; metrics are logged every train.logging_steps=",
    "resume_from_checkpoint": "the same command continues from the last checkpoint",
    "ref_model": "the reference is the base model itself, model.path=",
    "reference_model": "the reference is the base model itself, model.path=",
    "load_in_8bit": "there are 4-bit weights only; type model.quantization=nf4",
}
"""The last word of a key elsewhere that has no equal, and what there is."""

OF_TRL = frozenset(
    "activation_offloading adam_beta1 adam_beta2 adam_epsilon discopop_tau f_alpha_divergence_coef f_divergence_type "
    "gradient_checkpointing_kwargs lr_scheduler_kwargs neftune_noise_alpha optim optim_args torch_empty_cache_steps "
    "use_weighting".split()
)
"""Arguments of TRL's configs that `train.trl` passes on."""

PREFIXES = ("slurm_", "sbatch_", "peft_", "trl_")


def foreign_name(key: str) -> str | None:
    """Say which setting another tool's name means, or what there is in its place; None for an unknown name.

    Args:
        key: A dotted key, of which the last word counts.
    """
    word = key.rpartition(".")[2].lower().replace("-", "_")
    for one in dict.fromkeys((word, without_prefix(word))):
        if one in SAME:
            return f"did you mean {SAME[one]}?"
        if one in ABSENT:
            return ABSENT[one]
        if one in OF_TRL:
            return f"did you mean train.trl.{one}?"
    return None


def without_prefix(word: str) -> str:
    """Return the last word of a key without the tool's name in front, as in slurm_partition."""
    return next((word.removeprefix(prefix) for prefix in PREFIXES if word.startswith(prefix)), word)
