"""The data stages, from prompts to pairs: determinism, order, and messages about missing input."""

import csv
import json
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from mmdpo.analysis.audit.annotations import audit_annotations
from mmdpo.analysis.audit.write import audit_frames
from mmdpo.cache import DIGESTS
from mmdpo.clients.journal import account_of, journal
from mmdpo.config.choices import OnBadRow, Stage
from mmdpo.entry.compose import compose_config
from mmdpo.errors import UserError
from mmdpo.files import read_json
from mmdpo.judge.judges import journal_of
from mmdpo.pipeline.data_stages import DATA_STAGES, describe_data, get_or_make, pipeline
from mmdpo.pipeline.point_stages import run_data_stage
from mmdpo.pipeline.training_sets import training_set
from mmdpo.records import Annotation, Completion, PreferencePair, Prompt, SftExample, read_records
from mmdpo.sources.pair_reader import read_pairs
from mmdpo.testing.fake_gemini import fake_gemini

SMALL = ["data.prompts=24", "data.sampling.batch_size=8", "data.sampling.max_new_tokens=16"]


def files(cache: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(cache)): path.read_bytes()
        for path in sorted(cache.rglob("*"))
        if path.is_file() and not path.name.endswith(".lock") and path.name != DIGESTS  # which has times
    }


def test_the_same_settings_make_the_same_bytes_twice(tmp_path, monkeypatch):
    caches = [tmp_path / "one", tmp_path / "two"]
    for cache, batch_size in zip(caches, (8, 5), strict=True):  # the batch size is no setting of the data
        monkeypatch.setenv("MMDPO_CACHE", str(cache))
        get_or_make(compose_config([*SMALL, f"data.sampling.batch_size={batch_size}"]), Stage.build)
    one, two = map(files, caches)
    assert any(name.endswith(".png") for name in one)
    assert {name.split("/")[0] for name in one} == {DATA_STAGES[stage].kind for stage in pipeline(compose_config([]))}
    assert one == two


def test_each_stage_keeps_the_prompts_and_their_order(tmp_path, monkeypatch):
    monkeypatch.setenv("MMDPO_CACHE", str(tmp_path))
    config = compose_config(SMALL)
    folder = {stage: get_or_make(config, stage) for stage in pipeline(config)}
    prompts = list(read_records(folder[Stage.prompts] / "prompts.jsonl", Prompt))
    completions = list(read_records(folder[Stage.sample] / "completions.jsonl", Completion))
    annotations = list(read_records(folder[Stage.annotate] / "annotations.jsonl", Annotation))
    pairs = list(read_records(folder[Stage.build] / "examples.jsonl", PreferencePair))
    ids = [prompt.id for prompt in prompts]
    assert [(one.prompt_id, one.index) for one in completions] == [(id_, n) for id_ in ids for n in range(4)]
    assert [annotation.prompt_id for annotation in annotations] == ids
    assert {len(annotation.ratings) for annotation in annotations} == {4}
    assert 0 < len(pairs) < len(ids)
    assert [pair.id for pair in pairs] == [id_ for id_ in ids if id_ in {pair.id for pair in pairs}]
    counts = training_set(config).counts
    assert (counts["prompts"], counts["rated"], counts["pairs"]) == (24, 24, len(pairs))
    assert counts["pairs"] + counts.get("tied", 0) + counts.get("too_close", 0) == 24


@pytest.mark.parametrize(
    ("override", "remade"),
    [
        ("data.seed=1", 4),
        ("data.sampling.temperature=0.9", 3),
        ("judge=longer", 2),
        ("pairs.margin=3", 1),
        ("pairs.rule=all", 1),
        ("train.num_train_epochs=2", 0),
        ("data.sampling.batch_size=2", 0),
    ],
)
def test_a_setting_remakes_its_stage_and_the_later_ones(override, remade):
    configs = compose_config(SMALL), compose_config([*SMALL, override])
    before, after = ([get_or_make(config, stage) for stage in pipeline(config)] for config in configs)
    changed = [one != two for one, two in zip(before, after, strict=True)]
    assert changed == [False] * (4 - remade) + [True] * remade


def test_what_comes_out_the_same_is_made_no_further(tmp_path, monkeypatch):
    """Prompts from other code, a touched file, a judge asked again: the later stages compare content."""
    monkeypatch.setenv("MMDPO_CACHE", str(tmp_path))
    config = compose_config(SMALL)
    before = [get_or_make(config, stage) for stage in pipeline(config)]
    step = DATA_STAGES[Stage.prompts]
    other = replace(step, settings=lambda config: {**step.settings(config), "code": "newer"})
    monkeypatch.setitem(DATA_STAGES, Stage.prompts, other)
    after = [get_or_make(config, stage) for stage in pipeline(config)]
    assert before[0] != after[0]
    assert before[1:] == after[1:]


