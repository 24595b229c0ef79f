"""Start of a training from an adapter: its LoRA is trained further, or merged before a new one is trained.

Both leave one adapter on the base, so what measures, samples and exports needs to know nothing of the start. After
`merge`, the adapter holds both LoRAs: `[A1; A2]` and `[s1 B1, s2 B2]`, whose product is the sum of both changes.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mmdpo.config.choices import WITHOUT_REFERENCE, AdapterUse, ReferenceModel
from mmdpo.errors import UserError
from mmdpo.models.adapter import ADAPTER_NAME, adapted, load_adapter_weights
from mmdpo.models.adapter_files import WEIGHTS
from mmdpo.models.adapter_match import start_mismatch
from mmdpo.models.fingerprints import adapter_fingerprint
from mmdpo.models.quantization import load_training_base
from mmdpo.training.lora import pattern_of

if TYPE_CHECKING:
    import torch
    from peft import LoraConfig, PeftModel
    from transformers import PreTrainedModel

    from mmdpo.config.schema import ModelConfig
    from mmdpo.training.settings import TrainingSettings

A, B = ".lora_A.weight", ".lora_B.weight"


@dataclass(frozen=True)
class LoraWeights:
    """Weights of an adapter by the names in its file.

    Attributes:
        layers: `A` [r, in] and the scaled `B` [out, r] of each layer, by the layer's name.
        modules: The weights of whole modules, such as the projector's.
        saved: The names of these modules.
    """

    layers: dict[str, tuple[torch.Tensor, torch.Tensor]]
    modules: dict[str, torch.Tensor]
    saved: frozenset[str]


class StartAdapter:
    """The adapter that a training starts from."""

    def __init__(self, model: ModelConfig) -> None:
        """Note the adapter of `model.adapter` and its use."""
        assert model.adapter is not None
        self._model, self._use, self._adapter = model, model.adapter_use, Path(model.adapter)
        self._merged: LoraWeights | None = None

    def load(self) -> PreTrainedModel:
        """Load the model that LoRA layers are added to: the base, with the adapter merged for `merge`."""
        base = _load_base(self._model, own_weights=self._use is AdapterUse.merge)
        if self._use is AdapterUse.train:
            return base
        with_layers = adapted(base, self._model, self._adapter)
        self._merged = _weights_of(with_layers, self._adapter)
        result: PreTrainedModel = with_layers.merge_and_unload()
        return result.eval()

    def begin(self, trained: PeftModel) -> None:
        """Give the new LoRA layers the adapter's weights for `train`.

        Raises UserError if the layers are others than the adapter's.
        """
        if self._use is not AdapterUse.train:
            return
        if mismatch := start_mismatch(self._adapter, self._model):
            raise UserError(mismatch)
        load_adapter_weights(trained, self._model, self._adapter)

    def finish(self, trained: PeftModel, folder: Path) -> None:
        """Check that the training has changed the adapter in a folder, and for `merge` add the merged LoRA to it."""
        if self._merged is None:
            _require_other_weights(self._adapter, folder)
            return
        _write(_combined(self._merged, _weights_of(trained, folder)), trained, folder)


def reference_model(model: ModelConfig, which: ReferenceModel) -> PreTrainedModel:
    """Load the reference of a preference loss: the model that the training starts from, or the base.

    A LoRA that is trained further stays apart from the weights, as in the training: merged ones are rounded.
    """
    if model.adapter is None or which is ReferenceModel.base:
        return _load_base(model)
    merge = model.adapter_use is AdapterUse.merge
    with_layers = adapted(_load_base(model, own_weights=merge), model, Path(model.adapter))
    result: Any = with_layers.merge_and_unload() if merge else with_layers.get_base_model()
    return result


def _load_base(model: ModelConfig, own_weights: bool = False) -> PreTrainedModel:
    """Load the base of a training and of its reference; its weights are changed if they are to be its own."""
    return load_training_base(model, own_weights)


def start_key(model: ModelConfig) -> list[str]:
    """Return what results depend on besides the base: content and use of the start adapter; nothing without one."""
    if model.adapter is None:
        return []
    return [adapter_fingerprint(Path(model.adapter), "model.adapter"), model.adapter_use.value]


def describe_start(settings: TrainingSettings) -> dict[str, str]:
    """Return the adapter, its use and the reference model for the summary of a training."""
    facts = dict(zip(("adapter", "use"), start_key(settings.model), strict=False))
    if facts and settings.method.train_on not in WITHOUT_REFERENCE:
        facts["reference"] = settings.method.reference.value
    return facts


def _weights_of(model: PeftModel, adapter: Path) -> LoraWeights:
    """Copy the weights of a model's LoRA, the scale in `B`. Raises UserError for variants that have more weights."""
    from peft import get_peft_model_state_dict

    state = get_peft_model_state_dict(model, adapter_name=ADAPTER_NAME, save_embedding_layers=False)
    layers: dict[str, tuple[torch.Tensor, torch.Tensor]] = {}
    modules: dict[str, torch.Tensor] = {}
    for name, weight in state.items():
        if name.endswith(A):
            layer = name.removesuffix(A)
            scale = model.get_submodule(layer).scaling[ADAPTER_NAME]
            up = state[f"{layer}{B}"].detach().float().cpu()
            layers[layer] = weight.detach().float().cpu().clone(), up * scale
        elif "lora_" not in name:
            modules[name] = weight.detach().cpu().clone()
        elif not name.endswith(B):
            raise UserError(
                f"{adapter}: two LoRAs with weights such as {name} cannot be combined in one; type "
                "model.adapter_use=train"
            )
    return LoraWeights(layers, modules, frozenset(model.peft_config[ADAPTER_NAME].modules_to_save or ()))


