"""`python -m mmdpo`."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from mmdpo.__main__ import main
from mmdpo.analysis.find import find_study
from mmdpo.analysis.selection import select
from mmdpo.entry.compose import compose_config
from mmdpo.errors import UserError
from tests.sources.files import as_lines, as_list, as_parquet, photos, tear
from tests.support.bench_amber import write_amber
from tests.support.bench_mmbench import mmbench_row, write_mmbench
from tests.support.studies import make_point, make_study

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture
def outputs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """outputs/ with an older and a newer study, as the working directory's."""
    monkeypatch.chdir(tmp_path)
    for number, (name, axis) in enumerate((("old", "seed"), ("new", "beta"))):
        study = make_study(tmp_path / "outputs" / name, [{axis: 1}, {axis: 2}], n=4)
        for path in study.glob("*/*"):
            os.utime(path, (1000 * (number + 1), 1000 * (number + 1)))
    return Path("outputs")


def test_status_of_the_newest_study(outputs: Path, capsys: pytest.CaptureFixture[str]):
    assert main(["status"]) == 0
    out = capsys.readouterr().out
    assert out.strip().startswith("new")
    assert "beta" in out


def test_status_of_a_study_by_name_and_by_folder(outputs: Path, capsys: pytest.CaptureFixture[str]):
    for name in ("old", "outputs/old"):
        assert main(["status", name]) == 0
        assert "seed" in capsys.readouterr().out


def test_status_is_1_when_a_point_failed(outputs: Path, capsys: pytest.CaptureFixture[str]):
    make_point(outputs / "new", {"beta": 3}, state="failed", error="no memory")
    assert main(["status", "new"]) == 1
    assert "no memory" in capsys.readouterr().out


def test_report(outputs: Path, capsys: pytest.CaptureFixture[str]):
    assert main(["report", "new"]) == 0
    assert (outputs / "new" / "report.html").exists()
    assert "outputs/new/report.html" in capsys.readouterr().out.splitlines()[-1]


def test_compare_by_pieces_of_names(outputs: Path, capsys: pytest.CaptureFixture[str]):
    assert main(["compare", "new/beta1-", "new/beta2-"]) == 0
    out = capsys.readouterr().out
    assert "paired over the same items" in out
    assert "other axes: beta 1 and 2" in out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["status", "nope"], "no study 'nope': it is not a folder, and outputs/ holds new, old"),
        (["compare", "nope", "beta1-"], "no point 'nope' in outputs/"),
        (["compare", "new/dpo", "new/base"], "'new/dpo' names 2 results"),
        (["compare", "new/base"], "names one result"),
        (["compare", "gone/base", "new/base"], "no study 'gone'"),
    ],
)
def test_errors_are_one_message_and_code_2(
    outputs: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
):
    assert main(arguments) == 2
    captured = capsys.readouterr()
    assert message in captured.err
    assert captured.err.startswith("error: ")
    assert "Traceback" not in captured.err


def test_a_whole_name_wins_over_a_piece_of_others(outputs: Path):
    (outputs / "new" / "base").mkdir()
    (outputs / "new" / "base" / "status.json").write_text("{}")
    with pytest.raises(UserError, match=r"outputs/new/base has no result\.json"):
        select(["new/base", "new/beta1"])


def test_no_study_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match=r"no study under outputs/"):
        find_study(None)


def test_help_names_every_command(capsys: pytest.CaptureFixture[str]):
    with pytest.raises(SystemExit) as leaving:
        main(["--help"])
    assert leaving.value.code == 0
    out = capsys.readouterr().out
    assert all(word in out for word in ("status", "report", "compare", "doctor", "STUDY", "examples"))


