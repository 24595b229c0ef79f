"""Processes that answer one point's samples together."""

import dataclasses

import pytest

from mmdpo.config.schema import BenchConfig
from mmdpo.config.shard import Shard
from mmdpo.evaluation import peers
from mmdpo.evaluation.answers import answer_share, read_answers, write_answers
from mmdpo.evaluation.peers import Peers
from mmdpo.evaluation.samples import SampleSet
from mmdpo.evaluation.task import Cluster, load_task
from mmdpo.records import Prompt
from tests.support.engines import FakeEngine

BENCH = BenchConfig(tasks=["text"])
THREE = Peers(3, "launch-2")


@pytest.fixture
def one(tmp_path) -> SampleSet:
    prompts = [Prompt(str(n), f"Question {n}?") for n in range(9)]
    return SampleSet("text", dataclasses.replace(load_task("text"), cluster=Cluster.item), prompts, prompts, tmp_path)


def answer_as(rank, one, folder, launch=THREE.launch):
    answer_share([one], FakeEngine, {}, BENCH, folder, THREE.shard(rank), THREE.writer(rank), launch)


def asked_by_the_first(one, folder):
    engine = FakeEngine()
    write_answers([one], lambda: engine, {}, BENCH, folder, peers=THREE)
    assert len(read_answers(one, {}, BENCH, folder)) == 9
    assert not (folder / "answers" / ".unfinished").exists()
    return len(engine.questions)


def test_the_first_process_collects_the_shares_of_the_others(one, tmp_path, monkeypatch):
    monkeypatch.setattr(peers.time, "sleep", lambda seconds: answer_as(2, one, tmp_path))  # while the first one waits
    answer_as(1, one, tmp_path)
    assert asked_by_the_first(one, tmp_path) == 3


def test_the_first_process_answers_what_a_dead_one_leaves(one, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(peers, "PATIENCE_SECONDS", -1.0)
    answer_as(1, one, tmp_path)
    assert asked_by_the_first(one, tmp_path) == 6
    assert "process-3-of-3" in capsys.readouterr().out


def test_a_share_of_an_earlier_launch_is_not_the_end_of_this_ones(one, tmp_path, monkeypatch):
    slept = []
    monkeypatch.setattr(peers.time, "sleep", lambda seconds: slept.append(answer_as(2, one, tmp_path)))
    answer_as(1, one, tmp_path)
    answer_as(2, one, tmp_path, "launch-1")
    assert asked_by_the_first(one, tmp_path) == 3
    assert len(slept) == 1


def test_a_process_that_still_stores_answers_is_waited_for(one, tmp_path, monkeypatch):
    now = [0.0]
    lines = iter(range(5))

    def later(seconds):
        now[0] += 500.0
        if next(lines) < 4:
            with (tmp_path / "answers" / ".unfinished" / "process-3-of-3.jsonl").open("a") as file:
                file.write("{}\n")
        else:
            answer_as(2, one, tmp_path)

    monkeypatch.setattr(peers.time, "monotonic", lambda: now[0])
    monkeypatch.setattr(peers.time, "sleep", later)
    answer_as(1, one, tmp_path)
    assert asked_by_the_first(one, tmp_path) == 3
    assert now[0] == 2500.0


def test_processes_of_several_launches_share_all_samples():
    parts = [Peers(2, "launch").part_of(Shard(number, 3), rank) for number in (1, 2, 3) for rank in (0, 1)]
    assert parts == [Shard(number, 6) for number in range(1, 7)]
