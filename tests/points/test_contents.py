"""Contents that identities depend on: rows, images, weights, adapters, rubrics and files of benchmarks."""

from __future__ import annotations

import dataclasses
import json
import shutil
from pathlib import Path

import pytest

from mmdpo.entry.compose import compose_config
from mmdpo.points.contents import contents, tasks_with_files
from mmdpo.points.identity import Role, identity
from mmdpo.points.point import baselines
from tests.support.identities import composed, hex_of, own_files
from tests.support.identities import identity_of as of

CONFIG = compose_config()
OWN = ["data=pairs", "data.path=pairs.jsonl", "data.image_root=images"]


@pytest.fixture(autouse=True)
def _fixed_places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    own_files(tmp_path)


def test_another_place_of_the_same_content_is_the_same_point(tmp_path: Path) -> None:
    first = of(*OWN)
    shutil.copytree(tmp_path / "images", tmp_path / "elsewhere" / "photographs")
    shutil.copy(tmp_path / "pairs.jsonl", tmp_path / "elsewhere" / "renamed.jsonl")
    moved = ["data=pairs", "data.path=elsewhere/renamed.jsonl", f"data.image_root={tmp_path}/elsewhere/photographs/"]
    assert of(*moved) == first
    assert of(*OWN[:2], "data.image_root=images/") == first


def test_a_changed_row_or_image_changes_the_points_that_use_it(tmp_path: Path) -> None:
    other = ["data=pairs", "data.path=text.jsonl"]
    before, untouched, base = of(*OWN), of(*other), of(*OWN, "data_scale=0")
    (tmp_path / "images" / "not_named.png").write_bytes(b"another")
    assert of(*OWN) == before
    (tmp_path / "images" / "a.png").write_bytes(b"another")
    after_image = of(*OWN)
    assert after_image != before
    (tmp_path / "images" / "a.png").unlink()
    assert of(*OWN) not in (before, after_image)
    with (tmp_path / "pairs.jsonl").open("a") as file:
        file.write(json.dumps({"prompt": "q", "chosen": "x", "rejected": "y"}) + "\n")
    assert of(*OWN) not in (before, after_image)
    assert (of(*other), of(*OWN, "data_scale=0")) == (untouched, base)
    assert of() == hex_of(CONFIG)


def test_a_system_turn_and_the_places_of_images_count(tmp_path: Path) -> None:
    """Versions that did not read them trained another point under the name of the same file."""
    row = {"prompt": "q", "question": "r", "chosen": "x", "rejected": "y"}
    for name, columns in {"plain": {}, "system": {"system": "Be brief."}}.items():
        (tmp_path / f"{name}.jsonl").write_text(json.dumps(row | columns) + "\n")
    keys = [set(contents(compose_config(["data=pairs", f"data.path={name}.jsonl"]))) for name in ("plain", "system")]
    assert keys[1] - keys[0] == {"data.path:turns"}
    assert of("data=pairs", "data.path=plain.jsonl", "data.fields.prompt=question") != of(
        "data=pairs", "data.path=plain.jsonl"
    )


def test_a_data_set_of_the_hub_is_known_by_its_commit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    commits = {None: "a", "main": "a", "v2": "b"}
    monkeypatch.setattr("mmdpo.sources.hub._hub_commit", lambda name, revision: commits[revision])
    line = ["data=pairs", "data.hub=owner/name"]
    first = of(*line)
    assert of(*line, "data.hub_revision=main") == of("data=pairs", "data.hub=other/name") == first
    assert len({first, of(*line, "data.hub_revision=v2"), of(*line, "data.hub_split=test")}) == 3


SOURCE = [
    "data=prompts",
    "judge=gemini",
    "data.sources.prompts.path=llava.json",
    "data.sources.prompts.image_root=images",
]


def test_of_a_source_the_rows_and_the_images_that_may_be_chosen_count(tmp_path: Path) -> None:
    before = of(*SOURCE)
    assert of(*SOURCE, "data.sources.prompts.count=1") != before
    assert of(*SOURCE[:3], f"data.sources.prompts.image_root={tmp_path}/images/") == before
    (tmp_path / "images" / "not_named.png").write_bytes(b"another")
    assert of(*SOURCE) == before
    (tmp_path / "images" / "b.png").write_bytes(b"another")
    assert of(*SOURCE) != before


