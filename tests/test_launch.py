"""launch.py from outside: messages, exit codes, and the imports of commands that compute nothing."""

import json
import re
import shlex
from pathlib import Path

import pytest

from tests.support.program import launch, program


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["beta=abc"], "beta=abc: must be a number"),
        (["model.lr.dop=1e-3"], "did you mean dpo? To add it, type +model.lr.dop=1e-3"),
        (["betta=1"], "betta: unknown key; did you mean beta"),
        (["train.epochs=2"], "train.epochs is now train.num_train_epochs"),
        (["train.lr_scheduler_type=cosin"], "train.lr_scheduler_type=cosin: unknown"),
        (["method=dop"], "Could not find 'method/dop'"),
        (["method=dop"], "rejection_sampling"),  # what there is
        (["model=llava"], "llava_1_5_13b"),
        (["method.loss_type=dpo"], "unknown; allowed are sigmoid, hinge"),
        (["method=sft", "stage=sample", "dry_run=true"], "prompts, teacher, build"),
        (["stage=teacher", "dry_run=true"], "prompts, sample, annotate, build"),
        (["stage=foo"], "stage=foo: unknown; allowed are prompts, sample"),
        (["beta=-1"], "beta=-1.0: must be above 0"),
        (["-m", "beta=0.1,-2"], "beta=-2.0: must be above 0"),
        (["-m", "beta=0.1,abc"], "beta=abc: must be a number"),
        (["-m", "betta=0.1,0.2"], "betta: unknown key; did you mean beta"),
        (["-m", "stage=train,evaluate"], "stage and dry_run cannot be swept"),
        (["-m", "sweep=data_scalin"], "Could not find 'sweep/data_scalin'"),
        (["-m", "cluster=slurm", "cluster.exclude=n1,n2"], "one with commas is quoted for the shell and for Hydra"),
        (["-m", "beta=interval(0.1,0.2)"], "add hydra/sweeper=optuna"),
        (["-m", "hydra/launcher=basic"], "hydra/launcher=basic: "),
        (["data=pairs"], "add data.path=FILE"),
        (["method.lr=1e-3"], "method.lr=1e-3 is not read: here nothing refers to it; type lr="),
        (["-m", "method.lr=1e-3,1e-5"], "method.lr=0.001,1e-05 is not read"),
    ],
)
def test_a_mistake_is_a_short_message_and_a_failure(overrides, message, tmp_path):
    done = launch(*overrides, f"out={tmp_path}")
    assert done.returncode != 0
    assert message in done.stderr
    assert "Traceback" not in done.stderr + done.stdout
    assert "To append" not in done.stderr  # Hydra's advice for an unknown key


@pytest.mark.parametrize("mode", [["-m"], []])
def test_a_folder_that_cannot_be_made_is_named(mode):
    done = launch(*mode, "seed=0", "study=s", "out=pyproject.toml")
    assert done.returncode != 0
    assert "pyproject.toml/s cannot be made (Not a directory); type out=FOLDER" in done.stderr
    assert "Traceback" not in done.stderr


def test_the_traceback_is_there_when_asked_for(tmp_path):
    done = launch("beta=-1", f"out={tmp_path}", HYDRA_FULL_ERROR="1")
    assert done.returncode != 0
    assert "Traceback" in done.stderr


def test_all_points_are_checked_before_the_first_one_starts(tmp_path):
    done = launch("-m", "beta=0.1,0.2,-0.3", f"out={tmp_path}", "study=s")
    assert "beta=-0.3" in done.stderr
    assert [*tmp_path.iterdir()] == []


@pytest.mark.parametrize(
    "words",
    [
        ["-m", "beta=0.1,0.2", "out=OUT/${oc.env:MY_TOKEN}"],
        ["-m", "beta=0.1,0.2", "+cluster.additional_parameters.comment=0123-4567-89", "out=OUT"],
        ["hydra.output_subdir=.hydra", "hydra.run.dir=OUT", "out=OUT", "tracking.tags=[${oc.env:MY_TOKEN}]"],
    ],
)
def test_a_secret_of_the_environment_is_refused_and_written_nowhere(words, tmp_path):
    done = launch(*(word.replace("OUT", str(tmp_path)) for word in words), MY_TOKEN="0123-4567-89")
    assert done.returncode != 0
    assert "variable MY_TOKEN," in done.stderr
    assert "0123-4567-89" not in done.stdout + done.stderr
    assert not any("0123-4567-89" in str(path) for path in tmp_path.rglob("*"))
    assert not any(b"0123-4567-89" in path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())


def test_a_command_is_kept_as_it_was_typed(tmp_path):
    """A refused command and a dry run leave it alone, and so does multirun.yaml."""
    line = ["-m", "stage=prompts", "data.prompts=3", f"out={tmp_path}", "study=my study"]
    assert launch(*line, "data.seed=1,2", MMDPO_CACHE=str(tmp_path / "cache")).returncode == 0
    study = tmp_path / "my study"
    kept = (study / "multirun.yaml").read_text()
    assert launch(*line, "data.seed=3", "beta=-1").returncode != 0
    assert launch(*line, "data.seed=3", "dry_run=true").returncode == 0
    (command,) = [json.loads(text) for text in (study / "commands.jsonl").read_text().splitlines()]
    assert shlex.split(command["command"]) == ["python", "launch.py", *line, "data.seed=1,2"]
    assert command["outcome"] == "done"
    assert (study / "multirun.yaml").read_text() == kept
    done = launch("stage=prompts", "data.prompts=3", f"out={tmp_path}", MMDPO_CACHE=str(tmp_path / "cache"))
    assert f"next: python launch.py stage=sample data.prompts=3 out={tmp_path}\n" in done.stdout


