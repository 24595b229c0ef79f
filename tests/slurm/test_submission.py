"""A submission on disk: written and read, or refused with a clear message."""

import json

import pytest

from mmdpo.config.choices import Stage
from mmdpo.entry.compose import compose_config
from mmdpo.errors import UserError
from mmdpo.points.point import point
from mmdpo.slurm.submission import (
    PREPARE,
    SUBMISSION_FILE,
    Part,
    SlurmTask,
    changed_cluster,
    config_from_dict,
    config_to_dict,
    job_comment,
    read_submission,
    read_submissions,
)
from tests.slurm.submitted import BEGUN, config, submitted


def test_a_submission_is_read_as_it_was_written(tmp_path):
    written = submitted(tmp_path / "s", prepare="7", count=3)
    found = read_submission(written.folder)
    assert found == written
    assert [*found.tasks()] == [*written.tasks()]
    assert len([*found.tasks()]) == 3
    assert [task.stage.value for task in found.tasks(PREPARE)] == ["reference"]
    prepare, array = found.parts
    assert (prepare.ids(), array.ids()) == (["7"], ["8_0", "8_1", "8_2"])
    for index, task in enumerate(found.tasks()):
        assert found.task(array, index) == task
        assert task.point.config.seed == index
        assert task.point.name == task.name
        assert found.folder_of(task) == tmp_path / "s" / task.name
    assert job_comment(found, array) == f"mmdpo:{BEGUN}:tasks:0"


def test_an_index_counts_from_its_parts_first_task(tmp_path):
    found = submitted(tmp_path / "s", count=5, largest=2)
    assert [found.task(found.parts[2], 0).point.config.seed, found.task(found.parts[1], 1).name] == [
        4,
        [*found.tasks()][3].name,
    ]


def test_ids_are_unknown_until_sbatch_has_answered():
    assert Part("tasks", count=2).ids() == [None, None]


def test_a_study_that_was_moved_is_read_where_it_lies(tmp_path):
    submitted(tmp_path / "s")
    (tmp_path / "s").rename(tmp_path / "t")
    (found,) = read_submissions(tmp_path / "t")
    assert found.study == tmp_path / "t"


def test_submissions_come_in_the_order_of_their_times(tmp_path):
    for name in ("20260103-000000-aaaa", "20260101-000000-ffff"):
        submitted(tmp_path / "s", name=name)
    (tmp_path / "s" / "jobs" / "20260104-000000-0000").mkdir()  # of a command that ended before it submitted
    assert [one.name for one in read_submissions(tmp_path / "s")] == [
        "20260101-000000-ffff",
        "20260103-000000-aaaa",
    ]


@pytest.mark.parametrize("text", ["", "{", '{"code": "c"}', "[]", "null", '{"parts": [1]}'])
def test_a_damaged_submission_is_named_with_what_to_do(text, tmp_path):
    folder = submitted(tmp_path / "s").folder
    (folder / SUBMISSION_FILE).write_text(text)
    with pytest.raises(UserError) as caught:
        read_submissions(tmp_path / "s")
    for words in (f"{folder / SUBMISSION_FILE} is damaged", "squeue --me", f"delete {folder}"):
        assert words in str(caught.value)


def test_fields_of_another_version_are_ignored(tmp_path):
    written = submitted(tmp_path / "s")
    content = json.loads((written.folder / SUBMISSION_FILE).read_text())
    content["colour"] = "red"
    content["parts"][0]["shape"] = "round"
    (written.folder / SUBMISSION_FILE).write_text(json.dumps(content))
    assert read_submission(written.folder) == written


@pytest.mark.parametrize(
    "overrides",
    [
        [
            "cluster=slurm_zero3",
            "cluster.setup=['module load cuda']",
            "+cluster.additional_parameters.reservation=r",
        ],
        ["method=steerlm", "pairs.rule=all", "data_limit=7", "seed=3"],
        ["data=prompts", "judge=gemini", "data.sources.prompts.path=pyproject.toml", "beta=1e-7"],
    ],
)
def test_a_config_survives_its_file(overrides):
    one = compose_config(overrides)
    assert config_from_dict(json.loads(json.dumps(config_to_dict(one)))) == one


def test_a_config_of_another_versions_schema_is_a_message(tmp_path):
    values = config_to_dict(config(tmp_path / "s"))
    values["train"]["colour"] = "red"
    with pytest.raises(UserError, match=r"another version of mmdpo: Key 'colour' not in 'TrainConfig'"):
        config_from_dict(values)


def test_settings_of_the_cluster_change_and_nothing_else(tmp_path):
    before = config_to_dict(config(tmp_path / "s", "cluster.partition=a100").cluster)
    changed = changed_cluster(before, ["cluster.mem=64G", "cluster.max_attempts.killed=5"])
    assert (changed.mem, changed.max_attempts.killed, changed.partition) == ("64G", 5, "a100")
    for words, message in (
        (["method=sft"], "method=sft: only settings of the cluster can be changed"),
        (["cluster.mem"], "cluster.mem: only settings"),
        (["cluster.memroy=1G"], "memroy"),
        (["cluster.gpus_per_node=many"], "could not be converted to Integer"),
    ):
        with pytest.raises(UserError, match=message):
            changed_cluster(before, words)


@pytest.mark.parametrize("stage", ["prompts", "sample", "annotate", "teacher", "build", "reference"])
def test_stages_that_make_data_do_not_work_in_a_points_folder(stage, tmp_path):
    task = SlurmTask.of(point(config(tmp_path / "s")), Stage(stage))
    assert task.role is None
    assert task.name.startswith(f"{stage}-")


@pytest.mark.parametrize("stage", [Stage.experiment, Stage.train, Stage.evaluate])
def test_stages_of_a_point_work_in_its_folder(stage, tmp_path):
    one = point(config(tmp_path / "s"))
    task = SlurmTask.of(one, stage)
    assert (task.role, task.name) == ("trained", one.name)