def test_a_stage_alone_names_the_one_before_it(tmp_path, monkeypatch):
    monkeypatch.setenv("MMDPO_CACHE", str(tmp_path))
    config = compose_config(SMALL)
    with pytest.raises(UserError, match="stage=prompts"):
        run_data_stage(config, Stage.reference)
    run_data_stage(config, Stage.prompts)
    with pytest.raises(UserError, match=r"no completions .* stage=sample"):
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
    with pytest.raises(UserError, match=r"stage=teacher: .* prompts, sample, annotate, build"):
        run_data_stage(compose_config(SMALL), Stage.teacher)
    with pytest.raises(UserError, match="method=sft has no reference model"):
        run_data_stage(config, Stage.reference)
    with pytest.raises(UserError, match=r"no prompts .* stage=prompts"):
        run_data_stage(config, Stage.teacher)
    for stage in (Stage.prompts, Stage.teacher, Stage.build):
        run_data_stage(config, stage)
    assert {path.name for path in tmp_path.iterdir() if path.is_dir()} == {
        "prompts",
        "teacher",
        "timings",
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
    assert get_or_make(compose_config([*SMALL, *overrides]), Stage.build) == get_or_make(
        compose_config(SMALL), Stage.build
    )


def test_what_is_asked_for_when_measured_does_not_remake_steerlms_examples():
    one, other = ([*SMALL, "method=steerlm", *more] for more in ([], ["method.attributes.verbosity=1"]))
    assert get_or_make(compose_config(one), Stage.build) == get_or_make(compose_config(other), Stage.build)


def test_sft_learns_the_chosen_answers_of_own_pairs(tmp_path):
    file = tmp_path / "pairs.jsonl"
    file.write_text('{"id": "a", "prompt": "Why?", "chosen": "So it is.", "rejected": "No."}\n')
    own = training_set(compose_config(["method=sft", "data=pairs", f"data.path={file}"]))
    assert list(own.examples) == [SftExample("a", "Why?", "So it is.")]


def test_own_pairs_have_no_data_stages(tmp_path):
    file = tmp_path / "pairs.jsonl"
    file.write_text('{"prompt": "Why?", "chosen": "So it is.", "rejected": "No."}\n')
    config = compose_config(["data=pairs", f"data.path={file}"])
    with pytest.raises(UserError, match="data=pairs has its own pairs"):
        run_data_stage(config, Stage.build)
    assert not list(describe_data(config, Stage.experiment))
    assert training_set(config).counts == {"rows": 1, "pairs": 1}


def test_a_card_says_what_a_set_was_made_of(tmp_path, monkeypatch):
    monkeypatch.setenv("MMDPO_CACHE", str(tmp_path))
    card = read_json(get_or_make(compose_config([*SMALL, "pairs.margin=1"]), Stage.build) / "card.json")
    (annotations,) = card["made_of"]
    (completions,) = annotations["made_of"]
    (prompts,) = completions["made_of"]
    assert (annotations["facts"]["judge"], annotations["facts"]["scored"]) == ("oracle", 24)
    assert annotations["facts"]["rubric"] == "helpsteer_1"
    assert (completions["facts"]["completions"], prompts["facts"]["prompts"]) == (96, 24)
    assert card["facts"]["counts"]["pairs"] > 0


def test_sets_are_written_for_other_trainers_too():
    pairs = get_or_make(compose_config(SMALL), Stage.build)
    again = [*read_pairs(pairs / "llava_dpo.json", get_or_make(compose_config(SMALL), Stage.prompts),
                         OnBadRow.error, pairs, "authors").pairs]  # fmt: skip
    assert again == list(read_records(pairs / "examples.jsonl", PreferencePair))


def test_the_two_answers_of_own_pairs_are_rated_for_the_side_study(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("MMDPO_CACHE", str(tmp_path / "cache"))
    file = tmp_path / "pairs.jsonl"
    rows = [{"id": str(n), "prompt": "Why?", "chosen": "So it is. " * (1 + n), "rejected": "No."} for n in range(12)]
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    line = ["data=pairs", f"data.path={file}", "stage=annotate"]
    with pytest.raises(UserError, match="judge=oracle"):
        run_data_stage(compose_config(line), Stage.annotate)
    config = compose_config([*line, "judge=longer"])
    assert [text.split(":")[0] for text in describe_data(config, Stage.annotate)] == ["annotations"]
    run_data_stage(config, Stage.annotate)
    with (get_or_make(config, Stage.annotate) / "differences.csv").open() as table:
        found = list(csv.DictReader(table))
    assert len(found) == 12
    assert {row["preference"] for row in found} == {"1", "2"}
    for row in found:  # the judge prefers the longer answer, which is the chosen one
        gap = int(row["helpfulness"]) + int(row["correctness"])
        assert gap > 0 if row["preference"] == "1" else gap < 0
    out = capsys.readouterr().out
    assert "quality by position" in out
    assert "12 : 0" in out
    people = read_json(get_or_make(config, Stage.annotate) / "report.json")["people"]
    assert people["helpfulness"] == {"with": 12, "against": 0, "tied": 0}
    assert people["pairs"] == 12
    sample = compose_config([*line, "judge=longer", "judge.share=0.5"])  # as a second judge would rate
    run_data_stage(sample, Stage.annotate)
    whole, part = (get_or_make(one, Stage.annotate) for one in (config, sample))
    assert f"python -m mmdpo audit {part}" in capsys.readouterr().out
    assert set(read_json(part / "words.json")) < set(read_json(whole / "words.json"))
    compared = audit_frames(audit_annotations(whole, part))["second_judge"].set_index("attribute")
    assert compared.loc["quality", ["n", "equal"]].tolist() == [2 * len(read_json(part / "words.json")), 1.0]
    with pytest.raises(UserError, match=r"judge\.share"):
        compose_config(["judge.share=0.5"])


def test_what_is_unscored_is_asked_again_and_the_sets_follow(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("MMDPO_CACHE", str(tmp_path))
    monkeypatch.setenv("GEMINI_API_KEY", "a-key")
    with fake_gemini("recitation:6") as server:
        line = [*SMALL, "judge=gemini", f"judge.base_url={server.url}", "stage=annotate"]
        line += [f"judge.limits.{name}=null" for name in ("requests_per_minute", "tokens_per_minute")]
        config, again = compose_config(line), compose_config([*line, "judge.retry_unscored=true"])
        before = get_or_make(config, Stage.build)
        assert "6 of 24 prompts are unscored (6 recitation)" in capsys.readouterr().out
        answered = server.answered.total()
        run_data_stage(config, Stage.annotate)  # they stay unscored without the word
        assert server.answered.total() == answered == 18
        run_data_stage(again, Stage.annotate)
        assert server.answered.total() == 24
        assert set(server.answered.values()) == {1}
        after = get_or_make(config, Stage.build)
        assert before != after
        assert get_or_make(again, Stage.build) == after
        run_data_stage(again, Stage.annotate)  # nothing is left to ask
        assert server.answered.total() == 24
    card = read_json(after / "card.json")
    assert card["made_of"][0]["facts"]["scored"] == 24
    assert card["facts"]["counts"]["rated"] == 24


def test_another_rubric_asks_anew_and_the_old_ratings_stay(tmp_path, monkeypatch):
    import mmdpo.judge.rubrics

    monkeypatch.setenv("MMDPO_CACHE", str(tmp_path))
    monkeypatch.setenv("GEMINI_API_KEY", "a-key")
    with fake_gemini() as server:
        line = [*SMALL, "judge=gemini", f"judge.base_url={server.url}"]
        line += [f"judge.limits.{name}=null" for name in ("requests_per_minute", "tokens_per_minute")]
        config = compose_config(line)
        before = get_or_make(config, Stage.annotate)
        mine = "from dataclasses import replace\nfrom mmdpo.judge.rubrics.helpsteer_1 import RUBRIC as ONE\n"
        (tmp_path / "mine.py").write_text(f"{mine}RUBRIC = replace(ONE, name='mine', instructions='Be kind.')\n")
        monkeypatch.setattr(mmdpo.judge.rubrics, "__path__", [*mmdpo.judge.rubrics.__path__, str(tmp_path)])
        after = get_or_make(compose_config([*line, "judge.rubric=mine"]), Stage.annotate)
        assert before != after
        assert server.answered.total() == 48
    with journal(journal_of(config.judge)) as kept:
        assert kept.asked_since(account_of(config.judge), datetime(2000, 1, 1, tzinfo=UTC)) == 48


def test_a_changed_rule_rates_again_and_a_label_does_not(tmp_path, monkeypatch):
    from dataclasses import replace as changed

    import mmdpo.judge.rules
    from mmdpo.pipeline.data_stages import DATA_STAGES

    (tmp_path / "mine.py").write_text("RATES_BY = 'helpsteer_1'\n\n\ndef rate(prompt, text):\n    return {}\n")
    monkeypatch.setattr(mmdpo.judge.rules, "__path__", [*mmdpo.judge.rules.__path__, str(tmp_path)])
    settings = DATA_STAGES[Stage.annotate].settings
    config = compose_config([*SMALL, "judge.client=mine"])
    before = settings(config)
    assert settings(changed(config, judge=changed(config.judge, name="another label"))) == before
    (tmp_path / "mine.py").write_text("RATES_BY = 'helpsteer_1'\n\n\ndef rate(prompt, text):\n    return {1: 2}\n")
    assert settings(config) != before
