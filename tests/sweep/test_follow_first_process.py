"""A process that is not the first of several: it does what the first one has decided."""

import pytest

from mmdpo.config.choices import Stage
from mmdpo.entry.compose import compose_config
from mmdpo.files import write_json
from mmdpo.pipeline import point_stages as stages
from mmdpo.points import status
from mmdpo.points.point import point
from mmdpo.sweep import run_point as module
from mmdpo.sweep.run_point import follow_first_process, run_point
from mmdpo.training.announcement import announce_training
from tests.support.adapters import write_adapter


def announces(p):
    announce_training(p.folder)


def takes_over(p):
    write_adapter(p.folder / "adapter")
    write_json(p.folder / "training.json", {"steps": 3})


def finishes(p):
    write_json(p.folder / "result.json", {"scores": {}})
    status.finish(p.folder)


@pytest.fixture
def done(monkeypatch):
    """The work of the process; a training ends with the adapter of the first process."""
    found = []
    monkeypatch.setenv("RANK", "1")
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setattr(stages, "train_nonzero_rank", lambda p: (found.append("train"), takes_over(p)))
    monkeypatch.setattr(stages, "answer_nonzero_rank", lambda p: found.append("answer"))
    return found


@pytest.mark.parametrize(
    ("stage", "more", "first", "expected"),
    [
        (Stage.experiment, "seed=0", announces, ["train", "answer"]),
        (Stage.experiment, "seed=0", takes_over, ["answer"]),
        (Stage.experiment, "seed=0", finishes, []),
        (Stage.experiment, "data_scale=0", None, ["answer"]),
        (Stage.train, "seed=0", announces, ["train"]),
        (Stage.train, "seed=0", takes_over, []),
        (Stage.train, "data_scale=0", None, []),
        (Stage.evaluate, "seed=0", takes_over, ["answer"]),
        (Stage.judge, "seed=0", None, []),
    ],
)
def test_it_waits_for_the_first_process_and_does_its_part(tmp_path, monkeypatch, done, stage, more, first, expected):
    p = point(compose_config([f"out={tmp_path}", more]))
    p.folder.mkdir(parents=True)
    acts = [first] if first else []

    def sleep(seconds):
        assert acts, "it waits for something that the first process does not do"
        acts.pop()(p)

    monkeypatch.setattr(module.time, "sleep", sleep)
    assert run_point(p, stage) is None
    assert (done, acts) == (expected, [])
    assert follow_first_process([], stage) == []
