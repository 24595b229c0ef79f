"""Export of the trained model, which loads without mmdpo."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from PIL import Image

from mmdpo.models.loading import load_model
from mmdpo.training.export import export_model
from mmdpo.training.run import train_adapter
from tests.support.tiny import Tiny, tiny_settings


@pytest.mark.parametrize("projector", [False, True])
def test_the_folder_has_the_adapted_models_logits(tiny: Tiny, tmp_path: Path, projector: bool) -> None:
    from peft import PeftModel
    from transformers import AutoModelForImageTextToText, AutoProcessor

    settings = tiny_settings(tiny.model, model__train_projector=projector, model__projector_lr=1e-1)
    train_adapter(settings, tiny.pairs, tiny.images, tmp_path, lambda metrics, step: None, lambda step: None)
    export_model(settings.model, tmp_path / "adapter", tmp_path / "export")

    processor = AutoProcessor.from_pretrained(tmp_path / "export")
    pair = next(pair for pair in tiny.pairs if pair.images)
    conversation = [{"role": "user", "content": [{"type": "image"}, {"type": "text", "text": pair.question}]}]
    text = processor.apply_chat_template(conversation, add_generation_prompt=True)
    image = Image.open(tiny.images / pair.images[0]).convert("RGB")
    inputs = processor(images=[image], text=[text], return_tensors="pt")
    plain = AutoModelForImageTextToText.from_pretrained(tmp_path / "export").eval()
    base = load_model(settings.model.path, "float32")
    with torch.no_grad():
        found, before = plain(**inputs).logits, base(**inputs).logits
        adapted = PeftModel.from_pretrained(base, str(tmp_path / "adapter")).eval()(**inputs).logits
    torch.testing.assert_close(found, adapted, atol=1e-4, rtol=1e-4)
    assert (found - before).abs().max() > 1e-2


def test_the_processor_keeps_the_template_of_the_training(tiny: Tiny, tmp_path: Path) -> None:
    from transformers import AutoProcessor

    settings = tiny_settings(tiny.model, model__chat_template="vicuna_v1", model__pad_to_square=True)
    train_adapter(settings, tiny.pairs, tiny.images, tmp_path, lambda metrics, step: None, lambda step: None)
    export_model(settings.model, tmp_path / "adapter", tmp_path / "export")
    processor = AutoProcessor.from_pretrained(tmp_path / "export")
    assert "curious user" in processor.chat_template
    assert type(processor.image_processor).__name__.startswith("Llava")
    assert processor.image_processor.do_pad
