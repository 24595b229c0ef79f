"""Whole experiments on a shrunken miniature: trained, measured, drawn, resumed, repeated, failed."""

import csv
import html
import json
import shlex
import signal
import time
from pathlib import Path

import pytest

from mmdpo.files import file_fingerprint, read_json
from tests.support.program import Program, launch, program, start_program
from tests.support.tiny import OF_THE_MACHINE

pytestmark = pytest.mark.slow
EXHAUSTIVE = pytest.mark.exhaustive

SMALL = ["data.prompts=80", "bench.items=16", "bench.resamples=100", "tracking=none", "cluster.threads=1"]
OWN_SMALL = SMALL[1:]  # own pairs need no prompts
LINE = ["-m", "method=dpo", "beta=0.1,0.2,0.3", "data.prompts=80", "bench.items=16", "bench.resamples=100"]


def points(study: Path) -> list[Path]:
    return sorted(path.parent for path in study.glob("*/status.json"))


def metrics(point: Path) -> list[dict]:
    """Read the logged steps, without the machine's speed and memory."""
    rows = [json.loads(line) for line in (point / "metrics.jsonl").read_text().splitlines()]
    return [{key: value for key, value in row.items() if key not in OF_THE_MACHINE} for row in rows]


@pytest.fixture(scope="module")
def sweep(tmp_path_factory):
    """The README's main job, run once, by a real command."""
    out = tmp_path_factory.mktemp("outputs")
    done = launch(*LINE, f"out={out}", real=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done, out / "nano"


def test_the_real_command_leaves_what_the_readme_says(sweep):
    _, study = sweep
    roles = [point.name.split("-")[0] for point in points(study)]
    assert roles == ["base", "before_visual_tuning", "dpo", "dpo", "dpo"]
    for point in points(study):
        assert read_json(point / "status.json")["state"] == "done"
        result = read_json(point / "result.json")
        for name in ("text", "visual", "presence", "text_noisy"):
            score = result["scores"][name]
            assert score["low"] <= score["value"] <= score["high"]
            assert score["n"] == 16
            assert len((point / "answers" / f"{name}.jsonl").read_text().splitlines()) == 16
        assert result["versions"]["trl"]
        assert result["fingerprints"]["model"]
        assert (point / "config.yaml").exists()
        assert not list(point.rglob("*.tmp"))
        assert point.name in (point / "logs" / "attempt-1-rank-0.log").read_text()
    for point in points(study)[2:]:
        rows = metrics(point)
        assert [row["step"] for row in rows] == list(
            range(1, read_json(point / "result.json")["training"]["steps"] + 1)
        )
        assert rows[0]["loss"] == pytest.approx(0.6931, abs=1e-4)  # ln 2: the policy is the reference
        assert {"rewards/margins", "rewards/accuracies", "logps/chosen"} <= set(rows[0])
        assert (point / "adapter" / "adapter_model.safetensors").exists()
        assert not (point / "checkpoints").exists()


def test_the_points_differ_by_beta_alone(sweep):
    _, study = sweep
    axes = [read_json(point / "result.json")["axes"] for point in points(study)[2:]]
    assert [axis.pop("beta") for axis in axes] == [0.1, 0.2, 0.3]
    assert axes[0] == axes[1] == axes[2]


def test_the_sweep_ends_with_table_summary_pictures_and_a_last_line(sweep):
    done, study = sweep
    with (study / "summary.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["role"] for row in rows] == ["base", "before_visual_tuning", "trained", "trained", "trained"]
    assert [row["beta"] for row in rows[2:]] == ["0.1", "0.2", "0.3"]
    assert list((study / "figures").glob("*.png"))
    assert (study / "report.html").exists()
    report, _, following = done.stdout.splitlines()[-1].partition("  ·  next: ")
    assert report.endswith("report.html")
    assert {*LINE[3:], f"out={study.parent}"} < {*shlex.split(following)}  # what was typed
    typed = shlex.join(["python", "launch.py", *LINE, f"out={study.parent}"])
    assert html.escape(typed, quote=False) in (study / "report.html").read_text()
    assert max(len(line) for line in done.stdout.splitlines()[:-1] if "│" in line or "─" in line) <= 80


def test_wandb_holds_the_metrics_offline(sweep):
    _, study = sweep
    for point in points(study):
        assert list(point.glob("wandb/offline-run-*/run-*.wandb"))


def test_the_same_line_again_trains_nothing(sweep):
    _, study = sweep
    before = {path: path.stat().st_mtime_ns for path in study.rglob("result.json")}
    done = launch(*LINE, f"out={study.parent}")
    assert done.returncode == 0, done.stderr
    assert "5 points: 5 done, 0 to run" in done.stdout
    assert before == {path: path.stat().st_mtime_ns for path in study.rglob("result.json")}


def test_status_report_and_compare_read_the_study(sweep):
    _, study = sweep
    status = program("-m", "mmdpo", "status", str(study))
    assert status.returncode == 0
    assert "base" in status.stdout
    assert "0.3" in status.stdout
    assert program("-m", "mmdpo", "report", str(study)).returncode == 0
    base, point = points(study)[0], points(study)[-1]
    compared = program("-m", "mmdpo", "compare", str(base), str(point))
    assert compared.returncode == 0, compared.stderr
    assert "text" in compared.stdout


def test_a_failed_point_does_not_stop_the_others_and_is_tried_again(tmp_path):
    line = ["-m", "lr=1e30,5e-4", *SMALL, f"out={tmp_path}"]
    done = launch(*line)
    assert done.returncode != 0
    assert "Traceback" not in done.stderr
    states = {point.name: read_json(point / "status.json") for point in points(tmp_path / "nano")}
    failed = [status for status in states.values() if status["state"] == "failed"]
    assert len(failed) == 1
    assert len(states) == 4
    assert "lr" in failed[0]["error"] or "loss" in failed[0]["error"]
    assert failed[0]["error"].splitlines()[0][:30] in done.stdout
    again = launch(*line)
    assert again.returncode != 0
    assert "4 points: 3 done, 1 to run" in again.stdout
    assert [read_json(p / "status.json")["attempts"] for p in points(tmp_path / "nano")].count(2) == 1


def start_and_wait_for_step(line: list[str], out: Path, name: str, step: int) -> Program:
    """Start the command; return once the point has logged so many steps."""
    process = start_program("launch.py", *line, f"out={out}")
    log = out / "nano" / name / "metrics.jsonl"
    while not log.exists() or len(metrics(log.parent)) < step:
        assert process.poll() is None, "it ended before it could be disturbed"
        time.sleep(0.01)
    return process


def test_an_interrupted_killed_and_resumed_point_equals_an_undisturbed_one(tmp_path):
    line = ["train.num_train_epochs=4", "train.save_steps=2", *SMALL]
    assert launch(*line, f"out={tmp_path / 'calm'}").returncode == 0
    (calm,) = (tmp_path / "calm" / "nano").glob("dpo-*")
    out = tmp_path / "disturbed"
    disturbed = out / "nano" / calm.name

    process = start_and_wait_for_step(line, out, calm.name, 2)
    process.send_signal(signal.SIGINT)
    _, stderr = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "last checkpoint" in stderr
    assert "Traceback" not in stderr
    assert read_json(disturbed / "status.json")["state"] == "interrupted"
    saved = len(metrics(disturbed))
    assert (disturbed / "checkpoints" / f"checkpoint-{saved}").is_dir()  # whatever train.save_steps is

    process = start_and_wait_for_step(line, out, calm.name, saved + 3)
    process.kill()
    assert process.wait(30) == -signal.SIGKILL
    assert not (disturbed / "adapter").exists()
    assert "interrupted" in program("-m", "mmdpo", "status", str(disturbed.parent)).stdout

    done = launch(*line, f"out={out}")
    assert done.returncode == 0, done.stderr
    assert read_json(disturbed / "status.json")["attempts"] == 3
    adapter = Path("adapter/adapter_model.safetensors")
    assert file_fingerprint(disturbed / adapter) == file_fingerprint(calm / adapter)
    assert metrics(disturbed) == metrics(calm)
    assert read_json(disturbed / "result.json")["scores"] == read_json(calm / "result.json")["scores"]


@pytest.mark.long
def test_the_stages_run_alone_and_name_the_one_that_is_missing(tmp_path):
    line = [*SMALL, "data.seed=5", f"out={tmp_path}"]
    early = launch("stage=annotate", *line)
    assert early.returncode != 0
    assert "stage=prompts" in early.stderr
    for stage in ("prompts", "sample", "annotate", "build", "reference", "train", "evaluate", "judge", "report"):
        done = launch(f"stage={stage}", *line)
        assert done.returncode == 0, (stage, done.stderr)
    (point,) = (tmp_path / "nano").glob("dpo-*")
    assert read_json(point / "status.json")["state"] == "done"
    launch("stage=train", *line)
    assert read_json(point / "status.json")["attempts"] == 3  # one each: what is done is not done again


def test_evaluate_before_train_says_so(tmp_path):
    done = launch("stage=evaluate", *SMALL, f"out={tmp_path}")
    assert done.returncode != 0
    assert "stage=train" in done.stderr


def test_the_data_scaling_study_draws_its_curve(tmp_path):
    done = launch("-m", "sweep=data_scaling", "data_scale=0,0.5,1", *SMALL, f"out={tmp_path}")
    assert done.returncode == 0, done.stderr
    study = tmp_path / "nano-data_scaling"
    assert [path.name.split("-")[0] for path in points(study)] == [
        "base",
        "before_visual_tuning",
        "dpo",
        "dpo",
    ]
    pairs = [read_json(path / "result.json")["training"]["examples"] for path in points(study)[2:]]
    assert pairs[0] == round(pairs[1] / 2)
    assert list((study / "figures").glob("*scaling*.png"))


@pytest.mark.long
def test_the_methods_study_trains_all_four(tmp_path):
    done = launch("-m", "sweep=methods", *SMALL, f"out={tmp_path}")
    assert done.returncode == 0, done.stdout + done.stderr
    results = {
        path.parent.name.split("-")[0]: read_json(path) for path in (tmp_path / "nano-methods").glob("*/result.json")
    }
    assert results.keys() >= {"base", "dpo", "sft", "rejection_sampling", "steerlm"}
    trained = {name: result["training"] for name, result in results.items() if result["training"]}
    examples = {name: training["examples"] for name, training in trained.items()}
    assert examples["sft"] == examples["rejection_sampling"] == 80
    assert examples["steerlm"] == 4 * 80 > examples["dpo"] > 20
    scores = results["steerlm"]["scores"]
    assert {"text", "text/without_request", "visual", "visual/without_request"} <= scores.keys()
    assert not any("without_request" in name for name in results["sft"]["scores"])
    (answers,) = (tmp_path / "nano-methods").glob("steerlm-*/answers")
    assert (answers / "text.jsonl").read_text() != (answers / "text.without_request.jsonl").read_text()
    assert "asked for ratings; without the request text" in " ".join(done.stdout.split())


@pytest.mark.long
def test_real_torchrun_trains_what_one_process_does(tmp_path):
    """ZeRO-3 with two processes, a method with pairs and one without."""
    line = ["-m", "method=dpo,rejection_sampling", *SMALL, "bench.tasks=[text]", "data_limit=32"]
    alone = launch(*line, "train.per_device_train_batch_size=16", f"out={tmp_path}/alone")
    assert alone.returncode == 0, alone.stderr
    torchrun = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2")
    train = ("train.per_device_train_batch_size=8", "train.zero_stage=3")
    together = program(*torchrun, "launch.py", *line, *train, f"out={tmp_path}/together", real=True)
    assert together.returncode == 0, together.stdout + together.stderr
    losses = {
        where: {
            point.name.split("-")[0]: [row["loss"] for row in metrics(point)]
            for point in points(tmp_path / where / "nano")
            if (point / "metrics.jsonl").exists()
        }
        for where in ("alone", "together")
    }
    assert losses["together"].keys() == losses["alone"].keys() == {"dpo", "rejection_sampling"}
    for method, expected in losses["alone"].items():
        assert losses["together"][method] == pytest.approx(expected, abs=1e-3), method
    assert together.stdout.count("report.html") == alone.stdout.count("report.html") == 1  # printed by one rank


def test_a_trained_point_is_exported_and_an_untrained_one_is_refused(tmp_path):
    line = [*SMALL, f"out={tmp_path}"]
    early = launch("stage=export", *line)
    assert early.returncode != 0
    assert "stage=train" in early.stderr
    base = launch("stage=export", "data_scale=0", *line)
    assert base.returncode != 0
    assert "there is no adapter" in base.stderr
    assert launch("stage=train", *line).returncode == 0
    done = launch("stage=export", *line)
    assert done.returncode == 0, done.stderr
    (folder,) = (tmp_path / "nano").glob("dpo-*/merged")
    assert str(folder) in done.stdout.replace("\n", "")
    assert (folder / "model.safetensors").exists()


@pytest.mark.long
def test_optuna_searches_the_best_point_on_the_dev_split(tmp_path):
    done = launch(
        "-m", "hydra/sweeper=optuna", "hydra.sweeper.n_trials=3", "hydra.sweeper.sampler=random",
        "hydra.sweeper.pruner=median", "hydra.sweeper.pruner.n_startup_trials=1", "hydra.sweeper.rungs=[0.5]",
        "lr=tag(log,interval(1e-6,1e-3))", "objective=visual", "train.logging_steps=1", *SMALL, f"out={tmp_path}",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    states = [read_json(path)["state"] for path in (tmp_path / "nano").glob("dpo-*/status.json")]
    assert sorted(states) == ["done", "done", "pruned"]
    results = [read_json(path) for path in (tmp_path / "nano").glob("dpo-*/result.json")]
    assert {"split: dev" in path.read_text() for path in (tmp_path / "nano").glob("*/config.yaml")} == {True}
    scores = {result["point"]: result["scores"]["visual"]["value"] for result in results}
    best = next(result for result in results if scores[result["point"]] == max(scores.values()))
    *_, pruned, found, command = done.stdout.splitlines()
    assert pruned.startswith("1 of 3 trials were pruned")
    assert found.startswith("best of 2 points: ")
    assert scores[found.split(": ")[1]] == max(scores.values()) > min(scores.values())
    assert command.startswith("measure it on the test split: python launch.py ")
    assert command.endswith(f" lr={best['axes']['lr']} study=nano-test bench.split=test")


@pytest.mark.parametrize("form", ["parquet", *(pytest.param(form, marks=EXHAUSTIVE) for form in ("jsonl", "json"))])
def test_own_pairs_with_photographs_train(tmp_path, form):
    from skimage import data as photographs

    images = tmp_path / "images"
    images.mkdir()
    rows = own_pairs(images, photographs)
    path = tmp_path / f"pairs.{form}"
    if form == "parquet":
        import pyarrow as pa
        import pyarrow.parquet as pq

        pq.write_table(pa.Table.from_pylist(rows), path)
    elif form == "json":
        path.write_text(json.dumps(rows))
    else:
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    done = launch(
        "data=pairs",
        f"data.path={path}",
        f"data.image_root={images}",
        "train.per_device_train_batch_size=4",
        *OWN_SMALL,
        f"out={tmp_path}/o",
    )
    assert done.returncode == 0, done.stdout + done.stderr
    (point,) = (tmp_path / "o" / "nano").glob("dpo-*")
    training = read_json(point / "result.json")["training"]
    assert training["examples"] == len(rows)
    assert training["data"] == {"rows": len(rows), "pairs": len(rows)}


QUESTION = {"prompt": "What colour is the suit?"}


def own_pairs(images: Path, photographs) -> list[dict]:
    """Pairs about one photograph in several formats, and one without an image."""
    from PIL import Image

    photo = Image.fromarray(photographs.astronaut())
    photo.save(images / "colour.png")
    photo.save(images / "colour.jpg")
    photo.convert("L").save(images / "grey.png")
    photo.convert("RGBA").save(images / "clear.png")
    photo.convert("CMYK").save(images / "print.jpg")
    exif = Image.Exif()
    exif[0x0112] = 6  # turn by 90 degrees
    photo.save(images / "turned.jpg", exif=exif)
    names = sorted(path.name for path in images.iterdir())
    rows = [
        {**QUESTION, "id": name, "chosen": "The suit is orange.", "rejected": "Blue.", "image": name} for name in names
    ]
    return [*rows, {**QUESTION, "id": "text", "chosen": "I see no image.", "rejected": "Red.", "image": None}]


def test_a_wrong_row_is_named_before_anything_runs_and_can_be_dropped(tmp_path):
    path = tmp_path / "pairs.jsonl"
    good = {"prompt": "Why?", "chosen": "There is no reason.", "rejected": "No."}
    rows = [{**good, "id": str(number)} for number in range(4)] + [{"prompt": "Why?", "chosen": "So."}]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    line = [
        "data=pairs",
        f"data.path={path}",
        "train.per_device_train_batch_size=2",
        *OWN_SMALL,
        f"out={tmp_path}/o",
    ]
    done = launch(*line)
    assert done.returncode != 0
    for word in ("row 5", "rejected", "data.on_bad_row=drop"):
        assert word in done.stderr
    assert not list(tmp_path.rglob("status.json"))
    dropped = launch(*line, "data.on_bad_row=drop")
    assert dropped.returncode == 0, dropped.stderr
    (point,) = (tmp_path / "o" / "nano").glob("dpo-*")
    counts = read_json(point / "result.json")["training"]["data"]
    assert (counts["rows"], counts["pairs"]) == (5, 4)
    assert sum(count for name, count in counts.items() if name.startswith("dropped")) == 1
