"""MT-Bench on small files of our own, from questions to scores."""

import pytest

from mmdpo.config.choices import Split
from mmdpo.config.schema import BenchConfig
from mmdpo.evaluation.answers import read_answers, write_answers
from mmdpo.evaluation.judgments import write_judgments
from mmdpo.evaluation.replay import ReplayJudge
from mmdpo.evaluation.samples import sample_sets
from mmdpo.evaluation.task import load_task
from mmdpo.records import Prompt
from tests.support.bench_mt_bench import judgment_row, write_lines, write_mt_bench


@pytest.mark.parametrize(
    ("category", "temperature"),
    [("writing", 0.7), ("roleplay", 0.7), ("stem", 0.1), ("humanities", 0.1), ("math", 0), ("coding", 0), ("new", 0.7)],
)
def test_the_temperature_depends_on_the_category(category, temperature, generation):
    task = load_task("mt_bench")
    asked = []

    class Inference:
        def generate(self, requests):
            asked.extend(requests)
            return [one for _, one in generation.answer(requests, None)]

    task.solver(Inference(), [Prompt("1", "a", category=category, facts={"turns": ["a", "b"]})])
    assert [one.temperature for one in asked] == [temperature] * 2


def test_replayed_judgments_give_honest_and_upstream_scores(generation, tmp_path):
    """A second run of the judge has appended rows; upstream counts all of them, and 80 of 10 as well."""
    root = write_mt_bench(tmp_path)
    bench = BenchConfig(tasks=["mt_bench"], root=str(root), split=Split.all, resamples=20)
    sets = sample_sets(bench, {}, "")
    generation.reply = lambda prompt: f"{len(prompt.history)} earlier"
    write_answers(sets, generation, {}, bench, tmp_path)
    assert [one.answers for one in read_answers(sets[0], {}, bench, tmp_path)] == [("0 earlier", "1 earlier")] * 3
    rows = [judgment_row(number, turn, 4 + turn) for number in (81, 82) for turn in (1, 2)]
    rows += [judgment_row(81, 1, 9), judgment_row(83, 1, 80), judgment_row(83, 2, -1, "No number.")]
    path = write_lines(tmp_path / "j.jsonl", rows)
    task = load_task("mt_bench")
    judge = ReplayJudge(task.upstream.read_judgments(path, sets[0].prompts, "m"))
    point = write_judgments(sets, judge, {}, bench, tmp_path)
    found = {name: (score.value, score.n, score.unscored) for name, score in point.scores.items()}
    assert found["mt_bench"] == ((9 + 6 + 5 + 6) / 4, 4, 2)
    assert found["mt_bench/turn_1"] == (7, 2, 1)
    assert found["mt_bench/turn_2"] == (6, 2, 1)
    assert found["mt_bench/category/math"] == (5.5, 2, 0)
    assert found["mt_bench/words"][0] == 2
    assert point.upstream["mt_bench/turn_1"] == (5 + 9 + 5 + 80) / 4
    assert point.upstream["mt_bench/turn_2"] == 6
    assert point.upstream["mt_bench"] == round((5 + 9 + 5 + 80 + 12) / 6, 6)
    assert (judge.verified, judge.comparable) == (0, 6)  # "Rate it." is not what would be asked


def test_both_turns_of_a_steered_model_ask_for_ratings(generation, tmp_path):
    bench = BenchConfig(tasks=["mt_bench"], root=str(write_mt_bench(tmp_path)), split=Split.all)
    steered, plain = sample_sets(bench, {"helpfulness": 4}, "{question} Be {attributes}.")
    assert steered.asked_fingerprint != plain.asked_fingerprint
    write_answers([steered], generation, {}, bench, tmp_path)
    assert len(generation.questions) == 6
    assert all("Helpfulness:4" in question for question in generation.questions)
    assert "Helpfulness" not in str(steered.prompts)


def test_the_identity_of_the_task_names_the_chosen_references_alone(tmp_path):
    root = write_mt_bench(tmp_path)
    task, bench = load_task("mt_bench"), BenchConfig(tasks=["mt_bench"], root=str(root))
    before = task.fingerprint(bench)
    write_lines(root / "mt_bench" / "reference_answer" / "other.jsonl", [{"a": 1}])
    assert task.fingerprint(bench) == before
    bench.references = "other"
    assert task.fingerprint(bench) != before
