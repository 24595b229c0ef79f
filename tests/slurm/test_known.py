"""Points that another study has finished, which are not submitted."""

import dataclasses

from mmdpo.config.choices import Stage
from mmdpo.files import write_json
from mmdpo.points import status
from mmdpo.points.links import link_known
from mmdpo.points.point import point
from mmdpo.points.records import write_record
from mmdpo.slurm.preview import preview
from mmdpo.slurm.submission import SlurmTask
from mmdpo.slurm.submit import plan_submission
from tests.slurm.submitted import config, no_hours
from tests.support.adapters import write_adapter


def test_a_point_that_another_study_has_finished_is_linked(tmp_path, capsys):
    first, second = (point(config(tmp_path / study)) for study in ("first", "second"))
    first.folder.mkdir(parents=True)
    write_record(first.folder, first.identity)
    write_json(first.folder / "result.json", {"scores": {}})
    status.finish(first.folder)
    other = point(dataclasses.replace(second.config, seed=7))
    link_known([second, other])
    assert second.folder.resolve() == first.folder
    assert not other.folder.exists()
    assert "1 points are known from first" in capsys.readouterr().out
    preview([dataclasses.replace(second.config, study="third")], Stage.judge, no_hours)
    assert "known from first, would be linked" in capsys.readouterr().out
    tasks = [SlurmTask.of(p, Stage.experiment) for p in (second, other)]
    planned = plan_submission(second.study, tasks, {})
    assert (planned.done, planned.missing) == ([second.name], [tasks[1]])


def test_a_training_of_another_point_is_not_prepared_again(tmp_path, capsys):
    trained = point(config(tmp_path / "first"))
    write_record(trained.folder, trained.identity)
    write_adapter(trained.folder / "adapter")
    write_json(trained.folder / "training.json", {"steps": 3})
    other = config(tmp_path / "second", "bench.items=7", "model.before_visual_tuning=null")
    preview([other], Stage.experiment, no_hours)
    printed = capsys.readouterr().out
    assert "1 trainings are known from points of first" in printed
    assert "prepare" not in printed
    preview([dataclasses.replace(other, seed=7)], Stage.experiment, no_hours)
    printed = capsys.readouterr().out
    assert "are known" not in printed
    assert "prepare" in printed
