"""Loading of models and processors in Hugging Face format."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mmdpo.config.choices import DTYPES
from mmdpo.config.schema import ModelConfig
from mmdpo.errors import UserError
from mmdpo.models.device import device
from mmdpo.models.fingerprints import weights_fingerprint
from mmdpo.models.library_output import suppress_library_output
from mmdpo.models.load_errors import translate_load_errors
from mmdpo.models.loaded_weights import check_loaded
from mmdpo.models.model_cache import cached_model, is_cache_enabled
from mmdpo.models.model_files import require_model, require_processor
from mmdpo.models.paths import resolve_path, template, templates
from mmdpo.models.template_check import require_template

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel


def torch_dtype(dtype: str) -> torch.dtype:
    """Return the torch type that `model.dtype` names; `auto` is bfloat16 on a GPU and float32 on a CPU."""
    import torch

    if dtype not in DTYPES:
        raise UserError(f"model.dtype={dtype}: unknown; allowed are {', '.join(DTYPES)}")
    if dtype == "auto":
        dtype = "bfloat16" if torch.cuda.is_available() else "float32"
    found: torch.dtype = getattr(torch, dtype)
    return found


def load_processor(model: ModelConfig) -> Any:
    """Load the model's processor: tokenizer, image processor and chat template, as configured.

    Raises UserError if none can be loaded, or if it does not support the configured template or padding.
    """
    folder = resolve_path(model.path)
    require_processor(model.path)
    with suppress_library_output():
        from transformers import AutoProcessor

        with translate_load_errors(f"model.path={model.path}", "processor"):
            processor = AutoProcessor.from_pretrained(folder, trust_remote_code=False)
    if not hasattr(processor, "tokenizer"):
        raise UserError(f"model.path={model.path} has only a tokenizer; a vision-language model has a processor.")
    if processor.tokenizer.eos_token_id is None:
        raise UserError(f"model.path={model.path}: its tokenizer has no eos_token, with which answers end")
    if processor.tokenizer.pad_token is None:
        processor.tokenizer.pad_token = processor.tokenizer.eos_token
    if model.chat_template:
        processor.chat_template = template(model.chat_template)
    if processor.chat_template is None:
        raise UserError(
            f"model.path={model.path} has no chat template; type model.chat_template= with one of "
            f"{', '.join(templates())}."
        )
    require_template(processor, f"model.path={model.path}")
    if model.pad_to_square:
        processor.image_processor = _padding_to_square(processor.image_processor, model.path)
    return processor


def _padding_to_square(images: Any, path: str) -> Any:
    """Return CLIP's image processor with padding to a square in the mean colour, as LLaVA-1.5 was trained."""
    from transformers.models.llava.image_processing_pil_llava import LlavaImageProcessorPil

    if not type(images).__name__.startswith("CLIPImageProcessor"):
        raise UserError(
            f"model.pad_to_square=true: model.path={path} has a {type(images).__name__}, and only CLIP's can "
            "pad; type model.pad_to_square=false."
        )
    settings = images.to_dict()
    settings.pop("image_processor_type", None)
    return LlavaImageProcessorPil(**{**settings, "do_pad": True})


@dataclass(frozen=True)
class LoadOptions:
    """Options of the base of a training.

    Attributes:
        attention: The implementation of attention, with transformers' name.
        quantization: transformers' configuration of quantized weights, which are loaded to the GPU; None for none.
    """

    attention: str = "sdpa"
    quantization: Any = None


def load_model(
    path: str, dtype: str, own_weights: bool = False, options: LoadOptions = LoadOptions()
) -> PreTrainedModel:
    """Load a vision-language model in evaluation mode, on the CPU unless it is quantized.

    Only safetensors are read, and no code beside the weights is run.

    Args:
        path: `model.path`: a folder, a hub id, or pkg://package/folder.
        dtype: `model.dtype`.
        own_weights: Whether the caller changes the weights themselves, instead of training only an adapter.
            The model cache then copies them (mmdpo/models/model_cache.py).
        options: Attention and quantization.

    Returns:
        The model; another instance per call.

    Raises:
        UserError: There is no model at the path, or its checkpoint does not fill it.
    """
    torch_type = torch_dtype(dtype)
    require_model(path)
    with translate_load_errors(f"model.path={path}", "model"):
        if options.quantization is not None or not is_cache_enabled():
            return load_checkpoint(path, torch_type, options=options)
        key = f"{weights_fingerprint(path)} {torch_type} {options.attention}"
        return cached_model(key, lambda: load_checkpoint(path, torch_type, options=options), own_weights)


def load_checkpoint(
    path: str,
    torch_type: torch.dtype,
    auto_class: str = "AutoModelForImageTextToText",
    key: str = "model.path",
    options: LoadOptions = LoadOptions(),
) -> PreTrainedModel:
    """Load a checkpoint without looking at its files first, nor at the model cache.

    Args:
        path: A folder, a hub id, or pkg://package/folder.
        torch_type: The type of the weights.
        auto_class: The class of transformers that builds the model.
        key: The setting that names the path, for messages.
        options: Attention and quantization.

    Raises:
        UserError: The checkpoint does not fill the model.
    """
    import torch

    torch.backends.cuda.enable_cudnn_sdp(False)  # it builds a plan per shape, and most batches have a new one
    with suppress_library_output():
        import transformers

        loaded = getattr(transformers, auto_class).from_pretrained(
            resolve_path(path),
            dtype=torch_type,
            attn_implementation=options.attention,
            use_safetensors=True,
            trust_remote_code=False,
            ignore_mismatched_sizes=True,  # check_loaded counts them
            output_loading_info=True,
            **_quantized(options),
        )
    model: PreTrainedModel = loaded[0]
    check_loaded(path, loaded[1], key)
    return model.eval()


def _quantized(options: LoadOptions) -> dict[str, Any]:
    if options.quantization is None:
        return {}
    return {"quantization_config": options.quantization, "device_map": {"": device()}}
