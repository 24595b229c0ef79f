"""Evaluation in two stages: answers first, then judgments and the result."""

import dataclasses

import pytest
import torch

from mmdpo.config.choices import Stage
from mmdpo.config.schema import BenchConfig
from mmdpo.entry.compose import compose_config
from mmdpo.errors import Stopped, UserError
from mmdpo.evaluation.judgments import bench_judge
from mmdpo.files import read_json, write_json
from mmdpo.models.fingerprints import adapter_fingerprint
from mmdpo.pipeline import evaluating
from mmdpo.pipeline import point_stages as stages
from mmdpo.points.point import before_visual_tuning, point, require_stage
from mmdpo.points.status import State, read_status
from mmdpo.sweep.local import describe, run_point, run_stage
from mmdpo.training.run import TrainSummary
from tests.support.adapters import write_adapter
from tests.support.engines import FakeEngine

ITEMS = 4


@pytest.fixture
def loads(monkeypatch):
    """Replace the model by one that answers `Yes.`; returns the points that it was loaded for."""
    found = []

    def engine(p):
        found.append(p.name)
        return FakeEngine()

    monkeypatch.setattr(evaluating, "engine_of", engine)
    return found


@pytest.fixture
def config(tmp_path):
    line = [f"bench.items={ITEMS}", "bench.resamples=20", "tracking=none", f"out={tmp_path}"]
    return lambda *more: compose_config([*line, *more])


def trained(config):
    """A trained point, with the files that evaluation reads."""
    p = point(config)
    write_adapter(p.folder / "adapter")
    write_json(p.folder / "training.json", {"steps": 3, "data_fingerprint": "d"})
    return p


def state(p):
    return read_status(p.folder).state


def test_evaluate_ends_with_answers_and_judge_with_the_result(loads, config):
    p = trained(config())
    run_stage([p.config], Stage.evaluate)
    assert {path.name for path in (p.folder / "answers").glob("*.jsonl")} == {
        "text.jsonl",
        "visual.jsonl",
        "presence.jsonl",
        "text_noisy.jsonl",
    }
    assert not (p.folder / "judgments").exists()
    assert not (p.folder / "result.json").exists()
    assert state(p) is State.planned
    run_stage([p.config], Stage.judge)
    assert loads == [p.name]
    assert state(p) is State.done
    result = read_json(p.folder / "result.json")
    assert result["scores"]["presence"]["value"] == 0.5
    assert result["scores"]["text"]["n"] == ITEMS
    assert result["scores"]["text"]["unscored"] == 0
    assert (result["judge"], result["training"]["steps"], result["role"]) == ("oracle", 3, "trained")
    assert result["fingerprints"].keys() == {"model", "processor", "data"}
    assert all(result["fingerprints"].values())


def test_experiment_judges_the_answers_that_are_there(loads, config):
    p = trained(config())
    run_point(p, Stage.evaluate)
    before = (p.folder / "answers" / "text.jsonl").stat().st_mtime_ns
    assert run_point(p, Stage.experiment) is None
    assert loads == [p.name]
    assert (p.folder / "answers" / "text.jsonl").stat().st_mtime_ns == before
    assert state(p) is State.done


DAMAGES = {
    "result.json": ("{", 0, 0),
    "training.json": ("", 0, 0),  # the result has the summary as well
    "adapter/adapter_model.safetensors": ("", 1, 0),
    "adapter/adapter_config.json": ("{", 1, 0),
    "answers/text.jsonl": ("", 0, 1),
    "answers/text.json": ("[]", 0, 1),
    "judgments/text.jsonl": ('{"id"', 0, 0),
    "status.json": ("[" * 100_000, 0, 0),
    "fingerprints.json": ("[1]", 0, 0),
}
"""Damages to a file of a finished point, and how often the point is then trained, and its model asked, again."""


@pytest.mark.parametrize("name", DAMAGES)
def test_the_same_command_makes_again_what_is_damaged(loads, config, monkeypatch, name):
    trainings = []

    def train(p, log, resumed):
        trainings.append(p.name)
        write_adapter(p.folder / "adapter")
        return TrainSummary(3, 8, 1.0, 1.0, {}, {"over": 0}, True, {}, "m", "d"), {}

    monkeypatch.setattr(stages, "_train", train)
    p = point(config())
    assert run_point(p, Stage.experiment) is None
    files = {one: (p.folder / one).read_bytes() for one in DAMAGES if "status" not in one and "result" not in one}
    scores = read_json(p.folder / "result.json")["scores"]
    content, trained, evaluated = DAMAGES[name]
    (p.folder / name).write_text(content)
    assert run_point(p, Stage.experiment) is None
    assert (len(trainings), len(loads)) == (1 + trained, 1 + evaluated)
    assert read_json(p.folder / "result.json")["scores"] == scores
    assert state(p) is State.done
    require_stage(p, Stage.export)
    for one in files.keys() - {"training.json", "fingerprints.json"}:
        assert (p.folder / one).read_bytes() == files[one]


def test_an_adapter_that_changed_since_its_training_is_made_again(loads, config, monkeypatch):
    p = trained(config())
    summary = {"steps": 3, "data_fingerprint": "d", "adapter": adapter_fingerprint(p.folder / "adapter")}
    write_json(p.folder / "training.json", summary)

    def train(*_):
        raise UserError("trained again")

    monkeypatch.setattr(stages, "_train", train)
    assert run_point(p, Stage.train) is None
    write_adapter(p.folder / "adapter", "another")
    assert run_point(p, Stage.train) == "trained again"


