"""The copy of the code that jobs run."""

import subprocess
import sys

import pytest

from mmdpo.config.schema import CONF
from mmdpo.files import read_json
from mmdpo.slurm import snapshot as module
from mmdpo.slurm.snapshot import changed_code, code_files, take_snapshot


def test_jobs_run_the_copy_and_not_the_checkout(tmp_path):
    """Edits after submission have no effect: neither code nor conf/ is read from the checkout."""
    copy = tmp_path / take_snapshot(tmp_path)
    edited = copy / "mmdpo" / "errors.py"
    edited.write_text(edited.read_text() + "\nMARK = 'of the copy'\n")
    code = (
        "import mmdpo.errors, mmdpo.config.schema, hydra_plugins.mmdpo.launcher as launcher\n"
        "print(mmdpo.errors.MARK, mmdpo.config.schema.CONF, launcher.__file__, sep='\\n')"
    )
    done = subprocess.run(
        [sys.executable, "-P", "-c", code],
        cwd=CONF.parent,
        env={"PYTHONPATH": str(copy), "PATH": ""},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.splitlines() == [
        "of the copy",
        str(copy / "conf"),
        str(copy / "hydra_plugins" / "mmdpo" / "launcher.py"),
    ]


def test_a_snapshot_is_named_by_its_content_and_made_once(tmp_path, monkeypatch):
    root = tmp_path / "checkout"
    for name in ("mmdpo/training/loss.py", "conf/config.yaml", "launch.py", "mmdpo/__pycache__/x.pyc"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text("1")
    monkeypatch.setattr(module, "ROOT", root)
    jobs = tmp_path / "jobs"
    first = take_snapshot(jobs)
    assert read_json(jobs / first / "files.json") == code_files()
    assert sorted(code_files()) == ["conf/config.yaml", "launch.py", "mmdpo/training/loss.py"]
    assert take_snapshot(jobs) == first
    (root / "conf/config.yaml").write_text("2")
    second = take_snapshot(jobs)
    assert second != first
    assert [(jobs / name / "conf/config.yaml").read_text() for name in (first, second)] == ["1", "2"]
    assert sorted(path.name for path in jobs.iterdir()) == sorted([first, second])


def test_a_snapshot_notes_commit_and_diff(tmp_path, monkeypatch):
    root = tmp_path / "checkout"
    root.mkdir()
    (root / "launch.py").write_text("1\n")
    git = ["git", "-c", "user.name=me", "-c", "user.email=me@here", "-C", str(root)]
    for words in (["init", "-q"], ["add", "."], ["commit", "-qm", "first"]):
        subprocess.run([*git, *words], check=True)
    (root / "launch.py").write_text("2\n")
    monkeypatch.setattr(module, "ROOT", root)
    copy = tmp_path / "jobs" / take_snapshot(tmp_path / "jobs")
    assert len((copy / "git.txt").read_text().strip()) == 40
    assert "-1\n+2\n" in (copy / "git.diff").read_text()


@pytest.mark.parametrize(
    ("name", "counts"),
    [
        ("mmdpo/training/loss.py", True),
        ("mmdpo/pipeline/point_stages.py", True),
        ("mmdpo/nano/weights/llava/model.safetensors", True),
        ("mmdpo/analysis/table.py", False),
        ("mmdpo/slurm/task_states.py", False),
        ("conf/cluster/slurm.yaml", False),  # its values are in every point's config
        ("launch.py", False),
    ],
)
def test_only_code_that_numbers_depend_on_counts_as_changed(name, counts):
    for old, new in (({name: "1"}, {name: "2"}), ({name: "1"}, {}), ({}, {name: "1"})):
        assert changed_code(old, new) == ([name] if counts else [])
    assert changed_code({name: "1"}, {name: "1"}) == []


def test_the_list_of_what_does_not_count_names_what_there_is():
    assert [name for name in module.NO_EFFECT_ON_RESULTS if not (module.ROOT / "mmdpo" / name).exists()] == []