def test_dry_run_names_the_points_and_does_nothing(tmp_path):
    done = launch("-m", "sweep=data_scaling", "dry_run=true", f"out={tmp_path}")
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("would train and measure") == 4
    assert done.stdout.count("would measure") == 2
    visible = [line for line in done.stdout.splitlines() if line.startswith("visible on ")]
    assert len(visible) == 4
    assert all("16 comparisons" in line and "240 items" in line for line in visible)
    assert re.search(r"dpo-beta0.1-lr[\d.e-]+-sum-data0.25-seed0-[0-9a-f]{6}", done.stdout)
    assert [*tmp_path.iterdir()] == []


def test_dry_run_of_a_stage_says_what_it_would_make(tmp_path):
    done = launch("stage=annotate", "dry_run=true", "data.seed=77", f"out={tmp_path}")
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [
        "prompts: would be made (stage=prompts)",
        "completions: would be made (stage=sample)",
        "annotations: would be made (stage=annotate)",
    ]


def test_a_sweep_of_methods_makes_each_kind_of_data_once(tmp_path):
    done = launch("-m", "sweep=methods", "dry_run=true", "data.seed=77", f"out={tmp_path}")
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    for kind in ("prompts", "completions", "annotations", "teacher"):
        assert sum(line.startswith(f"{kind}: would be made") for line in lines) == 1, kind
    for name in ("dpo", "sft", "rejection_sampling", "steerlm"):
        assert sum(f"/{name}-" in line for line in lines) == 1, name


def test_the_blocks_of_a_study_are_one_command(tmp_path):
    done = launch("sweep=paper_table2", "beta=0.5,0.7", "seed=0,1", "dry_run=true", f"out={tmp_path}")
    assert done.returncode == 0, done.stderr
    assert "beta=0.5,0.7: holds for block 1 (method=dpo " in done.stdout
    assert "12 points: 0 done, 12 to run" in done.stdout.splitlines()
    assert done.stdout.count("/nano-paper_table2/dpo-beta0.5-") == 2
    assert done.stdout.count("/nano-paper_table2/sft-") == 2
    assert done.stdout.count("/nano-paper_table2/base-") == 1
    assert [*tmp_path.iterdir()] == []


def test_an_axis_on_the_command_line_replaces_the_studys(tmp_path):
    done = launch("sweep=data_scaling", "data_scale=0.1", "dry_run=true", f"out={tmp_path}")
    assert done.stdout.count("would train and measure") == 1
    assert "-data0.1-" in done.stdout


def test_help_names_groups_and_axes():
    done = launch("--help")
    assert done.returncode == 0
    for word in (
        "method: apo_zero, dpo, dpo_sft, hinge, ipo",
        "sweep: beta_lr_grid, data_scaling",
        "beta  lr  logprob_avg  data_scale  data_limit  label_noise  seed",
        "python launch.py -m",
    ):
        assert word in done.stdout


def test_cfg_job_imports_no_torch():
    code = (
        "import runpy, sys; sys.argv = ['launch.py', '--cfg', 'job', 'beta=0.3'];\n"
        "try: runpy.run_path('launch.py', run_name='__main__')\n"
        "except SystemExit: pass\n"
        "slow = {'torch', 'transformers', 'trl', 'peft', 'wandb', 'scipy', 'matplotlib'} & set(sys.modules)\n"
        "assert not slow, slow"
    )
    done = program("-c", code, real=True)
    assert done.returncode == 0, done.stderr
    assert "beta: 0.3" in done.stdout


@pytest.mark.parametrize(
    ("typed", "offered"),
    [("method=", "method=dpo"), ("data_", "data_scale="), ("sweep=data", "sweep=data_scaling")],
)
def test_tab_completion_names_axes_and_options(typed, offered):
    line = f"python launch.py {typed}"
    done = launch("-sc", "query=bash", COMP_LINE=line, COMP_POINT=str(len(line)))
    assert offered in done.stdout.split()


def test_tab_completion_can_be_installed():
    assert "complete -o nospace" in launch("-sc", "install=bash").stdout


def test_shell_completion_offers_what_can_be_typed():
    done = launch("-sc", "query=bash", COMP_LINE="python launch.py stage=", COMP_POINT="23")
    assert done.stdout.split() == ["stage=experiment"]


def test_a_dry_run_refuses_rows_that_would_train_nothing(tmp_path: Path) -> None:
    file = tmp_path / "pairs.jsonl"
    row = '{"prompt": "Question %s?", "chosen": "A whole sentence.", "rejected": "no"}\n'
    file.write_text("".join(row % number for number in range(12)))
    done = launch("data=pairs", f"data.path={file}", f"out={tmp_path / 'out'}", "dry_run=true")
    assert done.returncode == 1
    assert "Type train.num_train_epochs=10" in done.stderr
    assert not (tmp_path / "out").exists()