def test_a_changed_weight_byte_changes_the_points_of_that_model(tmp_path: Path) -> None:
    model = ["model.path=model", "model.before_visual_tuning=null"]
    before, base = of(*model), of(*model, "data_scale=0")
    shutil.copytree(tmp_path / "model", tmp_path / "copy")
    assert of("model.path=copy/", "model.before_visual_tuning=null") == before
    with (tmp_path / "model" / "model.safetensors").open("r+b") as file:
        file.write(b"\1")
    assert of(*model) != before
    assert of(*model, "data_scale=0") != base
    assert of() == hex_of(CONFIG)
    (tmp_path / "copy" / "README.md").write_text("not read")
    assert of("model.path=copy", "model.before_visual_tuning=null") == before
    (tmp_path / "copy" / "chat_template.jinja").write_text("{{ messages }}")
    assert of("model.path=copy", "model.before_visual_tuning=null") != before


def test_a_second_round_is_known_by_its_adapter(tmp_path: Path) -> None:
    before = of("generator.adapter=adapter")
    assert before != hex_of(CONFIG)
    shutil.copytree(tmp_path / "adapter", tmp_path / "moved")
    assert of(f"generator.adapter={tmp_path}/moved/") == before
    (tmp_path / "adapter" / "adapter_model.safetensors").write_bytes(b"2")
    assert of("generator.adapter=adapter") != before
    assert of("generator.adapter=adapter", "method=sft") == of("method=sft")  # which samples nothing


def test_a_start_is_known_by_its_adapter_and_is_a_point_of_its_own(tmp_path: Path) -> None:
    before = of("model.adapter=adapter")
    assert before == of(f"model.adapter={tmp_path}/adapter/") != hex_of(CONFIG)
    assert of("method.reference=base") == of("model.adapter_use=merge") == hex_of(CONFIG)  # nothing to start from
    sft = of("method=sft", "model.adapter=adapter")
    assert sft == of("method=sft", "model.adapter=adapter", "method.reference=base")  # which has no reference
    config = composed("model.adapter=adapter", "model.before_visual_tuning=null")
    base, start = baselines(config)
    assert base.identity.hex == of("data_scale=0")
    assert start.adapter == Path("adapter")
    assert (start.role, start.identity.hex) == (
        Role.start,
        baselines(dataclasses.replace(config, beta=0.3))[1].identity.hex,
    )
    assert start.name.startswith("start-")
    assert [one.role for one in baselines(CONFIG)] == [Role.base, Role.before_visual_tuning]
    (tmp_path / "adapter" / "adapter_model.safetensors").write_bytes(b"2")
    assert of("model.adapter=adapter") != before
    assert start.identity.hex != baselines(config)[0].identity.hex


def test_a_changed_rubric_changes_the_points_that_a_paid_judge_rates(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import mmdpo.judge.rubrics as rubrics

    before = [of("judge=gemini"), of("judge=gemini", "method=sft"), of()]
    folder = tmp_path / "rubrics"
    folder.mkdir()
    for file in Path(rubrics.__path__[0]).glob("helpsteer_1.*"):
        (folder / file.name).write_bytes(file.read_bytes())
    monkeypatch.setattr(rubrics, "__path__", [str(folder)])
    assert [of("judge=gemini"), of("judge=gemini", "method=sft"), of()] == before
    for file in folder.iterdir():
        file.write_text(file.read_text() + "\nMORE = 'more'\n")
    assert [of("judge=gemini") == before[0], of("judge=gemini", "method=sft"), of()] == [False, *before[1:]]


def test_a_changed_benchmark_file_changes_the_points_that_it_measures(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import mmdpo.evaluation.tasks as tasks

    folder = tmp_path / "tasks"
    folder.mkdir()
    (folder / "mine.py").write_text(
        "import dataclasses\nfrom pathlib import Path\n\nfrom mmdpo.evaluation.tasks import text\n\n"
        f"FILE = Path({str(tmp_path / 'items.json')!r})\n"
        "TASK = dataclasses.replace(text.TASK, files=lambda bench: [FILE])\n"
    )
    monkeypatch.setattr(tasks, "__path__", [*tasks.__path__, str(folder)])
    (tmp_path / "items.json").write_text("[1]")
    with_mine = dataclasses.replace(CONFIG, bench=dataclasses.replace(CONFIG.bench, tasks=["text", "mine"]))
    assert tasks_with_files(with_mine.bench) == {"mine"}
    before = hex_of(with_mine)
    assert "bench.tasks:mine" in identity(with_mine, Role.trained).contents
    (tmp_path / "items.json").write_text("[2]")
    assert hex_of(with_mine) != before
    assert of() == hex_of(CONFIG)
