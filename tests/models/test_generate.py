"""Generation: independence of the batch, and sampling from the model's distribution."""

import pytest
import torch
from scipy.stats import chisquare

from mmdpo.config.schema import ModelConfig
from mmdpo.errors import UserError
from mmdpo.models.generate import Decoding, GumbelNoise, generate, generate_several
from mmdpo.models.loading import load_model, load_processor
from mmdpo.records import Prompt
from mmdpo.seeds import answer_seed
from tests.support.tiny import save_tiny_llava, tiny_pairs


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tiny")
    pairs = tiny_pairs(folder / "images", count=9)
    prompts = [Prompt(pair.id, pair.question, pair.images, pair.history) for pair in pairs]
    path = save_tiny_llava(folder / "model")
    return (
        load_model(str(path), "float32").eval(),
        load_processor(ModelConfig(path=str(path))),
        prompts,
        folder / "images",
    )


def texts(tiny, order=None, batch_size=4, **decoding):
    model, processor, prompts, images = tiny
    asked = [prompts[index] for index in order] if order else prompts
    return dict(
        zip(
            [prompt.id for prompt in asked],
            generate(model, processor, asked, images, Decoding(8, batch_size, **decoding)),
            strict=True,
        )
    )


def test_greedy_answers_are_the_models_own(tiny):
    model, processor, prompts, images = tiny
    answers = texts(tiny, batch_size=3)
    assert len(set(answers.values())) > 1
    for prompt in prompts:
        assert generate(model, processor, [prompt], images, Decoding(8, 1)) == [answers[prompt.id]]


@pytest.mark.parametrize("temperature", [0.0, 0.7])
def test_batch_size_and_order_do_not_change_a_text(tiny, temperature):
    reference = texts(tiny, temperature=temperature)
    assert texts(tiny, batch_size=1, temperature=temperature) == reference
    assert texts(tiny, order=[8, 3, 0, 5, 1, 2, 7, 6, 4], temperature=temperature) == reference


def test_a_completion_says_whether_the_limit_cut_it(tiny):
    model, processor, prompts, images = tiny
    reasons = {}
    for limit in (1, 60):
        found = generate_several(model, processor, prompts, images, Decoding(limit, 4, temperature=1.0), 3)
        reasons[limit] = [one.finish_reason for answers in found for one in answers]
        assert [one.prompt_id for answers in found for one in answers] == [one.id for one in prompts for _ in range(3)]
    assert reasons[1].count("length") > 20
    assert reasons[60].count("stop") > 15


def test_seed_and_index_make_different_texts(tiny):
    model, processor, prompts, images = tiny
    decoding = Decoding(8, 4, temperature=2.0)
    several = generate_several(model, processor, prompts, images, decoding, 2)
    assert [one.text for one, _ in several] != [other.text for _, other in several]
    assert texts(tiny, temperature=2.0, seed=1) != texts(tiny, temperature=2.0, seed=2)
    assert len({answer_seed(seed, name, index) for seed in range(3) for name in "ab" for index in range(3)}) == 18


def test_top_p_keeps_the_most_likely_token_alone_when_it_is_small(tiny):
    assert texts(tiny, temperature=1.5, top_p=1e-6) == texts(tiny)


def test_the_noise_draws_from_the_softmax():
    scores, temperature, draws = torch.tensor([2.0, 1.0, 0.0, -1.0]), 0.7, 20_000
    noise = GumbelNoise([7], temperature)
    picked = torch.tensor([int(noise(torch.zeros(1, 0), scores[None]).argmax()) for _ in range(draws)])
    expected = torch.softmax(scores / temperature, 0) * draws
    assert (
        chisquare(torch.bincount(picked, minlength=4).numpy(), expected.double().numpy(), sum_check=False).pvalue > 0.01
    )


def test_a_batch_that_memory_does_not_take_is_made_smaller(tiny, monkeypatch, capsys):
    expected, model = texts(tiny, batch_size=8), tiny[0]
    real, sizes = model.generate, []

    def small(input_ids, **given):
        sizes.append(len(input_ids))
        if len(input_ids) > most:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return real(input_ids=input_ids, **given)

    monkeypatch.setattr(model, "generate", small)
    most = 2
    assert texts(tiny, batch_size=8) == expected
    assert capsys.readouterr().out.splitlines()[0] == "out of memory: continuing with batches of 3 prompts"
    assert max(sizes[2:]) <= most
    most = 0
    with pytest.raises(UserError, match=r"not enough memory for 1 answers of 8 tokens.*max_new_tokens"):
        texts(tiny, batch_size=8)


def test_progress_counts_every_answer(tiny):
    model, processor, prompts, images = tiny
    counted: list[int] = []
    generate(model, processor, prompts, images, Decoding(2, 4), advance=counted.append)
    assert sum(counted) == len(prompts)


def test_a_missing_image_is_named(tiny):
    model, processor, _, images = tiny
    with pytest.raises(UserError, match=r"gone\.png"):
        generate(model, processor, [Prompt("p", "what", ("gone.png",))], images, Decoding(2, 1))


def test_an_image_token_in_a_question_is_refused_with_the_prompts_id(tiny):
    model, processor, _, images = tiny
    with pytest.raises(UserError, match="Record 'p7'"):
        generate(model, processor, [Prompt("p7", "what <image> is")], images, Decoding(2, 1))


@pytest.mark.parametrize("temperature", [0.0, 0.7])
def test_a_model_that_computes_nan_does_not_answer(tiny, temperature):
    model, processor, prompts, images = tiny
    weight = model.get_output_embeddings().weight
    before = weight.data.clone()
    weight.data[3] = float("nan")
    try:
        with pytest.raises(UserError, match=r"NaN.*model\.dtype=float32"):
            generate(model, processor, prompts[:2], images, Decoding(4, 2, temperature=temperature))
    finally:
        weight.data = before


def test_a_record_that_the_processor_does_not_take_is_named(tiny, monkeypatch):
    model, processor, prompts, images = tiny

    def refuse(self, *given, **named):
        raise ValueError("absolute aspect ratio must be smaller than 200")

    monkeypatch.setattr(type(processor), "__call__", refuse)
    with pytest.raises(UserError, match=rf"{prompts[0].id} \(absolute aspect ratio.*model\.path="):
        generate(model, processor, prompts[:1], images, Decoding(4, 2))
