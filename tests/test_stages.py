"""The data stages, from prompts to pairs: deterministic, chained, and clear about what is missing."""

from pathlib import Path

import pytest

from mmdpo.compose import compose_config
from mmdpo.config import Stage
from mmdpo.data_stages import DATA_STAGES, describe_data, made, pipeline, training_set
from mmdpo.errors import UserError
from mmdpo.records import Annotation, Completion, PreferencePair, Prompt, SftExample, read_records
from mmdpo.stages import run_data_stage

SMALL = ["data.prompts=24", "data.sampling.batch_size=8", "data.sampling.max_new_tokens=16"]


def files(cache: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(cache)): path.read_bytes()
        for path in sorted(cache.rglob("*"))
        if path.is_file() and not path.name.endswith(".lock")
    }


def test_the_same_settings_make_the_same_bytes_twice(tmp_path, monkeypatch):
    caches = [tmp_path / "one", tmp_path / "two"]
    for cache, batch_size in zip(caches, (8, 5), strict=True):  # the batch size is no setting of the data
        monkeypatch.setenv("MMDPO_CACHE", str(cache))
        made(compose_config([*SMALL, f"data.sampling.batch_size={batch_size}"]), Stage.build)
    one, two = map(files, caches)
    assert any(name.endswith(".png") for name in one)
    assert {name.split("/")[0] for name in one} == {
        DATA_STAGES[stage].kind for stage in pipeline(compose_config([]))
    }
    assert one == two


def test_each_stage_keeps_the_prompts_and_their_order(tmp_path, monkeypatch):
    monkeypatch.setenv("MMDPO_CACHE", str(tmp_path))
    config = compose_config(SMALL)
    folder = {stage: made(config, stage) for stage in pipeline(config)}
    prompts = list(read_records(folder[Stage.prompts] / "prompts.jsonl", Prompt))
    completions = list(read_records(folder[Stage.sample] / "completions.jsonl", Completion))
    annotations = list(read_records(folder[Stage.annotate] / "annotations.jsonl", Annotation))
    pairs = list(read_records(folder[Stage.build] / "examples.jsonl", PreferencePair))
    ids = [prompt.id for prompt in prompts]
    assert [(c.prompt_id, c.index) for c in completions] == [(id_, n) for id_ in ids for n in range(4)]
    assert [annotation.prompt_id for annotation in annotations] == ids
    assert {len(annotation.ratings) for annotation in annotations} == {4}
    assert 0 < len(pairs) < len(ids)
    assert [pair.id for pair in pairs] == [id_ for id_ in ids if id_ in {pair.id for pair in pairs}]
    assert training_set(config).counts == {"prompts": 24, "pairs": len(pairs)}


@pytest.mark.parametrize(
    ("override", "remade"),
    [
        ("data.seed=1", 4),
        ("data.sampling.temperature=0.9", 3),
        ("judge=longer", 2),
        ("method.pair_margin=3", 1),
        ("train.epochs=2", 0),
        ("data.sampling.batch_size=2", 0),
    ],
)
def test_a_setting_remakes_its_stage_and_the_later_ones(override, remade):
    before, after = (
        [DATA_STAGES[stage].key(compose_config([*SMALL, *more])) for stage in pipeline(compose_config([]))]
        for more in ([], [override])
    )
    changed = [one != two for one, two in zip(before, after, strict=True)]
    assert changed == [False] * (4 - remade) + [True] * remade


def test_a_stage_alone_names_the_one_before_it(tmp_path, monkeypatch):
    monkeypatch.setenv("MMDPO_CACHE", str(tmp_path))
    config = compose_config(SMALL)
    with pytest.raises(UserError, match="stage=prompts"):
        run_data_stage(config, Stage.reference)
    run_data_stage(config, Stage.prompts)
    with pytest.raises(UserError, match="no completions .* stage=sample"):
        run_data_stage(config, Stage.annotate)
    assert [line.split(":")[0] for line in describe_data(config, Stage.sample)] == ["prompts", "completions"]


