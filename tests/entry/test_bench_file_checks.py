import shutil

import pytest

from mmdpo.config.choices import Stage
from mmdpo.entry.bench_file_checks import require_bench_files
from mmdpo.entry.compose import compose_config
from mmdpo.errors import UserError
from tests.support.bench_amber import write_amber


def config(root, *more):
    return compose_config(["bench=amber", "objective=amber", f"bench.root={root}", *more])


@pytest.mark.parametrize("stage", [Stage.evaluate, Stage.judge, Stage.experiment])
def test_missing_files_end_a_command_that_measures_and_name_the_doctor(tmp_path, stage):
    with pytest.raises(UserError, match=rf"python -m mmdpo doctor bench=amber bench.root={tmp_path}"):
        require_bench_files([config(tmp_path)] * 2, stage)
    with pytest.raises(UserError, match="amber_queries"):
        require_bench_files([config(tmp_path)], stage, dry_run=True)


@pytest.mark.parametrize("stage", [Stage.train, Stage.report])
def test_other_stages_need_no_files(tmp_path, stage):
    require_bench_files([config(tmp_path)], stage)


def test_complete_files_pass_and_unknown_names_do_not(tmp_path):
    root = write_amber(tmp_path)
    for dry_run in (True, False):
        require_bench_files([config(root)], Stage.experiment, dry_run)
    with pytest.raises(UserError, match=r"bench\.files\.photos"):
        require_bench_files([config(root, "+bench.files.photos=x")], Stage.experiment)


def test_judging_needs_no_images(tmp_path):
    root = write_amber(tmp_path)
    shutil.rmtree(root / "amber" / "images")
    require_bench_files([config(root)], Stage.judge)
    with pytest.raises(UserError, match="amber_images"):
        require_bench_files([config(root)], Stage.evaluate)
