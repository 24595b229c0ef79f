"""The folder that a server loads: the model's own weights, with the processor that this program would ask it by.

A server takes chat template and image processor from the folder of the model. With `model.chat_template` or
`model.pad_to_square` the checkpoint's own are not those of the training. The folder is in the cache; its weights are
links.
"""

from __future__ import annotations

from pathlib import Path

from mmdpo.cache import cached_path
from mmdpo.config.schema import ModelConfig
from mmdpo.files import atomic_write
from mmdpo.locks import hold_lock
from mmdpo.models.fingerprints import PROCESSOR_FILES, WEIGHT_FILES, processor_fingerprint, weights_fingerprint
from mmdpo.models.load_errors import translate_load_errors
from mmdpo.models.paths import resolve_path
from mmdpo.storage import translate_storage_errors

LINKED = (*WEIGHT_FILES, "generation_config.json", "*.safetensors.index.json")
KIND = "served_model"


def served_folder(model: ModelConfig, text_only: bool = False) -> str:
    """Return the folder, or the hub id, that a server of an untrained model loads.

    Args:
        model: The settings of the model.
        text_only: Whether it is a language model without a part for images, whose own template comes first.

    Raises:
        UserError: The model or its processor cannot be loaded.
    """
    if not model.chat_template and not model.pad_to_square:
        return resolve_path(model.path)
    if text_only and _has_own_template(model.path):
        return resolve_path(model.path)
    source = _local(model.path)
    key = {
        "source": str(source),
        "weights": weights_fingerprint(model.path),
        "processor": processor_fingerprint(model),
        "text_only": text_only,
    }
    folder = cached_path(KIND, key)
    with translate_storage_errors():
        folder.parent.mkdir(parents=True, exist_ok=True)
    with translate_storage_errors(), hold_lock(folder.with_name(f".{folder.name}.lock"), f"makes the same {KIND}"):
        if not all((folder / one.name).exists() for one in _linked(source)):
            with atomic_write(folder) as aside:
                aside.mkdir()
                _save_processor(model, text_only, aside)
                for one in _linked(source):
                    (aside / one.name).unlink(missing_ok=True)
                    (aside / one.name).symlink_to(one)
    return str(folder.resolve())


def _linked(source: Path) -> list[Path]:
    return sorted({file for pattern in LINKED for file in source.glob(pattern) if file.is_file()})


def _save_processor(model: ModelConfig, text_only: bool, folder: Path) -> None:
    if text_only:
        from mmdpo.models.causal import load_text_processor

        load_text_processor(model).save_pretrained(folder)
    else:
        from mmdpo.models.loading import load_processor

        load_processor(model).save_pretrained(folder)


def _has_own_template(path: str) -> bool:
    from mmdpo.models.causal import has_own_template

    return has_own_template(path)


def _local(path: str) -> Path:
    """Return the folder of a model; one on the hub is downloaded first."""
    folder = Path(resolve_path(path))
    if folder.is_dir():
        return folder.resolve()
    from huggingface_hub import snapshot_download

    with translate_load_errors(f"model.path={path}", "model"):
        return Path(snapshot_download(path, allow_patterns=[*LINKED, *PROCESSOR_FILES])).absolute()
