"""Noisy-image MT-Bench: its images, and that they reach the model."""

import pytest
import torch
from PIL import Image

from mmdpo.config.choices import NoiseImage
from mmdpo.config.schema import BenchConfig, ModelConfig
from mmdpo.errors import UserError
from mmdpo.evaluation.task import TURN_IMAGES, load_task
from mmdpo.models.generate import model_inputs
from mmdpo.models.loading import load_model, load_processor
from mmdpo.models.requests import GenerationRequest
from mmdpo.records import Completion
from tests.support.bench_mt_bench import write_mt_bench, write_photos
from tests.support.tiny import PATCH, SIDE, save_tiny_llava

TASK = load_task("mt_bench_noisy")


def bench_of(root, noise, **others):
    write_mt_bench(root)
    return BenchConfig(tasks=["mt_bench_noisy"], root=str(root), noise=noise, **others)


def pixels(folder, names):
    return [Image.open(folder / name).tobytes() for name in names]


@pytest.mark.parametrize("noise", list(NoiseImage))
def test_each_question_has_an_image_that_seed_and_question_choose(noise, tmp_path):
    write_photos(tmp_path, count=20)
    bench = bench_of(tmp_path, noise)
    first, again = ([*TASK.samples(bench, tmp_path / name)] for name in ("1", "2"))
    assert first == again
    names = [prompt.images[0] for prompt in first]
    assert len(set(names)) == 3
    images = pixels(tmp_path / "1", names)
    assert images == pixels(tmp_path / "2", names)
    assert len(set(images)) == (1 if noise is NoiseImage.blank else 3)
    bench.seed = 1
    TASK.samples(bench, tmp_path / "3")
    assert (pixels(tmp_path / "3", names) == images) is (noise is NoiseImage.blank)
    sizes = {Image.open(tmp_path / "1" / name).size for name in names}
    assert sizes == {(672, 25) if noise is NoiseImage.photo else (336, 336)}


def test_an_image_before_each_turn(tmp_path):
    bench = bench_of(tmp_path, NoiseImage.noise, noise_per_turn=True)
    prompts = TASK.samples(bench, tmp_path / "out")
    later = [prompt.facts[TURN_IMAGES] for prompt in prompts]
    assert all(len(names) == 1 for names in later)
    first, second = pixels(tmp_path / "out", [prompts[0].images[0], later[0][0]])
    assert first != second


def test_photographs_are_named_when_they_are_missing_and_count_in_the_identity(tmp_path):
    bench = bench_of(tmp_path, NoiseImage.photo)
    with pytest.raises(UserError, match=r"bench\.files\.mt_bench_photos"):
        TASK.samples(bench, tmp_path / "out")
    assert [file.key for file in TASK.bench_files if not file.used(bench_of(tmp_path, NoiseImage.blank))] == [
        "mt_bench_photos"
    ]
    without = TASK.fingerprint(bench)
    folder = write_photos(tmp_path, count=1)
    before = TASK.fingerprint(bench)
    Image.new("RGB", (9, 9)).save(folder / "0.jpg")
    assert len({without, before, TASK.fingerprint(bench)}) == 3
    (folder / "0.jpg").write_bytes(b"torn")
    with pytest.raises(UserError, match=r"0\.jpg"):
        TASK.samples(bench, tmp_path / "out")
    (folder / "0.jpg").rename(folder / "0.txt")
    with pytest.raises(UserError, match=r"no images.*bench\.noise=blank"):
        TASK.samples(bench, tmp_path / "out")


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    path = save_tiny_llava(tmp_path_factory.mktemp("tiny"))
    return load_model(str(path), "float32").eval(), load_processor(ModelConfig(path=str(path)))


@pytest.mark.parametrize("per_turn", [False, True])
@torch.inference_mode()
def test_image_tokens_and_image_features_are_in_the_input_of_each_turn(per_turn, tiny, tmp_path):
    model, processor = tiny
    prompts = TASK.samples(bench_of(tmp_path, NoiseImage.noise, noise_per_turn=per_turn), tmp_path / "out")[:1]
    counted, features = [], []

    class Inference:
        def generate(self, requests: list[GenerationRequest]):
            asked = [request.prompt for request in requests]
            inputs = model_inputs(model, processor, asked, tmp_path / "out")
            counted.append(int((inputs["input_ids"] == model.config.image_token_id).sum()))
            found = model.get_image_features(pixel_values=inputs["pixel_values"], return_dict=True).pooler_output
            features.append(torch.cat([*found]))
            return [Completion(prompt.id, 0, "yes", "stop") for prompt in asked]

    TASK.solver(Inference(), prompts)
    tokens = (SIDE // PATCH) ** 2
    assert counted == [tokens, tokens * (2 if per_turn else 1)]
    for count, found in zip(counted, features, strict=True):
        assert len(found) == count
        assert found.isfinite().all()
        assert found.abs().sum(-1).min() > 0