def imported(command: list[str], *heavy: str) -> str:
    """The packages among `heavy` that a command imports, as a printed list."""
    code = (
        f"import sys; from mmdpo.__main__ import main; main({command}); print([m for m in {heavy} if m in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    )
    assert done.stdout, done.stderr
    return done.stdout.splitlines()[-1]


def test_status_imports_nothing_heavy_once_its_gains_are_known(outputs: Path):
    main(["status"])
    assert imported(["status"], "torch", "transformers", "matplotlib", "scipy", "pandas", "numpy") == "[]"


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder that data=paper looks in: empty."""
    monkeypatch.setenv("MMDPO_DATA", str(tmp_path / "all"))
    monkeypatch.chdir(tmp_path)
    return tmp_path / "all"


def paper_rows(folder: Path, figures: int, photographs: int) -> None:
    """Both sources of data=paper, one image of SciGraphQA damaged."""
    (folder / "scigraphqa/rows").mkdir(parents=True)
    (folder / "lrv").mkdir()
    rows = [{"id": f"s{i}", "image_file": f"{i}.png", "q_a_pairs": [["What?", "It."]]} for i in range(figures)]
    as_parquet(folder / "scigraphqa/rows/a.parquet", rows)
    as_list(
        folder / "lrv/filter_cap1.json",
        [{"image_id": i, "question": "Who\n\x1b[31mis it?"} for i in range(photographs)],
    )
    photos(folder / "scigraphqa/images", *(f"{i}.png" for i in range(figures)))
    photos(folder / "lrv/images", *(f"{i}.jpg" for i in range(photographs)))
    tear(folder / "scigraphqa/images/0.png")


def doctor(capsys: pytest.CaptureFixture[str], code: int, *overrides: str) -> list[str]:
    """The lines that the doctor prints, without surrounding white space."""
    assert main(["doctor", *overrides]) == code
    captured = capsys.readouterr()
    assert not captured.err
    assert "Traceback" not in captured.out
    return [line.strip() for line in captured.out.splitlines()]


def test_doctor_with_nothing_there(data: Path, capsys: pytest.CaptureFixture[str]):
    out = doctor(capsys, 1, "data=paper")
    for name in ("scigraphqa/rows", "scigraphqa/images", "lrv/filter_cap1.json", "lrv/images"):
        assert str(data / name) in out
    for name in ("scigraphqa", "lrv"):
        assert f"or type data.sources.{name}.path=FILE" in out
        assert f"or type data.sources.{name}.image_root=DIR" in out
    assert any(line.startswith("4 files or folders are missing") for line in out)
    assert str(data) in out
    assert out[-1] == "python -m mmdpo doctor data=paper data.root=DIR"


def test_doctor_without_mmdpo_data(data: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("MMDPO_DATA")
    out = doctor(capsys, 1, "data=paper")
    assert "data/lrv/images" in out
    assert str(data.parent / "data") in out
    out = doctor(capsys, 1, "data=paper", f"data.root={data.parent / 'other'}")
    assert str(data.parent / "other") in out
    assert str(data.parent / "other/lrv/images") in out
    assert out[-1] == "python -m mmdpo doctor data=paper data.root=DIR"


def test_doctor_with_half_there(data: Path, capsys: pytest.CaptureFixture[str]):
    paper_rows(data, 6, 4)
    out = doctor(capsys, 1, "data=paper", "data.sources.lrv.path=gone.json", "data.sources.scigraphqa.count=5")
    assert "prompts 5 of 5 wanted" in out
    assert "gone.json" in out
    assert out[-1] == ("python -m mmdpo doctor data=paper data.sources.scigraphqa.count=5 data.sources.lrv.path=FILE")


def test_doctor_with_too_few_rows(data: Path, capsys: pytest.CaptureFixture[str]):
    paper_rows(data, 6, 4)
    out = doctor(capsys, 1, "data=paper")
    for line in (
        "read    6",
        "kept    5",
        "dropped 1",
        "prompts 5 of 3,000 wanted",
        "prompts 4 of 3,000 wanted",
    ):
        assert " ".join(line.split()) in [" ".join(printed.split()) for printed in out]
    assert "1  field 'image': not usable" in out
    assert f"{data}/scigraphqa/images/0.png: damaged or unreadable" in " ".join(out)  # of the first such row
    assert "data.sources.scigraphqa.count=5" in out
    assert "question  Who [31mis it?" in out


def test_doctor_with_all_there(data: Path, capsys: pytest.CaptureFixture[str]):
    paper_rows(data, 6, 4)
    counts = ["data.sources.scigraphqa.count=5", "data.sources.lrv.count=4"]
    out = doctor(capsys, 0, "data=paper", *counts)
    assert "image     32 x 21 pixels" in out
    assert "question  What?" in out
    assert "data=paper: complete. Next:" in out
    assert out[-1] == f"python launch.py data=paper {' '.join(counts)} judge=gemini dry_run=true"
    assert compose_config(out[-1].split()[2:]).data.name == "paper"  # a run takes that line
    doctor(capsys, 0, "data=paper", *counts, "judge=longer")


def test_doctor_of_benchmarks(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    root = write_amber(tmp_path)
    out = doctor(capsys, 0, "bench=amber", f"bench.root={root}")
    assert out[-1] == f"python launch.py bench=amber bench.root={root} dry_run=true"
    assert "2 of 2 images that the questions name can be used" in out
    (root / "amber" / "relation.json").unlink()
    out = doctor(capsys, 1, "bench=amber", f"bench.root={root}")
    assert out[-1] == "python -m mmdpo doctor bench=amber bench.root=DIR"
    assert any("+bench.files.amber_relations=PATH" in line for line in out)
    named = f"+bench.files.amber_relations={tmp_path / 'gone.json'}"
    out = doctor(capsys, 1, "bench=amber", f"bench.root={root}", named)
    assert out[-1] == f"python -m mmdpo doctor bench=amber bench.root={root} {named}"
    assert any("bench.files.amber_relations. Correct" in line for line in out)
    out = doctor(capsys, 1, "bench=visual", f"bench.root={write_mmbench(tmp_path)}")
    assert out[-1].endswith("'bench.tasks=[mmbench]' dry_run=true")


def test_doctor_of_benchmarks_and_data(data: Path, capsys: pytest.CaptureFixture[str]):
    out = doctor(capsys, 1, "bench=nano", "data=paper")
    assert any(line.startswith("bench=nano: complete") for line in out)
    assert out[-1] == "python -m mmdpo doctor bench=nano data=paper data.root=DIR"


def test_doctor_names_what_labelled_answers_share_with_a_benchmark(data: Path, capsys: pytest.CaptureFixture[str]):
    question = "Which of the two cups on the small table by the window is the larger one?"
    root = write_mmbench(data, [mmbench_row(1, "A", question=question)])
    rows = [(question, "the left one", False), ("What?", "a cup", True)]  # without partners, which pairs would need
    as_lines(root / "a.jsonl", [dict(zip(("prompt", "completion", "label"), row, strict=True)) for row in rows])
    typed = ["data=pairs", "data.format=kto", "method=kto", f"data.path={root / 'a.jsonl'}"]
    out = doctor(capsys, 0, *typed, "bench=visual", "bench.tasks=[mmbench]", f"bench.root={root}")
    assert "1 of 1 items share 13 words" in " ".join(out)


def test_doctor_with_a_torn_file(data: Path, capsys: pytest.CaptureFixture[str]):
    paper_rows(data, 6, 4)
    tear(data / "scigraphqa/rows/a.parquet")
    out = doctor(capsys, 1, "data=paper", "data.sources.lrv.count=4")
    assert any("not a parquet file" in " ".join(out[at : at + 3]) for at in range(len(out)))
    assert "prompts 4 of 4 wanted" in out  # the other source is looked at all the same
    assert out[-1] == "python -m mmdpo doctor data=paper data.sources.lrv.count=4"


def test_doctor_of_pairs(data: Path, capsys: pytest.CaptureFixture[str]):
    good = {"prompt": "What?", "chosen": "A cup.", "rejected": "A dog.", "source": "me"}
    as_lines(data.parent / "a.jsonl", [good, {"prompt": "?"}])
    out = doctor(capsys, 1, "data=pairs", "data.path=a.jsonl")
    assert "pairs   1" in out
    assert "1  field 'chosen': missing" in out
    assert "columns not used: source" in out
    out = doctor(capsys, 0, "data=pairs", "data.path=a.jsonl", "data.on_bad_row=drop")
    assert out[-1] == "python launch.py data=pairs data.path=a.jsonl data.on_bad_row=drop dry_run=true"
    assert "rejected  A dog." in out


def test_doctor_shows_a_row_as_the_model_sees_it(data: Path, capsys: pytest.CaptureFixture[str]):
    messages = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Here <image> is it?"}]
    row = {"messages": [*messages, {"role": "assistant", "content": "A cup."}], "rejected_response": "A dog."}
    as_lines(data.parent / "a.jsonl", [row | {"images": ["1.jpg"]}])
    line = ["data=pairs", "data.path=a.jsonl", f"data.image_root={photos(data.parent / 'images', '1.jpg')}"]
    out = doctor(capsys, 1, *line)
    assert "sample, with data.format=ms_swift" in out
    assert out[-1].endswith(" data.format=ms_swift")
    out = doctor(capsys, 0, *line, "data.format=ms_swift")
    assert {"system    Be brief.", "question  Here <image> is it?", "chosen    A cup."} <= set(out)
    assert out[(at := out.index("as model=nano sees it, up to the answer")) + 1] == "Be brief. USER: <image>"
    assert out[at + 2] == "Here   is it? ASSISTANT:"


@pytest.mark.parametrize("name", ["pairs", "authors", "llava_rlhf", "helpsteer", "rlhf_v"])
def test_doctor_of_pairs_that_are_not_named(data: Path, capsys: pytest.CaptureFixture[str], name: str):
    out = doctor(capsys, 1, f"data={name}")
    assert "type data.path=FILE" in out
    assert out[-1] == f"python -m mmdpo doctor data={name} data.path=FILE"


def test_doctor_of_a_data_set_in_a_directory_of_ones_own(data: Path, capsys: pytest.CaptureFixture[str]):
    (data.parent / "own/data").mkdir(parents=True)
    (data.parent / "own/data/mine.yaml").write_text("name: mine\nformat: pairs\npath: a.jsonl\n")
    as_lines(data.parent / "a.jsonl", [{"prompt": "What?", "chosen": "A cup.", "rejected": "A dog."}])
    out = doctor(capsys, 0, "--config-dir", "own", "data=mine")
    assert "data=mine: complete. Next:" in out
    assert out[-1] == "python launch.py --config-dir own data=mine dry_run=true"
    assert main(["doctor", "--config-dir", "gone", "data=mine"]) == 2


def test_doctor_of_nano(data: Path, capsys: pytest.CaptureFixture[str]):
    assert doctor(capsys, 0, "data=nano")[0].startswith("data=nano needs no files")
    assert doctor(capsys, 0)[-1] == "python launch.py dry_run=true"


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["data=nope"], "Could not find 'data/nope'"),
        (["data=paper", "data.foo=1"], "data.foo: unknown key"),
        (["data=paper", "+data.foo=1"], "data.foo: unknown key"),
        (["data.seed=x"], "must be a whole number"),
        (["data=paper", "data.sources.lrv.count=0"], "data.sources.lrv.count=0: must be at least 1"),
        (["data=paper", "data.sources.lrv.format=x"], "format=x: unknown; allowed are llava_sft, lrv"),
        (["paper"], "Error parsing override 'paper'"),
    ],
)
def test_doctor_with_a_wrong_command(
    data: Path, capsys: pytest.CaptureFixture[str], overrides: list[str], message: str
):
    assert main(["doctor", *overrides]) == 2
    captured = capsys.readouterr()
    assert captured.err.startswith("error: ")
    assert message in captured.err
    assert not captured.out


def test_doctor_breaks_no_path_and_keeps_to_80_columns(data: Path, capsys: pytest.CaptureFixture[str]):
    deep = Path("x" * 60) / ("y" * 60)
    paper_rows(deep, 6, 4)
    for code, more in ((1, []), (0, ["data.sources.scigraphqa.count=5", "data.sources.lrv.count=4"])):
        roots = [f"data.sources.{name}.image_root={deep}/{name}/images" for name in ("scigraphqa", "lrv")]
        paths = [f"data.sources.scigraphqa.path={deep}/scigraphqa/rows"]
        paths += [f"data.sources.lrv.path={deep}/lrv/filter_cap1.json"]
        out = doctor(capsys, code, "data=paper", *roots, *paths, *more)
        assert f"{deep}/lrv/filter_cap1.json" in out
        assert f"{deep}/scigraphqa/images" in out
        assert all(len(line) <= 80 or str(deep) in line for line in out)


def test_doctor_help(capsys: pytest.CaptureFixture[str]):
    with pytest.raises(SystemExit):
        main(["doctor", "--help"])
    out = capsys.readouterr().out
    assert all(word in out for word in ("OVERRIDE", "data=paper", "$MMDPO_DATA", "exit code: 0 all there"))


def test_doctor_imports_nothing_heavy(data: Path):
    assert imported(["doctor", "data=paper"], "torch", "transformers", "trl", "peft", "wandb") == "[]"