def _combined(first: LoraWeights, second: LoraWeights) -> LoraWeights:
    """Return one LoRA with the effect of two: their ranks one after the other. Of a whole module the second counts."""
    import torch

    layers = dict(first.layers)
    for name, (down, up) in second.layers.items():
        if before := layers.get(name):
            down, up = torch.cat([before[0], down]), torch.cat([before[1], up], dim=1)
        layers[name] = down, up
    return LoraWeights(layers, {**first.modules, **second.modules}, first.saved | second.saved)


def _write(weights: LoraWeights, trained: PeftModel, folder: Path) -> None:
    """Write a combined adapter in place of the trained one in a folder."""
    from safetensors.torch import save_file

    tensors = {
        f"{name}{end}": one for name, pair in weights.layers.items() for end, one in zip((A, B), pair, strict=True)
    }
    tensors |= weights.modules
    save_file({name: tensors[name].contiguous() for name in sorted(tensors)}, folder / WEIGHTS, {"format": "pt"})
    _combined_config(weights, trained).save_pretrained(str(folder))


def _combined_config(weights: LoraWeights, trained: PeftModel) -> LoraConfig:
    """Return the configuration of a combined adapter, whose scale is 1: `lora_alpha` is the rank."""
    prefix = "base_model.model."
    ranks = {name.removeprefix(prefix): len(down) for name, (down, _) in weights.layers.items()}
    rank = max(ranks.values())
    others = {name: own for name, own in sorted(ranks.items()) if own != rank}
    config = copy.copy(trained.peft_config[ADAPTER_NAME])
    config.r = config.lora_alpha = rank
    config.use_rslora = False
    config.rank_pattern, config.alpha_pattern = others, dict(others)
    config.target_modules = pattern_of(list(ranks), [name for name, _ in trained.get_base_model().named_modules()])
    config.modules_to_save = sorted(weights.saved) or None
    config.inference_mode = True
    return config


def _require_other_weights(start: Path, trained: Path) -> None:
    """Raise UserError if a training has left the weights of the adapter as they were."""
    import torch
    from safetensors.torch import load_file

    before, after = load_file(start / WEIGHTS), load_file(trained / WEIGHTS)
    if before.keys() == after.keys() and all(torch.equal(before[name], after[name]) for name in before):
        raise UserError(
            f"the training was without effect: all weights are those of {start}; type a larger lr= or "
            "train.num_train_epochs="
        )
