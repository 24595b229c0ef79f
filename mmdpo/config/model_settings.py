"""Settings of `model`: a checkpoint and the LoRA layers that are trained on it."""

from dataclasses import dataclass, field
from typing import Annotated

from annotated_types import Interval
from omegaconf import MISSING

from mmdpo.config.choices import ATTENTIONS, DTYPES, QUANTIZATIONS, AdapterUse
from mmdpo.config.markers import AT_LEAST_ONE, NO_RESULT, POSITIVE, SEVERAL_LINES, OneOf


@dataclass
class LoraConfig:
    """LoRA on the linear layers of the language model, with PEFT's names."""

    r: Annotated[int, AT_LEAST_ONE] = 128  # paper, table of A.1
    lora_alpha: Annotated[int, AT_LEAST_ONE] = 256  # paper, table of A.1
    lora_dropout: Annotated[float, Interval(ge=0, lt=1)] = 0.05  # the authors' scripts
    use_rslora: bool = False  # scale by alpha / sqrt(r) instead of alpha / r (Kalajdzievski, 2023)
    use_dora: bool = False  # train the magnitude of each weight, too (Liu et al., 2024)


@dataclass
class ModelConfig:
    """A vision-language model in Hugging Face format."""

    name: Annotated[str, NO_RESULT] = MISSING  # a label
    path: str = MISSING  # a folder, a hub id, or pkg://package/folder
    adapter: str | None = None  # a folder in PEFT format that the training starts from
    adapter_use: AdapterUse = AdapterUse.train  # of model.adapter, and of the round before
    # The same language model before visual instruction tuning, drawn as a dashed line:
    before_visual_tuning: Annotated[str | None, NO_RESULT] = None
    dtype: Annotated[str, OneOf(DTYPES)] = "auto"  # auto: bfloat16 on a GPU, float32 on a CPU
    # Of training and its reference; other models of a point are loaded in `dtype`:
    quantization: Annotated[str | None, OneOf(QUANTIZATIONS)] = None  # 4-bit weights of the frozen base (QLoRA)
    attn_implementation: Annotated[str, OneOf(ATTENTIONS)] = "auto"  # auto: sdpa
    chat_template: str | None = None  # a file of mmdpo/models/templates; null: the checkpoint's own
    pad_to_square: bool = False  # with the processor's mean colour, as LLaVA-1.5 was trained
    # steerlm: the text of a prompt that requests ratings
    attribute_template: Annotated[str, SEVERAL_LINES] = "{question}\n{attributes}"
    train_projector: bool = False  # in addition to LoRA; saved in the adapter as modules_to_save
    projector_lr: Annotated[float, POSITIVE] = 2e-5  # the authors' scripts
    threads: Annotated[int | None, AT_LEAST_ONE, NO_RESULT] = None  # CPU threads of torch; null: torch's default
    # Learning rates by the method's name, where this model needs another than method.lr:
    lr: Annotated[dict[str, float], POSITIVE, NO_RESULT] = field(default_factory=dict)
    lora: LoraConfig = field(default_factory=LoraConfig)
