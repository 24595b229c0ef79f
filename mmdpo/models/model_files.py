"""Checks of a model's files before they are loaded or downloaded. Imports no torch."""

from __future__ import annotations

import functools
import json
from collections.abc import Collection, Iterable, Iterator, Mapping
from fnmatch import fnmatch
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mmdpo.errors import UserError
from mmdpo.files import fingerprint
from mmdpo.models.architectures import is_text_only, untrainable_reason, unusable_reason
from mmdpo.models.fingerprints import cached_snapshot, hub_config, hub_files
from mmdpo.models.paths import resolve_path

if TYPE_CHECKING:
    from mmdpo.config.schema import ModelConfig

CONFIG, ADAPTER_CONFIG, WEIGHTS = "config.json", "adapter_config.json", "*.safetensors"
WEIGHTS_NEEDED: dict[tuple[str, ...], str] = {(WEIGHTS,): "weights in *.safetensors, the only form that is read"}
TOKENIZER_NEEDED: dict[tuple[str, ...], str] = {
    ("tokenizer.json", "tokenizer.model", "*.tiktoken", "tekken.json", "vocab*", "spiece.model"): "tokenizer",
}
PROCESSOR_NEEDED = TOKENIZER_NEEDED | {
    ("*processor_config.json",): "image processor (preprocessor_config.json or processor_config.json)",
}
"""Files of a model and of its processor: at least one of each kind."""
PICKLES = ("*.bin", "*.pt", "*.pth")
"""Weights that are pickles: programs, which are never run."""


def model_problems(path: str, trained: bool = False) -> Iterator[str]:
    """Describe what is wrong with the files of a model.

    Of a hub model that is not in the Hugging Face cache, metadata is read. Nothing is said about one that cannot be
    reached either.

    Args:
        path: `model.path`.
        trained: Whether the model is to be trained, and not only measured.

    Yields:
        One message per problem; each begins with `model.path=`.
    """
    folder = Path(resolve_path(path))
    names = _names(folder)
    if names is None:
        return
    problems = [*_config_problems(path, folder, names, trained)]
    yield from problems or [*_missing(path, names, WEIGHTS_NEEDED | PROCESSOR_NEEDED), *_weights_problems(path, folder)]


def is_causal(path: str) -> bool:
    """Return whether a model is a language model without a part for images.

    A hub model of which nothing is known counts as one: so does every model from before visual tuning, but the
    miniature's.
    """
    folder = Path(resolve_path(path))
    try:
        config = _config(path, folder)
    except UserError:
        return False  # `causal_problems` or `model_problems` describes it
    return not config or is_text_only(config)


def model_shape(model: ModelConfig) -> str:
    """Return a fingerprint of the sizes and the number format of a model, on which its speed depends.

    It is empty for a model whose `config.json` is not known.
    """
    try:
        config = _config(model.path, Path(resolve_path(model.path)))
    except UserError:
        return ""
    return fingerprint({"config": config, "dtype": model.dtype, "r": model.lora.r}) if config else ""


def causal_problems(path: str, key: str) -> Iterator[str]:
    """Describe what is wrong with the files of a text-only model, as `model_problems` does.

    Args:
        path: The value of the setting.
        key: The setting, as in `model.before_visual_tuning`.
    """
    folder = Path(resolve_path(path))
    names = _names(folder)
    if names is None:
        return
    if not _has(names, WEIGHTS) and any(_has(names, pattern) for pattern in PICKLES):
        yield (
            f"{key}={path}: its weights are pickles only ({', '.join(PICKLES)}), which are programs and are never run. "
            f"Type {key}=FOLDER with the same model in *.safetensors: many hub models have a pull request with them, "
            "and the hub's Space safetensors/convert opens one (hf download OWNER/NAME --revision refs/pr/NUMBER "
            f"--local-dir FOLDER); or type {key}=null to leave it out"
        )
        return
    problems = [*_config_problems(path, folder, names, trained=False)]
    problems = problems or [*_missing(path, names, WEIGHTS_NEEDED | TOKENIZER_NEEDED), *_weights_problems(path, folder)]
    for problem in problems:
        yield problem.replace("model.path=", f"{key}=")


def require_causal(path: str, key: str) -> None:
    """Check a text-only model before it is loaded. Raises UserError naming the first problem."""
    _raise_first(causal_problems(path, key))


def require_model(path: str) -> None:
    """Check config and weights before they are loaded. Raises UserError naming the first problem."""
    folder = Path(resolve_path(path))
    names = _names(folder)
    if names is not None:
        _raise_first(_config_problems(path, folder, names, trained=False))
        _raise_first([*_missing(path, names, WEIGHTS_NEEDED), *_weights_problems(path, folder)])