def test_a_method_has_only_the_stages_that_it_needs(tmp_path, monkeypatch):
    monkeypatch.setenv("MMDPO_CACHE", str(tmp_path))
    config = compose_config([*SMALL, "method=sft"])
    lines = [line.split(":")[0] for line in describe_data(config, Stage.experiment)]
    assert lines == ["prompts", "teacher", "training_set"]
    for stage in (Stage.sample, Stage.annotate):
        for look in (run_data_stage, lambda *point: list(describe_data(*point))):
            with pytest.raises(UserError, match="method=sft is made by the stages prompts, teacher, build"):
                look(config, stage)
    with pytest.raises(UserError, match="stage=teacher: .* prompts, sample, annotate, build"):
        run_data_stage(compose_config(SMALL), Stage.teacher)
    with pytest.raises(UserError, match="method=sft has no reference model"):
        run_data_stage(config, Stage.reference)
    with pytest.raises(UserError, match="no prompts .* stage=prompts"):
        run_data_stage(config, Stage.teacher)
    for stage in (Stage.prompts, Stage.teacher, Stage.build):
        run_data_stage(config, stage)
    assert {path.name for path in tmp_path.iterdir() if path.is_dir()} == {
        "prompts",
        "teacher",
        "training_set",
    }
    assert training_set(config).counts == {"prompts": 24, "examples": 24}


def test_the_sets_of_all_methods_are_made_of_the_same_completions(tmp_path, monkeypatch):
    monkeypatch.setenv("MMDPO_CACHE", str(tmp_path))
    sets = {
        name: training_set(compose_config([*SMALL, f"method={name}"]))
        for name in ("dpo", "rejection_sampling", "steerlm")
    }
    assert len(list((tmp_path / "completions").glob("[!.]*/completions.jsonl"))) == 1
    best = {example.id: example for example in sets["rejection_sampling"].examples}
    every = sets["steerlm"].examples
    assert (len(best), len(every)) == (24, 96)
    assert all(pair.chosen == best[pair.id].answer for pair in sets["dpo"].examples)
    assert {example.answer for example in best.values()} <= {example.answer for example in every}
    for example in every:
        assert isinstance(example, SftExample)
        assert example.question.startswith(best[example.id.rsplit("-", 1)[0]].question + " helpfulness ")
        assert example.rating is None  # it stands in the question now


@pytest.mark.parametrize(
    "overrides",
    [
        ["beta=0.3"],
        ["lr=1e-3", "data_limit=5", "data_scale=0.5"],
        ["method=ipo"],
        ["method=robust", "method.label_smoothing=0.2"],
        ["method.fine_grained=true"],
        ["model.attribute_template='{attributes} {question}'"],
    ],
)
def test_pairs_do_not_depend_on_what_is_done_with_them(overrides):
    key = DATA_STAGES[Stage.build].key
    assert key(compose_config([*SMALL, *overrides])) == key(compose_config(SMALL))


def test_what_is_asked_for_when_measured_does_not_remake_steerlms_examples():
    key = DATA_STAGES[Stage.build].key
    one, other = (["method=steerlm", *more] for more in ([], ["method.attributes.verbosity=1"]))
    assert key(compose_config(one)) == key(compose_config(other))


def test_sft_learns_the_chosen_answers_of_own_pairs(tmp_path):
    file = tmp_path / "pairs.jsonl"
    file.write_text('{"id": "a", "prompt": "Why?", "chosen": "So it is.", "rejected": "No."}\n')
    own = training_set(compose_config(["method=sft", "data=pairs", f"data.path={file}"]))
    assert list(own.examples) == [SftExample("a", "Why?", "So it is.")]


def test_own_pairs_have_no_data_stages(tmp_path):
    file = tmp_path / "pairs.jsonl"
    file.write_text('{"prompt": "Why?", "chosen": "So it is.", "rejected": "No."}\n')
    config = compose_config(["data=pairs", f"data.path={file}"])
    with pytest.raises(UserError, match="data=pairs brings its own pairs"):
        run_data_stage(config, Stage.build)
    assert not list(describe_data(config, Stage.experiment))
    assert training_set(config).counts == {"rows": 1, "pairs": 1}
