"""Points that differ in benchmarks alone, and shares of a point, as stages run them."""

import dataclasses

import pytest

from mmdpo.config.choices import Stage
from mmdpo.entry.compose import compose_config
from mmdpo.errors import UserError
from mmdpo.files import read_json
from mmdpo.pipeline import evaluating
from mmdpo.pipeline import point_stages as stages
from mmdpo.points.point import point, points_of
from mmdpo.points.status import State, is_share_done, read_status
from mmdpo.sweep.local import describe, run_stage
from mmdpo.sweep.run_point import run_point
from mmdpo.training.run import TrainSummary
from tests.support.adapters import write_adapter
from tests.support.engines import FakeEngine

ITEMS = 4


@pytest.fixture
def ran(monkeypatch):
    """Replace training and model; returns the trained points, and the engines that were loaded."""
    trained, engines = [], []

    def train(p, log, resumed):
        trained.append(p.name)
        log({"loss": 1.0}, 1)
        write_adapter(p.folder / "adapter", p.name)
        return TrainSummary(3, 8, 1.0, 1.0, {}, {"over": 0}, True, {}, "m", "d"), {}

    def engine(p):
        engines.append(FakeEngine())
        return engines[-1]

    monkeypatch.setattr(stages, "_train", train)
    monkeypatch.setattr(evaluating, "engine_of", engine)
    return trained, engines


@pytest.fixture
def config(tmp_path):
    line = [f"bench.items={ITEMS}", "bench.resamples=20", "tracking=none", f"out={tmp_path}", "bench.tasks=[text]"]
    return lambda *more: compose_config([*line, "model.before_visual_tuning=null", *more])


def test_another_judge_or_more_tasks_train_and_ask_only_what_is_missing(ran, config, capsys):
    trained, engines = ran
    first = point(config("study=first"))
    assert run_point(first, Stage.experiment) is None
    other_judge = point(config("study=first", "bench.judge=longer"))
    more_tasks = point(config("study=second", "bench.tasks=[text,presence]"))
    capsys.readouterr()
    describe([more_tasks.config], Stage.experiment)
    assert f"training known from first/{first.name}, would measure" in capsys.readouterr().out
    for p in (other_judge, more_tasks):
        assert run_point(p, Stage.experiment) is None
        assert read_status(p.folder).state is State.done
        assert read_json(p.folder / "result.json")["training"]["known_from"] == f"first/{first.name}"
        assert (p.folder / "metrics.jsonl").read_bytes() == (first.folder / "metrics.jsonl").read_bytes()
    assert trained == [first.name]
    assert [len(engine.questions) for engine in engines] == [ITEMS, ITEMS]  # of presence alone
    assert f"known from first/{first.name}" in capsys.readouterr().out
    assert read_json(first.folder / "result.json")["identity"] == first.identity.hex


def test_stages_alone_take_over_training_and_answers(ran, config):
    trained, engines = ran
    first = point(config("study=first"))
    run_point(first, Stage.experiment)
    judged = config("study=second", "bench.judge=longer")
    assert [one.error for one in run_stage([judged], Stage.judge)] == [None]
    assert read_json(point(judged).folder / "result.json")["judge"] == "longer"
    subset = config("study=second", "bench.items=3")
    assert [one.error for one in run_stage([subset], Stage.train)] == [None]
    assert [one.error for one in run_stage([subset], Stage.evaluate)] == [None]
    assert (trained, [len(engine.questions) for engine in engines]) == ([first.name], [ITEMS, 3])
    fewer = config("study=third", "bench.items=2")
    (outcome,) = run_stage([fewer], Stage.judge)  # its samples were not answered
    assert "stage=evaluate" in str(outcome.error)


def test_shares_are_answered_under_states_of_their_own_and_collected(ran, config):
    _, engines = ran
    whole = point(config())
    run_point(whole, Stage.train)
    shards = [config(f"bench.shard={number}/2", "stage=evaluate") for number in (1, 2)]
    points = points_of(shards)
    assert {p.folder for p in points} == {whole.folder}
    outcomes = run_stage(shards, Stage.evaluate)
    assert [one.error for one in outcomes] == [None, None]
    assert sum(len(engine.questions) for engine in engines) == ITEMS
    assert read_status(whole.folder).state is State.planned
    for p in points:
        assert read_status(p.work_folder).state is State.done
        assert list((p.work_folder / "logs").iterdir())
        assert is_share_done(p.folder, p.shard, p.config.bench.tasks)
        assert "shard: null" in (p.folder / "config.yaml").read_text()
    assert not (whole.folder / "answers" / "text.jsonl").exists()
    assert run_point(whole, Stage.experiment) is None
    assert (len(engines), read_status(whole.folder).state) == (2, State.done)
    assert not (whole.folder / "answers" / ".unfinished").exists()
    assert is_share_done(whole.folder, points[0].shard, ["text"])


def test_shares_of_an_untrained_point_make_its_record_and_of_an_untrained_one_are_refused(ran, config, capsys):
    base = config("data_scale=0", "bench.shard=2/3", "stage=evaluate")
    describe([base], Stage.evaluate)
    assert "would evaluate share 2/3" in capsys.readouterr().out
    assert [one.error for one in run_stage([base], Stage.evaluate)] == [None]
    assert {"config.yaml", "fingerprints.json", "status.json"} <= {one.name for one in point(base).folder.iterdir()}
    with pytest.raises(UserError, match="stage=train"):
        run_stage([dataclasses.replace(base, data_scale=1.0)], Stage.evaluate)


def test_a_share_that_another_process_answers_is_left_to_it(ran, config):
    from filelock import FileLock

    p = point(config("data_scale=0", "bench.shard=1/2", "stage=evaluate"))
    p.work_folder.mkdir(parents=True)
    with FileLock(p.work_folder / ".lock"):
        assert "another process" in str(run_point(p, Stage.evaluate))
    assert not ran[1]


@pytest.mark.parametrize("shard", [[], ["bench.shard=1/1", "stage=evaluate"]])
def test_several_processes_answer_a_point_together(ran, config, monkeypatch, capfd, shard):
    monkeypatch.setenv("WORLD_SIZE", "2")
    p = point(config("data_scale=0", *shard))
    monkeypatch.setattr("mmdpo.sweep.run_point.world_size", lambda: 1)  # a failure ends the test, not the process
    for rank in ("1", "0"):
        monkeypatch.setenv("RANK", rank)
        assert run_point(p, Stage.evaluate) is None
    monkeypatch.delenv("WORLD_SIZE")
    run_point(p.whole, Stage.evaluate)
    asked = [len(engine.questions) for engine in ran[1]]
    assert (len(asked), sum(asked)) == (2, ITEMS)
    assert not (p.folder / "answers" / ".unfinished").exists()


def test_a_process_that_fails_leaves_its_share_to_the_first(ran, config, monkeypatch, capfd):
    monkeypatch.setenv("RANK", "1")
    monkeypatch.setenv("WORLD_SIZE", "2")

    def fails(p):
        raise RuntimeError("no memory is left")

    p = point(config("data_scale=0"))
    with monkeypatch.context() as patch:
        patch.setattr(evaluating, "engine_of", fails)
        assert run_point(p, Stage.evaluate) is None
    assert "no memory is left" in capfd.readouterr().err
    monkeypatch.setattr("mmdpo.evaluation.peers.PATIENCE_SECONDS", -1.0)
    monkeypatch.setenv("RANK", "0")
    assert run_point(p, Stage.evaluate) is None
    assert len(ran[1][-1].questions) == ITEMS
