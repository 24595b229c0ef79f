import shutil

from mmdpo.evaluation.file_checks import file_problems
from tests.support.bench_amber import write_amber
from tests.support.bench_mmbench import mmbench_row, write_mmbench
from tests.support.bench_run import bench_config


def problems(task, root, **options):
    return list(file_problems(bench_config(task, root), **options))


def test_nothing_is_wrong_with_complete_files_and_tasks_without_files(tmp_path):
    assert problems("amber", write_amber(tmp_path)) == []
    assert problems("text", tmp_path) == []


def test_missing_files_are_one_problem(tmp_path):
    [problem] = problems("mmbench", tmp_path)
    assert "+bench.files.mmbench_table=PATH" in problem
    bench = bench_config("mmbench", tmp_path)
    bench.tasks = ["mmbench", "amber", "pope"]
    [problem] = file_problems(bench)
    assert "mmbench, amber, pope: 10 files and folders are missing" in problem
    assert "and 2 more" in problem


def test_wrong_files_are_read_also_where_nothing_may_be_written(tmp_path):
    root = write_mmbench(tmp_path, [mmbench_row(1, "?")])
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    for options in ({}, {"scratch": scratch}):
        [problem] = problems("mmbench", root, **options)
        assert "bench.files.mmbench_table" in problem


def test_missing_and_broken_images_are_counted(tmp_path):
    root = write_amber(tmp_path)
    images = root / "amber" / "images"
    (images / "AMBER_1.jpg").write_bytes(b"torn")
    [problem] = problems("amber", root)
    assert "AMBER_1.jpg" in problem
    assert "+bench.files.amber_images=DIR" in problem
    shutil.rmtree(images)
    images.mkdir()
    assert "2 of 2 images" in problems("amber", root)[0]