def test_the_run_time_of_a_point_includes_a_training_by_an_earlier_command(loads, config):
    p = trained(config())
    write_json(p.folder / "training.json", {"steps": 3, "data_fingerprint": "d", "seconds": 3600.0})
    run_stage([p.config], Stage.evaluate)
    run_stage([p.config], Stage.judge)
    assert 3600 <= read_json(p.folder / "result.json")["seconds"] < 3700


def test_untrained_points_are_evaluated_and_judged_too(loads, config):
    base = point(config("data_scale=0"))
    before = before_visual_tuning(config())
    for p in (base, before):
        run_point(p, Stage.evaluate)
        run_point(p, Stage.judge)
        result = read_json(p.folder / "result.json")
        assert (result["role"], result["training"]) == (p.role.value, None)
    assert len(loads) == 2


def test_judge_before_evaluate_names_the_stage(loads, config):
    p = trained(config())
    with pytest.raises(UserError, match="stage=evaluate"):
        run_stage([p.config], Stage.judge)
    assert not loads
    assert not (p.folder / "status.json").exists()


def test_answers_of_another_adapter_are_not_judged(loads, config):
    p = trained(config())
    run_point(p, Stage.evaluate)
    write_adapter(p.folder / "adapter", "trained again")
    error = run_point(p, Stage.judge)
    assert "adapter" in error
    assert "stage=evaluate" in error
    assert not (p.folder / "result.json").exists()
    run_point(p, Stage.evaluate)
    assert len(loads) == 2
    assert run_point(p, Stage.judge) is None


def test_a_judge_that_stops_ends_the_command_and_loses_no_answer(loads, config, monkeypatch):
    """The exit code of Stopped is 75; the same command continues."""
    p = trained(config())
    run_point(p, Stage.evaluate)

    class Quota:
        def rate(self, items):
            raise Stopped("judge.limits.requests_per_day=0 is used up")

    with monkeypatch.context() as patch:
        patch.setattr(evaluating, "bench_judge", lambda name: Quota())
        with pytest.raises(Stopped) as stop:
            run_stage([p.config], Stage.judge)
    assert stop.value.exit_code == 75
    assert not (p.folder / "result.json").exists()
    assert state(p) is State.failed
    run_stage([p.config], Stage.judge)
    assert len(loads) == 1
    assert state(p) is State.done


def test_two_points_are_judged_at_once(loads, config, monkeypatch):
    """One point is judged to its end while the judge of another is working: no lock is shared."""
    first, second = trained(config()), trained(config("seed=1"))
    for p in (first, second):
        run_point(p, Stage.evaluate)
    oracle = bench_judge(BenchConfig().judge)

    class Nested:
        """Judge that judges the second point during its call for the first."""

        started = False

        def rate(self, items):
            if not self.started:
                self.started = True
                assert run_point(second, Stage.judge) is None
                assert state(second) is State.done
                assert state(first) is State.running
            return oracle.rate(items)

    judge = Nested()
    monkeypatch.setattr(evaluating, "bench_judge", lambda name: judge)
    assert run_point(first, Stage.judge) is None
    assert state(first) is State.done


def test_a_task_without_any_score_is_an_error_and_no_result(loads, config):
    p = trained(config("bench.tasks=[text]"))
    run_point(p, Stage.evaluate)

    class Declines:
        def rate(self, items):
            from mmdpo.records import Unscored

            return [Unscored(prompt.id, "recitation") for prompt, _ in items]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(evaluating, "bench_judge", lambda name: Declines())
        error = run_point(p, Stage.judge)
    assert f"{ITEMS} recitation" in error
    assert not (p.folder / "result.json").exists()


def test_a_method_with_requests_is_judged_by_both_phrasings(loads, config):
    p = trained(config("method=steerlm", "bench.tasks=[text]"))
    run_point(p, Stage.experiment)
    assert {"text", "text/without_request"} <= read_json(p.folder / "result.json")["scores"].keys()
    base = point(dataclasses.replace(p.config, data_scale=0.0))
    run_point(base, Stage.experiment)
    assert "text/without_request" not in read_json(base.folder / "result.json")["scores"]


def test_the_model_is_loaded_onto_the_device(config, monkeypatch):
    monkeypatch.setattr("mmdpo.models.device.device", lambda: torch.device("meta"))  # stands for a GPU
    engine = evaluating.engine_of(point(config("data_scale=0")))
    assert engine._model.device == torch.device("meta")


def test_a_dry_run_tells_what_a_stage_would_do_and_what_is_done(loads, config, capsys):
    p = trained(config("model.before_visual_tuning=null"))
    describe([p.config], Stage.evaluate)
    assert f"{p.folder}: would evaluate" in capsys.readouterr().out
    run_point(p, Stage.evaluate)
    capsys.readouterr()
    describe([p.config], Stage.evaluate)
    assert f"{p.folder}: done" in capsys.readouterr().out
    describe([p.config], Stage.judge)
    told = capsys.readouterr().out
    assert f"{p.folder}: would judge" in told
    assert "prompts" not in told


def test_another_adapter_than_the_trained_one_is_refused(loads, config, monkeypatch):
    p = trained(config())
    digest = evaluating.adapter_of(p)  # of an earlier version: not recorded
    write_json(p.folder / "training.json", {"steps": 3, "data_fingerprint": "d", "adapter": digest})
    run_stage([p.config], Stage.evaluate)
    monkeypatch.setattr("mmdpo.training.export.export_model", lambda *given: pytest.fail("it was exported"))
    write_adapter(p.folder / "adapter", "another")
    for stage in (Stage.evaluate, Stage.judge):
        (outcome,) = run_stage([p.config], stage)
        assert "changed since it was trained" in outcome.error
    with pytest.raises(UserError, match="changed since it was trained"):
        run_stage([p.config], Stage.export)
    assert len(loads) == 1