def require_processor(path: str) -> None:
    """Check the processor's files before they are loaded. Raises UserError naming the first problem."""
    names = _names(Path(resolve_path(path)))
    if names is not None:
        _raise_first(_missing(path, names, PROCESSOR_NEEDED))


def _raise_first(problems: Iterable[str]) -> None:
    for problem in problems:
        raise UserError(problem)


def _has(names: Collection[str], pattern: str) -> bool:
    return any(fnmatch(name, pattern) for name in names)


def _names(folder: Path) -> Collection[str] | None:
    """Return the names of a model's files; None if it is a hub model of which nothing is known."""
    if folder.is_dir():
        return {file.name for file in folder.iterdir() if file.is_file()}
    files = hub_files(str(folder))
    return None if files is None else {name for name in files if "/" not in name}


def _config_problems(path: str, folder: Path, names: Collection[str], trained: bool) -> Iterator[str]:
    if ADAPTER_CONFIG in names:  # transformers would load the base that the adapter names instead
        yield (
            f"model.path={path}: holds an adapter ({ADAPTER_CONFIG}), not a model. Type model.path= with the model "
            "that it was trained on, and generator.adapter= to sample with it; stage=export writes both as one model"
        )
        return
    try:
        config = _config(path, folder)
    except UserError as error:
        yield str(error)
        return
    if reason := unusable_reason(config) or (untrainable_reason(config) if trained else None):
        yield f"model.path={path}: {reason}"


def _missing(path: str, names: Collection[str], needed: Mapping[tuple[str, ...], str]) -> Iterator[str]:
    for patterns, what in needed.items():
        if not any(fnmatch(name, pattern) for pattern in patterns for name in names):
            yield f"model.path={path}: there is no {what}; type model.path= with a complete model"


def _weights_problems(path: str, folder: Path) -> Iterator[str]:
    local = folder if folder.is_dir() else cached_snapshot(str(folder))
    files = [file for file in sorted(local.glob(WEIGHTS)) if file.is_file()] if local else []
    quantized = bool(files) and "quantization_config" in _config(path, folder)
    for file in files:
        state = file.stat()
        if problem := _weights_problem(file, quantized, state.st_size, state.st_mtime_ns):
            yield f"model.path={path}: {file.name} {problem}"


def _config(path: str, folder: Path) -> dict[str, Any]:
    """Read a model's `config.json`; of a hub model that is not in the cache, what the hub says of it.

    Args:
        path: `model.path`, for the error message.
        folder: Folder of the model, or its hub id.

    Returns:
        The content.

    Raises:
        UserError: There is none, or it is damaged.
    """
    local = folder if folder.is_dir() else cached_snapshot(str(folder))
    if local is None or (local != folder and not (local / CONFIG).exists()):
        return hub_config(str(folder))
    file = local / CONFIG
    if not file.is_file():
        raise UserError(
            f"model.path={path}: there is no {CONFIG}. Type model.path= with a model of Hugging Face's format"
        )
    try:
        config = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise UserError(f"model.path={path}: {CONFIG} cannot be read ({type(error).__name__}: {error})") from error
    if not isinstance(config, dict) or not isinstance(config.get("model_type"), str):
        raise UserError(
            f"model.path={path}: {CONFIG} names no model_type, as every model of Hugging Face's format does"
        )
    return config


@functools.lru_cache(maxsize=256)
def _weights_problem(file: Path, quantized: bool, size: int, changed: int) -> str | None:
    """Return why a file is not safetensors of the size that its header gives; the numbers are not read.

    Args:
        file: The file.
        quantized: Whether the config says how integers are to be read as weights.
        size: Size of the file; with `changed`, it tells whether the file was looked at before.
        changed: Its time of change.

    Returns:
        The reason, or None if the file is whole.
    """
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(file, framework="np") as weights:
            kinds = {} if quantized else {name: weights.get_slice(name).get_dtype() for name in weights.keys()}  # noqa: SIM118
    except (SafetensorError, OSError) as error:
        return f"is damaged ({error}); download or copy the file again"
    integers = [
        name for name, kind in kinds.items() if name.endswith(".weight") and kind.startswith(("I", "U", "BOOL"))
    ]
    if not integers:
        return None
    return (
        f"holds {len(integers)} weights that are integers, such as {integers[0]} ({kinds[integers[0]]}), and "
        "config.json has no quantization_config; type model.path= with the model in floating point"
    )
